"""Any acquisition under limits, against draws and exact probabilities."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.goals import Goal, Goals
from data.records import Prediction
from models.acquisition.base import built, fewest_objectives, is_logarithm, wants_predicted_best, within_a_pool
from models.acquisition.constrained import Constrained, log_feasibility, log_within
from models.acquisition.expected_hypervolume_improvement import ExpectedHypervolumeImprovement
from models.acquisition.expected_improvement import ExpectedImprovement
from models.protocols import Scoring
from models.registry import ComponentError, build

INF = np.inf
FREE = (-INF, INF)
TARGET = Prediction(np.array([0.0, 1.0, -0.5]), np.array([1.0, 0.4, 2.0]))
SECOND = Prediction(np.array([3.0, 2.0, 5.0]), np.array([1.0, 0.5, 2.0]))
THIRD = Prediction(np.array([-1.0, 0.0, 0.5]), np.array([0.3, 1.0, 0.7]))
OBJECTIVES = (TARGET, SECOND, THIRD)
MEASURED = np.array([[0.5, 0.0, 0.0], [2.0, 9.0, 0.0], [0.1, np.nan, 0.0]])
"""The second breaks a limit, and of the third nobody knows: 0.5 is the best that counts."""
ABOUT = Scoring(measured=MEASURED, limits=(FREE, (-INF, 2.5), (-0.8, 1.0)), improved=(0,))
UCB = {"kind": "upper_confidence_bound", "beta": 0.5}


def draws(predicted, size=400_000, seed=0):
    rng = np.random.default_rng(seed)
    return [one.mean + one.std * rng.normal(size=(size, len(one))) for one in predicted]


def test_it_is_the_mean_of_the_gain_where_all_limits_are_kept_to():
    f, g, h = draws(OBJECTIVES)
    gain = np.maximum(f - 0.5, 0.0) * (g <= 2.5) * (h >= -0.8) * (h <= 1.0)
    value = np.exp(Constrained().score(OBJECTIVES, ABOUT))
    assert (np.abs(value - gain.mean(0)) < 5 * gain.std(0) / np.sqrt(len(gain))).all()


def test_of_two_objectives_it_is_the_mean_growth_of_the_volume_where_the_limit_is_kept_to():
    # Above (0, 0) what is measured covers 2 x 1 and 1 x 2, less the square they share; (3, 3) breaks the limit.
    front, broken = [[2.0, 1.0, 1.0], [1.0, 2.0, 1.0]], [[3.0, 3.0, 5.0]]
    predicted = (Prediction(np.array([1.5]), np.array([0.8])), Prediction(np.array([1.2]), np.array([0.6])), SECOND)
    predicted = (*predicted[:2], Prediction(SECOND.mean[:1], SECOND.std[:1]))
    about = Scoring(measured=np.array(front + broken), limits=(FREE, FREE, (-INF, 2.5)), improved=(0, 1))
    inner = {"kind": "expected_hypervolume_improvement", "reference_point": (0.0, 0.0)}
    value = np.exp(Constrained(inner=inner).score(predicted, about))[0]
    f, g, h = (np.maximum(one[:, 0], 0.0) for one in draws(predicted))
    a, b = np.maximum(f, 0.0), np.maximum(g, 0.0)
    covered = np.minimum(a, 2) * np.minimum(b, 1) + np.minimum(a, 1) * np.minimum(b, 2)
    covered -= np.minimum(a, 1) * np.minimum(b, 1)
    growth = (a * b - covered) * (h <= 2.5)
    assert abs(value - growth.mean()) < 5 * growth.std() / np.sqrt(len(growth))


def test_it_adds_the_log_probabilities_to_the_inner_score():
    inner = {"kind": "probability_of_improvement", "margin": 0.1}
    alone = build("acquisition", inner).score((TARGET,), Scoring(measured=np.array([[0.5]])))
    total = Constrained(inner=inner).score(OBJECTIVES, ABOUT)
    np.testing.assert_allclose(total - alone, log_within(SECOND, -INF, 2.5) + log_within(THIRD, -0.8, 1.0))


def test_without_limits_it_is_the_inner_acquisition_of_what_is_to_be_improved():
    plain = ExpectedImprovement().score((TARGET,), Scoring(measured=MEASURED[:, :1]))
    np.testing.assert_array_equal(
        Constrained().score((TARGET,), Scoring(measured=MEASURED[:, :1], limits=(FREE,))), plain
    )
    np.testing.assert_array_equal(Constrained().score(OBJECTIVES, Scoring(measured=MEASURED, improved=(0,))), plain)


def test_the_target_itself_may_be_limited():
    about = Scoring(measured=np.array([[0.5], [2.5]]), limits=((-INF, 2.0),))
    expected = ExpectedImprovement().score((TARGET,), Scoring(measured=np.array([[0.5]])))
    np.testing.assert_allclose(Constrained().score((TARGET,), about), expected + log_within(TARGET, -INF, 2.0))


def test_a_score_in_a_unit_loses_a_deviation_for_each_factor_of_e_in_the_probability():
    value = Constrained(inner=UCB).score(OBJECTIVES, ABOUT)
    chance = log_feasibility(OBJECTIVES, ABOUT)
    np.testing.assert_allclose(value, TARGET.mean + 0.5 * TARGET.std + MEASURED[:, 0].std() * chance)


@pytest.mark.parametrize("kind", ["expected_improvement", "probability_of_improvement", "noisy_expected_improvement"])
def test_an_improvement_that_is_no_logarithm_is_multiplied(kind):
    plain, logarithm = (
        Constrained(inner={"kind": kind, "scale": scale}).score(OBJECTIVES, ABOUT) for scale in ("plain", "log")
    )
    np.testing.assert_allclose(plain, np.exp(logarithm))


@pytest.mark.parametrize("kind", ["mean", "upper_confidence_bound", "expected_improvement", "thompson_sampling"])
@given(seed=st.integers(0, 2**32 - 1), gain=st.floats(0.01, 3.0))
@settings(max_examples=15, deadline=None)
def test_who_is_likelier_to_keep_to_a_limit_scores_higher_with_all_else_equal(kind, seed, gain):
    rng = np.random.default_rng(seed)
    side = Prediction(rng.normal() + np.array([0.0, -gain]), np.full(2, rng.uniform(0.2, 2.0)))
    target = Prediction(np.full(2, rng.normal()), np.full(2, rng.uniform(0.2, 2.0)))
    about = replace(ABOUT, limits=(FREE, (-INF, 1.0)), measured=rng.normal(size=(5, 2)), objects=("CCO",) * 2)
    for measured in (about.measured, about.measured + np.array([0.0, 100.0])):
        value = Constrained(inner={"kind": kind}).score((target, side), replace(about, measured=measured))
        assert np.isfinite(value).all()
        assert value[1] >= value[0]
        if abs(side.mean - 1.0).max() < 3.0 * side.std[0]:
            assert value[1] > value[0]


@pytest.mark.parametrize("factor", [1e-9, 250.0])
def test_the_unit_of_the_target_does_not_matter_to_the_order(factor):
    other = (Prediction(factor * TARGET.mean, factor * TARGET.std), SECOND, THIRD)
    scaled = replace(ABOUT, measured=MEASURED * (factor, 1.0, 1.0))
    value, expected = (Constrained(inner=UCB).score(*one) for one in ((other, scaled), (OBJECTIVES, ABOUT)))
    np.testing.assert_allclose(value / factor, expected, rtol=1e-9)


@pytest.mark.parametrize("inner", [{"kind": "expected_improvement"}, UCB], ids=str)
@pytest.mark.parametrize("measured", [MEASURED[1:], MEASURED[:0]], ids=["none feasible", "nothing measured"])
def test_before_anything_feasible_is_measured_the_likeliest_to_be_feasible_come_first(inner, measured):
    value = Constrained(inner=inner).score(OBJECTIVES, replace(ABOUT, measured=measured))
    chance = log_feasibility(OBJECTIVES, ABOUT)
    assert np.argsort(value).tolist() == np.argsort(chance).tolist()
    higher = (Prediction(TARGET.mean + 100.0, TARGET.std), SECOND, THIRD)
    np.testing.assert_array_equal(Constrained(inner=inner).score(higher, replace(ABOUT, measured=measured)), value)


def test_of_several_scalarised_objectives_the_deviation_is_that_of_their_measured_scores():
    measured = np.array([[0.0, 0.0, 0.0], [1.0, 4.0, 0.0], [2.0, 1.0, 9.0]])
    about = Scoring(measured=measured, limits=(FREE, FREE, (-0.8, 1.0)), improved=(0, 1))
    inner = {"kind": "weighted_sum", "beta": 0.0}
    # In ranges the measured objects have 0, (0.5 + 1) / 2 and (1 + 0.25) / 2, whether or not they keep to the limit.
    spread = np.std([0.0, 0.75, 0.625])
    expected = (TARGET.mean / 2 + SECOND.mean / 4) / 2 + spread * log_within(THIRD, -0.8, 1.0)
    np.testing.assert_allclose(Constrained(inner=inner).score(OBJECTIVES, about), expected, rtol=1e-9)


def test_it_is_what_the_wrapped_one_is():
    for inner in ("mean", "noisy_expected_improvement", "pareto_rank", "expected_hypervolume_improvement"):
        plain, wrapped = build("acquisition", {"kind": inner}), Constrained(inner={"kind": inner})
        for trait in (is_logarithm, within_a_pool, wants_predicted_best, fewest_objectives):
            assert trait(wrapped) == trait(plain)


def test_a_reference_point_inside_is_in_the_units_of_the_objectives_to_improve():
    goals = Goals([Goal("a", -1), Goal("b", target=3.0)])
    inner = {"kind": "expected_hypervolume_improvement", "reference_point": (1.0, 5.5)}
    found = built({"kind": "constrained", "inner": inner}, goals).score((TARGET, SECOND), Scoring())
    expected = ExpectedHypervolumeImprovement(reference_point=(-1.0, -2.5)).score((TARGET, SECOND), Scoring())
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (None, 0.3),
        (0.3, None),
        (None, -40.0),
        (40.0, None),
        (-1.0, 2.0),
        (-9.0, 9.0),
        (10.0, 11.0),
        (-11.0, -10.0),
        (60.0, 60.5),
        (-1e3, -999.0),
        (-0.5, 0.0),
        (0.0, 1e-6),
        (8.0, 1e9),
    ],
)
def test_the_probability_is_right_in_both_tails(low, high):
    def above(z):
        return mpmath.erfc(mpmath.mpf(z) / mpmath.sqrt(2)) / 2

    with mpmath.workdps(50):
        a, b = -mpmath.inf if low is None else low, mpmath.inf if high is None else high
        exact = float(mpmath.log(above(a) - above(b) if a > 0 else above(-b) - above(-a)))
    prediction = Prediction(np.array([5.0]), np.array([2.0]))
    ends = -INF if low is None else 5.0 + 2.0 * low, INF if high is None else 5.0 + 2.0 * high
    assert log_within(prediction, *ends)[0] == pytest.approx(exact, rel=1e-8)


def test_a_limit_that_hardly_binds_costs_nothing_and_one_that_cannot_hold_costs_in_order():
    ends = log_within(Prediction(np.array([0.0, -1e4, -1e5]), np.ones(3)), -50.0, INF)
    assert ends[0] == 0.0
    assert np.isfinite(ends).all()
    assert (np.diff(ends) < 0).all()


@pytest.mark.parametrize("kind", ["constrained", "constrained_bound"])
def test_limits_by_the_number_of_an_objective_are_refused_with_where_they_go(kind):
    with pytest.raises(ComponentError, match=r"`constraints` are written with the objectives now: move each at_least"):
        build("acquisition", {"kind": kind, "constraints": [{"objective": 1, "at_most": 2.0}]})


def test_limits_of_other_objectives_than_were_predicted_are_refused():
    with pytest.raises(ValueError, match="one prediction per objective; got 1 and 3 limits"):
        log_feasibility((TARGET,), ABOUT)
