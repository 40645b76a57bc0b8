from __future__ import annotations

from itertools import combinations

import mpmath
import numpy as np
import pytest

from data.records import Prediction
from models.acquisition.expected_hypervolume_improvement import ExpectedHypervolumeImprovement
from models.acquisition.expected_improvement import ExpectedImprovement
from models.protocols import ScoringContext


def problem(k, t, n=4, seed=0, goals=None):
    """Return predictions of n candidates and t measured values, about as good."""
    rng = np.random.default_rng(seed)
    objectives = tuple(Prediction(rng.normal(0.3, 0.7, n), rng.uniform(0.2, 1.0, n)) for _ in range(k))
    goals = goals or (True,) * k
    return ScoringContext(None, True, objectives=objectives, goals=goals, measured=rng.normal(0.0, 0.7, (t, k)))


def scored(context, **options):
    return ExpectedHypervolumeImprovement(**options).score_in(context.objectives[0], context)


def volume(points, reference):
    """Dominated above the reference, by inclusion and exclusion; points `(p, ..., K)` give one volume for each of `...`."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in combinations(points, size):
            total = total - (-1) ** size * np.prod(np.maximum(np.minimum.reduce(some) - reference, 0.0), axis=-1)
    return total


@pytest.mark.parametrize("goals", [(True, True), (True, False), (True, True, True), (False, True, False)])
@pytest.mark.parametrize("t", [1, 5])
def test_it_is_the_mean_growth_of_the_dominated_volume(goals, t):
    k, draws = len(goals), 40_000
    context = problem(k, t, goals=goals)
    sign = np.where(goals, 1.0, -1.0)
    reference = np.full(k, -1.0)
    measured = list(context.measured * sign)
    value = np.exp(scored(context, reference_point=tuple(reference * sign)))
    before = volume(measured, reference)
    rng = np.random.default_rng(1)
    for i in range(4):
        mean, std = (np.array([getattr(one, part)[i] for one in context.objectives]) for part in ("mean", "std"))
        new = sign * mean + std * rng.normal(size=(draws, k))
        growth = volume([*(np.broadcast_to(row, new.shape) for row in measured), new], reference) - before
        assert abs(value[i] - growth.mean()) < 5 * growth.std() / np.sqrt(draws)


def test_where_nothing_is_uncertain_it_is_the_growth_itself():
    # The front (1, 3), (3, 1) above 0; (2, 2) adds a square of 1, (4, 4) adds 16 - 5, (0.5, 0.5) nothing.
    sure = np.full(3, 1e-4)
    first, second = (Prediction(np.array([2.0, 4.0, 0.5]), sure) for _ in range(2))
    context = ScoringContext(
        None, True, objectives=(first, second), goals=(True, True), measured=np.array([[1.0, 3.0], [3.0, 1.0]])
    )
    value = scored(context, reference_point=(0.0, 0.0))
    np.testing.assert_allclose(np.exp(value[:2]), [1.0, 11.0], rtol=1e-3)
    assert value[2] < -1e6


@pytest.mark.parametrize("maximise", [True, False])
def test_of_one_objective_it_is_expected_improvement(maximise):
    target = Prediction(np.array([0.0, 1.5, -1.0, -20.0]), np.array([1.0, 0.5, 2.0, 0.6]))
    context = ScoringContext(0.7, maximise, measured=np.array([[0.7], [-0.2 if maximise else 2.0]]))
    value = ExpectedHypervolumeImprovement().score_in(target, context)
    np.testing.assert_allclose(value, ExpectedImprovement().score(target, best=0.7, maximise=maximise), rtol=1e-12)


def test_of_two_objectives_with_nothing_measured_it_is_a_product_of_improvements():
    context = problem(2, 0)
    value = scored(context, reference_point=(-0.5, 0.2))
    parts = [
        ExpectedImprovement().score(one, best=best, maximise=True)
        for one, best in zip(context.objectives, (-0.5, 0.2), strict=True)
    ]
    np.testing.assert_allclose(value, sum(parts), rtol=1e-12)


def test_dominated_measurements_and_those_below_the_reference_do_not_count():
    context = problem(2, 3)
    front = np.array([[1.0, 0.0], [0.0, 1.0]])
    for more in ([[-0.1, -0.1]], [[1.0, 0.0]], [[5.0, -2.0]], [[-2.0, -2.0], [0.0, 0.9]]):
        with_more = ScoringContext(
            None, True, objectives=context.objectives, goals=context.goals, measured=np.concatenate([front, more])
        )
        without = ScoringContext(None, True, objectives=context.objectives, goals=context.goals, measured=front)
        np.testing.assert_allclose(
            scored(with_more, reference_point=(-1.0, -1.0)), scored(without, reference_point=(-1.0, -1.0)), rtol=1e-10
        )


def test_without_a_reference_point_it_is_a_tenth_of_the_range_below_the_worst():
    context = problem(2, 4, goals=(True, False))
    low, high = context.measured.min(0), context.measured.max(0)
    reference = (low[0] - 0.1 * (high - low)[0], high[1] + 0.1 * (high - low)[1])
    np.testing.assert_allclose(scored(context), scored(context, reference_point=reference), rtol=1e-10)
    one = problem(2, 1)
    below = tuple(one.measured[0] - 0.1)  # no range: a tenth of the unit
    np.testing.assert_allclose(scored(one), scored(one, reference_point=below), rtol=1e-10)


def test_far_below_the_front_the_logarithm_is_still_right():
    # From (-30, -30) with deviation 1, one measured at (0, 0): beyond it lie two quadrants less one, all of them remote.
    far = Prediction(np.array([-30.0]), np.ones(1))
    context = ScoringContext(None, True, objectives=(far, far), goals=(True, True), measured=np.zeros((1, 2)))
    value = scored(context, reference_point=(-20.0, -20.0))[0]
    with mpmath.workdps(300):

        def gain(edge):
            z = -mpmath.mpf(30) - edge
            return mpmath.npdf(z) + z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2

        all_of_it, inner = gain(-20) ** 2, (gain(-20) - gain(0)) ** 2
        exact = float(mpmath.log(all_of_it - inner))
    assert value == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("cells", [1, 30])
def test_a_pool_that_is_worked_through_in_blocks_has_the_same_scores(cells, monkeypatch):
    context = problem(2, 12, n=10)
    whole = scored(context)
    monkeypatch.setattr("models.acquisition.expected_hypervolume_improvement._CELLS", cells)
    np.testing.assert_allclose(scored(context), whole, rtol=1e-12)


def test_a_reference_point_of_another_length_and_none_at_all_are_refused():
    context = problem(2, 3)
    with pytest.raises(ValueError, match="The reference point has 3 values; there are 2 objectives"):
        scored(context, reference_point=(0.0, 0.0, 0.0))
    nothing = ScoringContext(None, True, objectives=context.objectives, goals=context.goals)
    with pytest.raises(ValueError, match=r"needs a reference point or measured values.*Set the option reference_point"):
        scored(nothing)
