"""The kriging believer against a Gaussian process that is fitted again with each believed measurement."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.records import Prediction
from models.protocols import Pool, Scoring
from models.registry import build
from models.selectors.kriging_believer import KrigingBeliever
from tests.models.selectors.pools import complete, covariance_of, from_matrix

seeds = st.integers(0, 2**32 - 1)
NOISE = 0.05
ACQUISITIONS = {
    "upper_confidence_bound": {"kind": "upper_confidence_bound", "beta": 2.0},
    "expected_improvement": {"kind": "expected_improvement"},
    "plain_improvement": {"kind": "expected_improvement", "scale": "plain"},
}


def posterior(kernel, known, values, members):
    """Textbook Gaussian process of mean zero: mean and covariance of the function at some members."""
    gain = kernel[np.ix_(members, known)] @ np.linalg.inv(kernel[np.ix_(known, known)] + NOISE * np.eye(len(known)))
    return gain @ values, kernel[np.ix_(members, members)] - gain @ kernel[np.ix_(known, members)]


def prediction_of(mean, covariance):
    return Prediction(mean, np.sqrt(covariance.diagonal() + NOISE))


def problem(seed, m, config):
    """Return a pool, and the batch by refitting."""
    rng = np.random.default_rng(seed)
    kernel = covariance_of(rng.normal(size=(m + 5, 2)))
    members, known, values = list(range(m)), list(range(m, m + 5)), rng.normal(size=5)
    acquisition = build("acquisition", config)

    def score(prediction, best):
        return acquisition.score((prediction,), Scoring(predicted_best=best))

    mean, covariance = posterior(kernel, known, values, members)
    best = float(max(values))
    pool = Pool(
        scores=score(prediction_of(mean, covariance), best),
        predictions=(prediction_of(mean, covariance),),
        joints=(from_matrix(mean, covariance),),
        rescore=lambda rows, predictions, believed: score(predictions[0], max(best, *believed[:, 0])),
    )

    def refitted(n):
        believed, believed_values, chosen = list(known), list(values), []
        while len(chosen) < n:
            mean, covariance = posterior(kernel, believed, np.array(believed_values), members)
            value = score(prediction_of(mean, covariance), float(max(believed_values)))
            at = max((i for i in members if i not in chosen), key=lambda i: value[i])
            chosen.append(at)
            believed.append(at)
            believed_values.append(mean[at])
        return chosen

    return pool, refitted


@pytest.mark.parametrize("config", ACQUISITIONS.values(), ids=ACQUISITIONS)
@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_it_is_the_process_fitted_again_with_the_predicted_means_as_measurements(config, seed):
    pool, refitted = problem(seed, 12, config)
    assert KrigingBeliever().select(pool, 6) == refitted(6)


def test_believing_spreads_the_batch_where_the_best_scores_are_neighbours():
    x = np.array([[0.0], [0.01], [0.02], [3.0]])
    covariance, mean = covariance_of(x), np.array([1.0, 0.99, 0.98, 0.5])
    prediction = prediction_of(mean, covariance)
    pool = Pool(
        scores=mean + prediction.std,
        predictions=(prediction,),
        joints=(from_matrix(mean, covariance),),
        rescore=lambda rows, some, believed: some[0].mean + some[0].std,
    )
    assert KrigingBeliever().select(pool, 2) == [0, 3]


def test_what_is_believed_is_the_predicted_mean_of_each_choice():
    asked = []

    def rescore(rows, predictions, believed):
        asked.append(believed.tolist())
        return np.array([0.0, 9.0, 8.0, 7.0])

    mean = np.array([2.0, 5.0, 3.0, 3.0])
    pool = Pool(
        scores=np.array([4.0, 3.0, 2.0, 1.0]),
        predictions=(Prediction(mean, np.ones(4)),),
        joints=(from_matrix(mean, 0.5 * np.eye(4)),),
        rescore=rescore,
    )
    assert KrigingBeliever().select(pool, 3) == [0, 1, 2]
    assert asked == [[[2.0]], [[2.0], [5.0]]]


def test_means_stay_and_a_deviation_never_falls_below_the_noise():
    seen = []

    def rescore(rows, predictions, believed):
        seen.extend(predictions)
        return predictions[0].mean + predictions[0].std

    pool = complete(3, 10)
    pool = replace(pool, rescore=rescore)
    order = np.argsort(-pool.scores)
    KrigingBeliever().select(pool, 10)
    assert len(seen) == 9
    for prediction in seen:
        np.testing.assert_array_equal(prediction.mean, pool.prediction.mean[order])
        assert (prediction.std >= np.sqrt(0.1) - 1e-9).all()
    assert all((later.std <= earlier.std + 1e-12).all() for earlier, later in itertools.pairwise(seen))


def test_copies_that_are_known_exactly_do_not_stop_it():
    covariance = np.ones((5, 5))
    mean = np.arange(5.0)
    pool = Pool(
        scores=mean,
        predictions=(Prediction(mean, np.ones(5)),),  # no noise at all
        joints=(from_matrix(mean, covariance),),
        rescore=lambda rows, some, believed: some[0].mean + some[0].std,
    )
    assert KrigingBeliever().select(pool, 5) == [4, 3, 2, 1, 0]


def test_if_what_is_believed_forbids_all_that_are_left_the_better_score_before_comes_next():
    # A constraint that holds only by a wide deviation: once that has shrunk, nobody satisfies it.
    covariance = np.full((4, 4), 0.99) + 0.01 * np.eye(4)
    mean = np.zeros(4)
    prediction = Prediction(mean, np.sqrt(np.full(4, 1.001)))
    pool = Pool(
        scores=np.array([1.0, 4.0, 3.0, 2.0]),
        predictions=(prediction,),
        joints=(from_matrix(mean, covariance),),
        rescore=lambda rows, some, believed: np.where(some[0].std > 0.5, 1.0, -np.inf),
    )
    assert KrigingBeliever().select(pool, 4) == [1, 2, 3, 0]


def test_a_score_that_becomes_no_number_is_refused():
    pool = replace(complete(0, 4), rescore=lambda rows, some, believed: np.full(len(rows), np.nan))
    with pytest.raises(ValueError, match="are NaN"):
        KrigingBeliever().select(pool, 2)


# Several objectives


SEVERAL = {
    "expected_hypervolume_improvement": {"kind": "expected_hypervolume_improvement"},
    "constrained": {"kind": "constrained", "inner": {"kind": "expected_hypervolume_improvement"}},
    "weighted_sum": {"kind": "weighted_sum"},
}


@pytest.mark.parametrize("config", SEVERAL.values(), ids=SEVERAL)
@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_each_process_is_fitted_again_with_its_predicted_means_and_the_front_moves_out(config, seed):
    m, rng = 10, np.random.default_rng(seed)
    kernels = [covariance_of(rng.normal(size=(m + 5, 2))) for _ in range(3)]
    members, known, values = list(range(m)), list(range(m, m + 5)), rng.normal(size=(5, 3))
    limited = config["kind"] == "constrained"
    limits = ((-np.inf, np.inf), (-np.inf, np.inf), (-0.3, np.inf)) if limited else ()
    improved = (0, 1) if limited else ()
    acquisition = build("acquisition", config)

    def fitted(known, values):
        return [posterior(kernel, known, column, members) for kernel, column in zip(kernels, values.T, strict=True)]

    def score(predictions, values):
        return acquisition.score(tuple(predictions), Scoring(measured=values, limits=limits, improved=improved))

    begin = fitted(known, values)
    predictions = tuple(prediction_of(*one) for one in begin)
    pool = Pool(
        scores=score(predictions, values),
        predictions=predictions,
        about=Scoring(measured=values, limits=limits, improved=improved),
        joints=tuple(from_matrix(*one) for one in begin),
        rescore=lambda rows, some, believed: score(some, np.vstack([values, believed])),
    )
    expected, there, told = [], list(known), values
    while len(expected) < 5:
        now = fitted(there, told)
        value = score([prediction_of(*one) for one in now], told)
        at = max((i for i in members if i not in expected), key=lambda i: value[i])
        expected.append(at)
        there, told = [*there, at], np.vstack([told, [mean[at] for mean, _ in now]])
    assert KrigingBeliever().select(pool, 5) == expected


def test_a_batch_goes_along_the_front_and_not_to_one_end_of_it():
    # A front from (0, 1) to (1, 0), each place with a near copy; the middle has the largest improvement.
    t = np.repeat(np.linspace(0.0, 1.0, 5), 2) + np.tile([0.0, 0.01], 5)
    mean = np.column_stack([np.sin(t * np.pi / 2), np.cos(t * np.pi / 2)])
    covariance = 0.02 * covariance_of(10.0 * t[:, None])
    measured = np.array([[0.1, 0.1], [-0.5, 0.0], [0.0, -0.5]])
    acquisition = build("acquisition", {"kind": "expected_hypervolume_improvement"})
    predictions = tuple(Prediction(column, np.sqrt(covariance.diagonal() + 1e-6)) for column in mean.T)
    about = Scoring(measured=measured)
    pool = Pool(
        scores=acquisition.score(predictions, about),
        predictions=predictions,
        about=about,
        joints=tuple(from_matrix(column, covariance) for column in mean.T),
        rescore=lambda rows, some, believed: acquisition.score(some, Scoring(measured=np.vstack([measured, believed]))),
    )
    best = np.argsort(-pool.scores)[:5] // 2
    assert len(set(best)) < 5  # by score alone some places come twice
    chosen = KrigingBeliever().select(pool, 5)
    assert sorted(i // 2 for i in chosen) == [0, 1, 2, 3, 4]
