from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
import pytest

from data.records import Prediction
from models.acquisition.base import built
from models.acquisition.constrained import Constrained, Constraint, log_feasibility
from models.acquisition.expected_improvement import ExpectedImprovement
from models.protocols import Scoring
from models.registry import ComponentError, build

TARGET = Prediction(np.array([0.0, 1.0, -0.5]), np.array([1.0, 0.4, 2.0]))
SECOND = Prediction(np.array([3.0, 2.0, 5.0]), np.array([1.0, 0.5, 2.0]))
THIRD = Prediction(np.array([-1.0, 0.0, 0.5]), np.array([0.3, 1.0, 0.7]))
OBJECTIVES = (TARGET, SECOND, THIRD)
ABOUT = Scoring(measured=np.array([[0.5, 0.0, 0.0]]))
LIMITS = [{"objective": 1, "at_most": 2.5}, {"objective": 2, "at_least": -0.8, "at_most": 1.0}]


def test_it_is_the_mean_of_the_gain_where_all_constraints_hold():
    rng = np.random.default_rng(0)
    f, g, h = (one.mean + one.std * rng.normal(size=(400_000, 3)) for one in OBJECTIVES)
    gain = np.maximum(f - 0.5, 0.0) * (g <= 2.5) * (h >= -0.8) * (h <= 1.0)
    value = np.exp(Constrained(constraints=LIMITS).score(OBJECTIVES, ABOUT))
    assert (np.abs(value - gain.mean(0)) < 5 * gain.std(0) / np.sqrt(len(gain))).all()


def test_it_adds_the_log_probabilities_to_the_inner_score_and_leaves_that_alone():
    inner = {"kind": "probability_of_improvement", "margin": 0.1}
    alone = build("acquisition", inner).score((TARGET,), ABOUT)
    np.testing.assert_array_equal(Constrained(inner=inner).score(OBJECTIVES, ABOUT), alone)
    one, two = Constraint(objective=1, at_least=2.0), Constraint(objective=2, at_most=0.0)
    total = Constrained(inner=inner, constraints=[one, two]).score(OBJECTIVES, ABOUT)
    np.testing.assert_allclose(total - alone, log_feasibility(SECOND, one) + log_feasibility(THIRD, two))


def test_the_target_itself_may_be_constrained():
    value = Constrained(constraints=[{"at_most": 2.0}]).score((TARGET,), ABOUT)
    expected = ExpectedImprovement().score((TARGET,), ABOUT)
    np.testing.assert_allclose(value, expected + log_feasibility(TARGET, Constraint(at_most=2.0)))


@pytest.mark.parametrize("inside", [False, True])
def test_limits_stay_in_the_unit_of_an_objective_that_is_to_be_small(inside):
    limits = {"kind": "constrained", "constraints": LIMITS}
    spec = {"kind": "cost_aware", "inner": limits, "exponent": 0.0} if inside else limits
    about = replace(ABOUT, cost=np.ones(3))
    seen = (TARGET, Prediction(-SECOND.mean, SECOND.std), THIRD)
    turned = built(spec, (1, -1, 1))
    np.testing.assert_array_equal(turned.score(seen, about), built(spec).score(OBJECTIVES, about))
    assert turned.config() == built(spec).config()


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
    limits = {"at_least": low, "at_most": high}
    constraint = Constraint(**{name: 5.0 + 2.0 * z for name, z in limits.items() if z is not None})
    assert log_feasibility(prediction, constraint)[0] == pytest.approx(exact, rel=1e-8)


def test_a_constraint_that_hardly_binds_costs_nothing_and_one_that_cannot_hold_costs_in_order():
    ends = log_feasibility(Prediction(np.array([0.0, -1e4, -1e5]), np.ones(3)), Constraint(at_least=-50.0))
    assert ends[0] == 0.0
    assert np.isfinite(ends).all()
    assert (np.diff(ends) < 0).all()


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"objective": 0}, "give at_least, at_most or both"),
        ({"at_least": 2.0, "at_most": 2.0}, r"at_least \(2\) must be below at_most \(2\)"),
        ({"objective": -1, "at_most": 1.0}, "greater than or equal to 0"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits, words):
    with pytest.raises(ComponentError, match=words):
        build("acquisition", {"kind": "constrained", "constraints": [limits]})


def test_an_objective_that_there_is_not_is_named():
    limited = Constrained(constraints=[{"objective": 3, "at_most": 0.0}])
    with pytest.raises(ValueError, match="names objective 3; there are 3, numbered from 0"):
        limited.score(OBJECTIVES, ABOUT)
    with pytest.raises(ValueError, match="names objective 3; there are 1"):
        limited.score((TARGET,), ABOUT)
