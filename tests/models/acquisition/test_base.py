"""What a round tells its acquisition, and how one acquisition wraps another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.records import Prediction
from models.acquisition.base import noise_of, round_context, scores, signed, signed_measured, wants_predicted_best
from models.acquisition.mean import Mean
from models.protocols import ScoringContext
from models.registry import ComponentError, build

NOISY = {"kind": "noisy_expected_improvement"}


class Guess:
    """Says 10 times the number of atoms, with a deviation of 0.5 of which 0.3 is noise."""

    asked = 0

    def predict(self, molecules):
        self.asked += 1
        return Prediction(10.0 * np.array([len(one) for one in molecules]), np.full(len(molecules), 0.5))


class JointGuess(Guess):
    def joint(self, molecules):
        return self.predict(molecules).mean, (0.5**2 - 0.3**2) * np.eye(len(molecules))


@pytest.mark.parametrize(("maximise", "best", "predicted"), [(True, 7.0, 40.0), (False, -1.0, 10.0)])
def test_a_round_knows_the_best_value_and_the_best_prediction(maximise, best, predicted):
    acquisition, values = build("acquisition", NOISY), np.array([7.0, -1.0, 2.0])
    context = round_context(acquisition, JointGuess(), ["C", "CCCC", "CC"], values, maximise=maximise, seed=9)
    assert (context.best, context.predicted_best) == (best, predicted)
    assert context.noise_std == pytest.approx(0.3)
    assert (context.maximise, context.seed, context.objects) == (maximise, 9, ("C", "CCCC", "CC"))
    assert context.measured.tolist() == [[7.0], [-1.0], [2.0]]


def test_the_proxy_is_asked_only_where_its_opinion_of_the_measured_is_wanted():
    proxy = JointGuess()
    context = round_context(Mean(), proxy, ["C", "CC"], np.array([1.0, 2.0]), maximise=True, seed=0)
    assert (proxy.asked, context.predicted_best, context.noise_std) == (0, None, 0.0)


def test_a_wrapper_wants_what_the_wrapped_one_wants():
    wrapped = {"kind": "cost_aware", "inner": {"kind": "constrained", "inner": NOISY}}
    assert wants_predicted_best(build("acquisition", wrapped))
    assert not wants_predicted_best(build("acquisition", {"kind": "cost_aware"}))


def test_noise_is_what_predictions_have_beyond_the_joint_posterior():
    assert noise_of(JointGuess(), ["C", "CC"] * 50) == pytest.approx(0.3)
    assert noise_of(Guess(), ["C", "CC"]) == 0.0  # it has no joint posterior and cannot tell


@pytest.mark.parametrize("kind", ["constrained", "cost_aware"])
@pytest.mark.parametrize("inner", [{"kind": "mean"}, {"kind": "expected_improvement", "scale": "plain"}], ids=str)
def test_a_wrapper_refuses_what_is_no_logarithm(kind, inner):
    with pytest.raises(ComponentError, match=f"'{kind}' adds to the logarithm of another one.*is no logarithm"):
        build("acquisition", {"kind": kind, "inner": inner})


@pytest.mark.parametrize("kind", ["constrained", "cost_aware"])
def test_a_wrapper_refuses_what_there_is_not(kind):
    with pytest.raises(ComponentError, match=r"no acquisition of kind 'expected_improvment'.*Did you mean"):
        build("acquisition", {"kind": kind, "inner": {"kind": "expected_improvment"}})


def test_wrappers_can_be_wrapped_and_add_up():
    prediction = Prediction(np.array([1.0, 0.0]), np.array([0.5, 1.0]))
    context = ScoringContext(0.5, True, cost=np.array([2.0, 4.0]))
    limits = [{"at_most": 2.0}]
    both = {"kind": "constrained", "constraints": limits, "inner": {"kind": "cost_aware"}}
    plain, only_limits, only_cost, together = (
        scores(build("acquisition", config), prediction, context)
        for config in (
            {"kind": "expected_improvement"},
            {"kind": "constrained", "constraints": limits},
            {"kind": "cost_aware"},
            both,
        )
    )
    np.testing.assert_allclose(together, only_limits + only_cost - plain)


def test_goals_turn_means_and_measured_values_so_that_more_is_better():
    target = Prediction(np.array([1.0, 2.0]), np.array([0.1, 0.2]))
    other = Prediction(np.array([5.0, 6.0]), np.array([0.3, 0.4]))
    context = ScoringContext(
        1.0, True, objectives=(target, other), goals=(True, False), measured=np.array([[1.0, 3.0]])
    )
    mean, std = signed(target, context)
    assert mean.tolist() == [[1.0, -5.0], [2.0, -6.0]]
    assert std.tolist() == [[0.1, 0.3], [0.2, 0.4]]
    assert signed_measured(context, 2).tolist() == [[1.0, -3.0]]
    # Of the target alone.
    alone = ScoringContext(1.0, False, measured=np.array([[4.0]]))
    assert signed(target, alone)[0].tolist() == [[-1.0], [-2.0]]
    assert signed_measured(alone, 1).tolist() == [[-4.0]]
    assert signed_measured(replace(alone, measured=None), 3).shape == (0, 3)


def test_goals_and_values_must_be_as_many_as_objectives():
    target = Prediction(np.zeros(2), np.ones(2))
    with pytest.raises(ValueError, match="2 objectives and 1 goals"):
        signed(target, ScoringContext(0.0, True, objectives=(target, target), goals=(True,)))
    with pytest.raises(ValueError, match=r"shape \(t, 2\); got \(3, 1\)"):
        signed_measured(ScoringContext(0.0, True, measured=np.zeros((3, 1))), 2)
