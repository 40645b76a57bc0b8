from __future__ import annotations

from itertools import combinations

import mpmath
import numpy as np
import pytest

from data.goals import Goal, Goals
from data.records import Prediction
from models.acquisition.expected_hypervolume_improvement import ExpectedHypervolumeImprovement
from models.acquisition.expected_improvement import ExpectedImprovement
from models.protocols import Scoring

GOALS = Goals(Goal(str(sign), sign) for sign in (-1, 1, -1))


def problem(k, t, n=4, seed=0):
    """Return predictions of n candidates, and what is known of t measured ones that are about as good."""
    rng = np.random.default_rng(seed)
    objectives = tuple(Prediction(rng.normal(0.3, 0.7, n), rng.uniform(0.2, 1.0, n)) for _ in range(k))
    return objectives, Scoring(measured=rng.normal(0.0, 0.7, (t, k)))


def scored(predicted, about, **options):
    return ExpectedHypervolumeImprovement(**options).score(predicted, about)


def volume(points, reference):
    """Dominated above the reference, by inclusion and exclusion; points `(p, ..., K)` give one volume for each of `...`."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in combinations(points, size):
            total = total - (-1) ** size * np.prod(np.maximum(np.minimum.reduce(some) - reference, 0.0), axis=-1)
    return total


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("t", [1, 5])
def test_it_is_the_mean_growth_of_the_dominated_volume(k, t):
    draws, (predicted, about) = 40_000, problem(k, t)
    reference, measured = np.full(k, -1.0), list(about.measured)
    value = np.exp(scored(predicted, about, reference_point=tuple(reference)))
    before = volume(measured, reference)
    rng = np.random.default_rng(1)
    for i in range(4):
        mean, std = (np.array([getattr(one, part)[i] for one in predicted]) for part in ("mean", "std"))
        new = mean + std * rng.normal(size=(draws, k))
        growth = volume([*(np.broadcast_to(row, new.shape) for row in measured), new], reference) - before
        assert abs(value[i] - growth.mean()) < 5 * growth.std() / np.sqrt(draws)


def test_where_nothing_is_uncertain_it_is_the_growth_itself():
    # The front (1, 3), (3, 1) above 0; (2, 2) adds a square of 1, (4, 4) adds 16 - 5, (0.5, 0.5) nothing.
    sure = np.full(3, 1e-4)
    first, second = (Prediction(np.array([2.0, 4.0, 0.5]), sure) for _ in range(2))
    about = Scoring(measured=np.array([[1.0, 3.0], [3.0, 1.0]]))
    value = scored((first, second), about, reference_point=(0.0, 0.0))
    np.testing.assert_allclose(np.exp(value[:2]), [1.0, 11.0], rtol=1e-3)
    assert value[2] < -1e6


def test_a_reference_point_is_in_the_units_of_the_objectives():
    predicted, about = problem(3, 4)
    plain = scored(predicted, about, reference_point=(-1.0, -1.5, -2.0))
    low = ExpectedHypervolumeImprovement(reference_point=(1.0, -1.5, 2.0)).towards(GOALS)
    np.testing.assert_array_equal(low.score(predicted, about), plain)


def test_what_was_measured_of_some_objectives_only_is_left_out():
    predicted, about = problem(2, 4)
    more = np.vstack([about.measured, [[9.0, np.nan]]])
    np.testing.assert_array_equal(scored(predicted, Scoring(measured=more)), scored(predicted, about))


def test_of_one_objective_it_is_expected_improvement():
    target = Prediction(np.array([0.0, 1.5, -1.0, -20.0]), np.array([1.0, 0.5, 2.0, 0.6]))
    about = Scoring(measured=np.array([[0.7], [-0.2]]))
    np.testing.assert_allclose(scored((target,), about), ExpectedImprovement().score((target,), about), rtol=1e-12)


def test_of_two_objectives_with_nothing_measured_it_is_a_product_of_improvements():
    predicted, about = problem(2, 0)
    value = scored(predicted, about, reference_point=(-0.5, 0.2))
    parts = [
        ExpectedImprovement().score((one,), Scoring(predicted_best=best))
        for one, best in zip(predicted, (-0.5, 0.2), strict=True)
    ]
    np.testing.assert_allclose(value, sum(parts), rtol=1e-12)


def test_dominated_measurements_and_those_below_the_reference_do_not_count():
    predicted, _ = problem(2, 3)
    front = np.array([[1.0, 0.0], [0.0, 1.0]])
    for more in ([[-0.1, -0.1]], [[1.0, 0.0]], [[5.0, -2.0]], [[-2.0, -2.0], [0.0, 0.9]]):
        with_more, without = (
            scored(predicted, Scoring(measured=values), reference_point=(-1.0, -1.0))
            for values in (np.concatenate([front, more]), front)
        )
        np.testing.assert_allclose(with_more, without, rtol=1e-10)


def test_what_breaks_a_limit_is_not_in_the_front_and_tells_the_range_all_the_same():
    predicted, _ = problem(2, 3)
    kept, broken = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[5.0, -3.0]])
    about = Scoring(measured=np.vstack([kept, broken]), allowed=np.array([True, True, False]))
    expected = scored(predicted, Scoring(measured=kept), reference_point=(-0.5, -3.4))
    np.testing.assert_allclose(scored(predicted, about), expected, rtol=1e-12)


def test_without_a_reference_point_it_is_a_tenth_of_the_range_below_the_worst():
    predicted, about = problem(2, 4)
    low, high = about.measured.min(0), about.measured.max(0)
    reference = tuple(low - 0.1 * (high - low))
    np.testing.assert_allclose(
        scored(predicted, about), scored(predicted, about, reference_point=reference), rtol=1e-10
    )
    predicted, one = problem(2, 1)
    below = tuple(one.measured[0] - 0.1)  # no range: a tenth of the unit
    np.testing.assert_allclose(scored(predicted, one), scored(predicted, one, reference_point=below), rtol=1e-10)


def test_far_below_the_front_the_logarithm_is_still_right():
    # From (-30, -30) with deviation 1, one measured at (0, 0): beyond it lie two quadrants less one, all of them remote.
    far = Prediction(np.array([-30.0]), np.ones(1))
    value = scored((far, far), Scoring(measured=np.zeros((1, 2))), reference_point=(-20.0, -20.0))[0]
    with mpmath.workdps(300):

        def gain(edge):
            z = -mpmath.mpf(30) - edge
            return mpmath.npdf(z) + z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2

        all_of_it, inner = gain(-20) ** 2, (gain(-20) - gain(0)) ** 2
        exact = float(mpmath.log(all_of_it - inner))
    assert value == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("cells", [1, 30])
def test_a_pool_that_is_worked_through_in_blocks_has_the_same_scores(cells, monkeypatch):
    predicted, about = problem(2, 12, n=10)
    whole = scored(predicted, about)
    monkeypatch.setattr("models.acquisition.expected_hypervolume_improvement._CELLS", cells)
    np.testing.assert_allclose(scored(predicted, about), whole, rtol=1e-12)


def test_a_reference_point_of_another_length_and_none_at_all_are_refused():
    predicted, about = problem(2, 3)
    with pytest.raises(ValueError, match="The reference point has 3 values; there are 2 objectives to improve"):
        scored(predicted, about, reference_point=(0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"needs a reference point or measured values.*Set the option reference_point"):
        scored(predicted, Scoring())
