"""Local penalisation against its formula, candidate by candidate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from data.records import Prediction
from models.protocols import Pool, Scoring
from models.selectors.local_penalisation import LocalPenalisation
from tests.models.selectors.pools import by_score, complete, moved, rotation, squared_distances

seeds = st.integers(0, 2**32 - 1)


def by_the_formula(pool, n, *, fingerprints):
    members = by_score(pool)
    points = pool.fingerprints if fingerprints else pool.features
    distance = np.sqrt(squared_distances(points, points, fingerprints=fingerprints))
    mean, std = pool.prediction.mean, pool.prediction.std
    top = max(mean[members])
    if pool.best is not None:
        top = max(top, pool.best)
    near = members[:100]
    slope = max(
        (abs(mean[i] - mean[j]) / distance[i, j] for i in near for j in near if distance[i, j] > 1e-9), default=0.0
    )
    allowed = pool.scores[members]
    z = (pool.scores - allowed.mean()) / (allowed.std() or 1.0)
    base = pool.scores if pool.log_scores else np.log(np.log1p(np.exp(z)))
    chosen = []
    while len(chosen) < min(n, len(members)):

        def penalised(i):
            ball = [norm.logcdf((slope * distance[i, j] - top + mean[j]) / std[j]) for j in chosen]
            return base[i] + sum(ball)

        chosen.append(max((i for i in members if i not in chosen), key=penalised))
    return chosen


@pytest.mark.parametrize("features", ["fingerprints", "descriptors"])
@given(
    seed=seeds,
    m=st.integers(1, 14),
    best=st.none() | st.floats(-3, 3),
    log_scores=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_it_is_the_formula(features, seed, m, best, log_scores):
    pool = replace(complete(seed, m, best=best), log_scores=log_scores)
    chosen = LocalPenalisation(features=features).select(pool, 7)
    assert chosen == by_the_formula(pool, 7, fingerprints=features == "fingerprints")


def test_the_slope_is_that_of_the_hundred_best():
    x = np.linspace(0.0, 13.0, 130)
    mean = 0.2 * x
    mean[129] -= 5.0  # a cliff: were it looked at, no ball would have any width
    pool = Pool(
        scores=-1e-3 * np.arange(130),
        predictions=(Prediction(mean, np.ones(130)),),
        features=x[:, None],
        log_scores=True,
    )
    selector = LocalPenalisation(features="descriptors")
    assert selector.select(pool, 6) == by_the_formula(pool, 6, fingerprints=False)
    assert selector.select(pool, 6) != by_score(pool, 6)
    steep = replace(pool, scores=pool.scores[::-1])
    assert selector.select(steep, 6) == by_the_formula(steep, 6, fingerprints=False)
    assert min(selector.select(steep, 6)) > 120


def test_a_neighbour_of_the_best_gives_way_to_a_stranger():
    # The slope is 1, so that the neighbour at 0.1 is outside of the ball with probability Phi(0.1 / 0.3) = exp(-0.46).
    mean = np.array([2.0, 1.9, 1.0, 0.9])
    pool = Pool(
        scores=np.array([0.0, -0.1, -0.5, -0.6]),
        predictions=(Prediction(mean, np.full(4, 0.3)),),
        features=np.array([[0.0], [0.1], [5.0], [5.1]]),
        log_scores=True,
    )
    assert LocalPenalisation(features="last_layer").select(pool, 2) == [0, 2]
    likelier = replace(pool, scores=np.array([0.0, -0.1, -0.6, -0.7]))
    assert LocalPenalisation(features="last_layer").select(likelier, 2) == [0, 1]


def test_where_the_mean_is_flat_nobody_is_nearer_than_another():
    pool = complete(4, 15)
    pool = replace(pool, predictions=(Prediction(np.full(15, 0.3), np.ones(15)),))
    assert LocalPenalisation().select(pool, 6) == by_score(pool, 6)


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_moving_turning_and_stretching_the_coordinates_changes_nothing(seed):
    pool, turn = complete(seed, 20, 3, features="descriptors"), rotation(seed, 3)
    selector = LocalPenalisation(features="descriptors")
    assert selector.select(moved(pool, lambda x: 7.0 * x @ turn + 30.0), 10) == selector.select(pool, 10)


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_the_unit_of_the_target_changes_nothing(seed):
    pool = complete(seed, 15, best=1.0)
    other = replace(
        pool,
        scores=50.0 * pool.scores + 3.0,
        predictions=(Prediction(50.0 * pool.prediction.mean + 3.0, 50.0 * pool.prediction.std),),
        about=Scoring(predicted_best=53.0),
    )
    assert LocalPenalisation().select(other, 7) == LocalPenalisation().select(pool, 7)
