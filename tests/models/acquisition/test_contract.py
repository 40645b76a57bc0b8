"""What every registered acquisition must do, where all is known that may be."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.records import Prediction
from models.acquisition.base import fewest_objectives, is_logarithm, most_objectives, within_a_pool
from models.protocols import Acquisition, Scoring
from models.registry import build, kinds


def takes_values(kind):
    return most_objectives(build("acquisition", {"kind": kind})) != 0


KINDS = [kind for kind, cls in kinds("acquisition").items() if not cls.__module__.startswith("tests")]
MOLECULES = ("CCO", "CCCCO", "c1ccccc1O", "CC(=O)O", "CCN", "c1ccncc1", "CCCl", "CC#N", "OCC(O)CO", "CCCCCC")
every = pytest.mark.parametrize("kind", KINDS)
of_values = pytest.mark.parametrize("kind", [kind for kind in KINDS if takes_values(kind)])
"""Those for which a value may be better than another."""
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=15, deadline=None)


class Telling:
    """Knows what an answer would tell: more of a longer text."""

    def information(self, objects):
        return np.array([len(obj) / 10 for obj in objects])

    def most_informative(self, objects, n):
        return np.argsort(-self.information(objects), kind="stable")[:n].tolist()


def problem(seed, n=6, t=5):
    """Predictions of two objectives at n molecules, after t measurements; the first is the target."""
    rng = np.random.default_rng(seed)
    predicted = tuple(Prediction(rng.normal(size=n), rng.uniform(0.2, 1.5, n)) for _ in range(2))
    measured = rng.normal(size=(t, 2))
    return predicted, Scoring(
        objects=tuple(rng.permutation(MOLECULES)[:n].tolist()),
        seed=seed,
        measured=measured,
        predicted_best=float(measured[:, 0].max()) - 0.1,
        noise=0.1,
        cost=rng.uniform(0.5, 5.0, n),
        informing=Telling(),
    )


def changed(predicted, about, rows=slice(None), *, by=lambda values, k: values):
    """Return some rows of a problem, with all values of an objective k passed through a function."""

    def one(known, k):
        mean = np.asarray(by(known.mean, k))[rows]
        width = abs(by(known.std, k) - by(np.zeros(len(known)), k))
        return Prediction(mean, width[rows])

    at = range(len(about.objects))[rows] if isinstance(rows, slice) else rows
    return tuple(one(known, k) for k, known in enumerate(predicted)), replace(
        about,
        predicted_best=float(by(about.predicted_best, 0)),
        noise=float(abs(by(about.noise, 0) - by(0.0, 0))),
        objects=tuple(about.objects[i] for i in at),
        cost=about.cost[rows],
        measured=np.column_stack([by(column, k) for k, column in enumerate(about.measured.T)]),
    )


def score(kind, predicted, about):
    return build("acquisition", {"kind": kind}).score(predicted, about)


@every
@given(seed=seeds, n=st.integers(0, 8), t=st.integers(1, 6))
@few
def test_each_candidate_has_a_finite_score_and_nothing_is_altered(kind, seed, n, t):
    predicted, about = problem(seed, n, t)
    assert isinstance(build("acquisition", {"kind": kind}), Acquisition)
    parts = predicted[0].mean, predicted[0].std, about.measured, about.cost
    before = [part.copy() for part in parts]
    value = score(kind, predicted, about)
    assert value.shape == (n,)
    assert value.dtype == np.float64
    assert np.isfinite(value).all()
    value += 1.0  # of the caller's own
    for part, old in zip(parts, before, strict=True):
        np.testing.assert_array_equal(part, old)


@every
@given(seed=seeds)
@few
def test_another_order_of_the_candidates_gives_the_scores_in_that_order(kind, seed):
    order = np.random.default_rng(seed).permutation(6)
    value = score(kind, *changed(*problem(seed), order))
    np.testing.assert_allclose(value, score(kind, *problem(seed))[order], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not within_a_pool(build("acquisition", {"kind": kind}))])
def test_a_score_does_not_depend_on_who_else_is_asked_about(kind):
    value = score(kind, *problem(1))
    for i in range(6):
        np.testing.assert_allclose(score(kind, *changed(*problem(1), [i])), value[i], rtol=1e-9)
    twice = [0, 3, 0]
    np.testing.assert_allclose(score(kind, *changed(*problem(1), twice)), value[twice], rtol=1e-9)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if within_a_pool(build("acquisition", {"kind": kind}))])
def test_one_that_is_said_to_depend_on_the_pool_does(kind):
    value = score(kind, *problem(1))
    alone = [score(kind, *changed(*problem(1), [i]))[0] for i in range(6)]
    assert not np.allclose(alone, value)


@of_values
@given(seed=seeds, gain=st.floats(0.05, 3.0), best=st.floats(-4, 4))
@few
def test_a_better_mean_never_scores_worse(kind, seed, gain, best):
    """With all else equal, the molecule, its cost and the other objective included."""
    predicted, about = changed(*problem(seed, 2), [0, 0])
    prediction = predicted[0]
    prediction.mean[1] += gain
    value = score(kind, predicted, replace(about, predicted_best=best))
    assert value[1] >= value[0] - 1e-12 * abs(value[0])
    # Far above the best a probability is 1 to the last bit, and cannot grow; near it all scores must.
    if abs(prediction.mean - best).max() < 3.0 * prediction.std[0]:
        assert value[1] > value[0]


@every
@given(seed=seeds, factor=st.sampled_from([1e-3, 0.5, 250.0]), shift=st.sampled_from([0.0, -40.0, 7.5]))
@few
def test_values_in_another_unit_keep_the_order_and_move_logarithms_by_one_number(kind, seed, factor, shift):
    plain = score(kind, *problem(seed))
    other = score(kind, *changed(*problem(seed), by=lambda values, k: factor * values + shift))
    # The scores are far enough apart, but where two tie either order will do.
    np.testing.assert_allclose(other[np.argsort(plain)], np.sort(other), rtol=1e-6, atol=1e-9)
    if is_logarithm(build("acquisition", {"kind": kind})):
        np.testing.assert_allclose(other - plain, (other - plain)[0], atol=1e-6)


@every
@given(seed=seeds)
@settings(max_examples=5, deadline=None)
def test_configuration_makes_the_same_acquisition_again(kind, seed):
    acquisition = build("acquisition", {"kind": kind})
    again = build("acquisition", json.loads(json.dumps(acquisition.config())))
    assert again.config() == acquisition.config()
    np.testing.assert_array_equal(again.score(*problem(seed)), acquisition.score(*problem(seed)))


@every
def test_where_nothing_is_known_there_is_a_score_or_a_sentence_that_says_what_is_lacking(kind):
    predicted, _ = problem(2)
    acquisition = build("acquisition", {"kind": kind})
    try:
        value = acquisition.score(predicted[: fewest_objectives(acquisition)], Scoring())
    except ValueError as error:
        assert f"The acquisition {kind!r} needs" in str(error)  # noqa: PT017
        assert "which is not known here" in str(error)  # noqa: PT017
    else:
        assert value.shape == (6,)
        assert np.isfinite(value).all()


@of_values
def test_scores_far_from_the_best_are_finite_and_in_order(kind):
    target = Prediction(np.array([-1e4, -1e3, -100.0, -50.0, -40.0]), np.full(5, 1.0))
    flat = Prediction(np.zeros(5), np.ones(5))
    measured = np.array([[0.0, 0.0], [-1.0, 1.0]])
    value = score(kind, (target, flat), Scoring(("CCO",) * 5, measured=measured, cost=np.ones(5)))
    assert np.isfinite(value).all()
    assert (np.diff(value) > 0).all()
