"""What a round tells its acquisition, and how one acquisition wraps another."""

from __future__ import annotations

import numpy as np
import pytest

from data.goals import Goal, Goals
from data.records import Prediction
from models.acquisition.base import (
    about_round,
    built,
    fewest_objectives,
    is_logarithm,
    noise_of,
    stacked,
    towards,
    wants_predicted_best,
    within_a_pool,
)
from models.acquisition.mean import Mean
from models.acquisition.measured import measured_whole
from models.protocols import Scoring
from models.registry import Component, ComponentError, build

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


def test_a_round_knows_the_best_prediction_where_it_is_wanted():
    acquisition, values = build("acquisition", NOISY), np.array([7.0, -1.0, 2.0])
    about = about_round(acquisition, (JointGuess(),), ["C", "CCCC", "CC"], values[:, None], seed=9)
    assert about.predicted_best == about.best == 40.0
    assert about.noise == pytest.approx(0.3)
    assert (about.seed, about.objects) == (9, ("C", "CCCC", "CC"))
    assert about.measured.tolist() == [[7.0], [-1.0], [2.0]]


@pytest.mark.parametrize(
    ("measured", "best"),
    [([[7.0], [-1.0]], 7.0), ([[np.nan, 9.0], [2.0, np.nan]], 2.0), ([[np.nan, 9.0]], None), (np.zeros((0, 2)), None)],
)
def test_the_best_is_that_of_the_measured_values_of_the_target(measured, best):
    assert Scoring(measured=np.array(measured)).best == best
    assert Scoring(measured=np.array(measured), predicted_best=0.5).best == 0.5


def test_the_proxy_is_asked_only_where_its_opinion_of_the_measured_is_wanted():
    proxy = JointGuess()
    about = about_round(Mean(), (proxy,), ["C", "CC"], np.array([[1.0], [2.0]]), seed=0)
    assert (proxy.asked, about.predicted_best, about.noise, about.best) == (0, None, 0.0, 2.0)


def test_a_wrapper_wants_what_the_wrapped_one_wants():
    wrapped = {"kind": "cost_aware", "inner": {"kind": "constrained", "inner": NOISY}}
    assert wants_predicted_best(build("acquisition", wrapped))
    assert not wants_predicted_best(build("acquisition", {"kind": "cost_aware"}))


def test_noise_is_what_predictions_have_beyond_the_joint_posterior():
    assert noise_of(JointGuess(), ["C", "CC"] * 50) == pytest.approx(0.3)
    assert noise_of(Guess(), ["C", "CC"]) == 0.0  # it has no joint posterior and cannot tell


@pytest.mark.parametrize("inner", [{"kind": "mean"}, {"kind": "expected_improvement", "scale": "plain"}], ids=str)
def test_a_cost_refuses_what_is_no_logarithm(inner):
    with pytest.raises(ComponentError, match=r"'cost_aware' adds to the logarithm of another one.*is no logarithm"):
        build("acquisition", {"kind": "cost_aware", "inner": inner})


@pytest.mark.parametrize("kind", ["constrained", "cost_aware"])
def test_a_wrapper_refuses_what_there_is_not(kind):
    with pytest.raises(ComponentError, match=r"no acquisition of kind 'expected_improvment'.*Did you mean"):
        build("acquisition", {"kind": kind, "inner": {"kind": "expected_improvment"}})


def test_wrappers_can_be_wrapped_and_add_up():
    prediction = Prediction(np.array([1.0, 0.0]), np.array([0.5, 1.0]))
    about = Scoring(measured=np.array([[0.5]]), cost=np.array([2.0, 4.0]), limits=((-np.inf, 2.0),))
    both = {"kind": "constrained", "inner": {"kind": "cost_aware"}}
    plain, only_limits, only_cost, together = (
        build("acquisition", config).score((prediction,), about)
        for config in (
            {"kind": "expected_improvement"},
            {"kind": "constrained"},
            {"kind": "cost_aware"},
            both,
        )
    )
    np.testing.assert_allclose(together, only_limits + only_cost - plain)


def test_predictions_and_values_of_several_objectives_are_columns():
    target = Prediction(np.array([1.0, 2.0]), np.array([0.1, 0.2]))
    other = Prediction(np.array([5.0, 6.0]), np.array([0.3, 0.4]))
    mean, std = stacked((target, other))
    assert mean.tolist() == [[1.0, 5.0], [2.0, 6.0]]
    assert std.tolist() == [[0.1, 0.3], [0.2, 0.4]]
    measured = np.array([[1.0, 3.0], [np.nan, 4.0], [2.0, np.nan]])
    assert measured_whole(Scoring(measured=measured), 2).tolist() == [[1.0, 3.0]]
    assert measured_whole(Scoring(), 3).shape == (0, 3)
    with pytest.raises(ValueError, match=r"shape \(t, 2\); got \(3, 1\)"):
        measured_whole(Scoring(measured=np.zeros((3, 1))), 2)


class Plain:
    """Somebody else's, which derives from nothing of ours and says nothing of itself."""

    def score(self, predicted, about):
        return predicted[0].mean


def test_what_an_acquisition_does_not_say_of_itself_is_the_default():
    for one in (Plain(), Mean()):
        assert not is_logarithm(one)
        assert not within_a_pool(one)
        assert not wants_predicted_best(one)
        assert fewest_objectives(one) == 1
    assert towards(plain := Plain(), Goals([Goal("one", -1)])) is plain


def by_best_and_goal(self, prediction, *, best, maximise):
    return prediction.mean


def by_default(self, prediction, best=None, maximise=True):
    return prediction.mean


def in_a_context(self, prediction, context):
    return prediction.mean


class Old(Component):
    """Registered by being defined; the tests give it a signature."""

    group = "acquisition"
    kind = "old_of_the_acquisition_tests"


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize(
    ("method", "got"),
    [
        ({"score": by_best_and_goal}, r"`score\(prediction, \*, best, maximise\)`"),
        ({"score": by_default}, r"`score\(prediction, best=None, maximise=True\)`"),
        ({"score_in": in_a_context}, "no method `score`"),
    ],
)
def test_one_that_is_called_as_it_once_was_is_refused_with_what_to_change(method, got, inner, monkeypatch):
    for name, function in method.items():
        monkeypatch.setattr(Old, name, function, raising=False)
    spec = {"kind": Old.kind}
    words = f"'{Old.kind}', class Old of the module .*test_base, has {got}; expected `score\\(predicted, about\\)`"
    with pytest.raises(ComponentError, match=words) as error:
        built({"kind": "constrained", "inner": spec} if inner else spec)
    assert "Take the best value from `about.best`, leave the goal out" in str(error.value)
