"""Fronts and distances by definition, on every pair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.records import Prediction
from models.protocols import Pool, Scoring
from models.selectors.pareto_diverse import ParetoDiverse
from tests.models.selectors.pools import by_score, complete, moved, rotation, squared_distances, with_another

seeds = st.integers(0, 2**32 - 1)


def dominates(a, b):
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))


def criteria_of(pool):
    one = pool.predictions[0]
    several = [each.mean for each in pool.predictions]
    return np.column_stack(several if len(several) > 1 else [one.mean, one.std])


def fronts_of(values, members):
    left, fronts = list(members), []
    while left:
        fronts.append([i for i in left if not any(dominates(values[j], values[i]) for j in left)])
        left = [i for i in left if i not in fronts[-1]]
    return fronts


def by_brute_force(pool, n, *, fingerprints):
    points = pool.fingerprints if fingerprints else pool.features
    known = points[:0] if pool.train_features is None else pool.train_features
    everything = np.concatenate([points, known])
    distance = squared_distances(everything, everything, fingerprints=fingerprints)
    centres, chosen = list(range(len(points), len(everything))), []
    for front in fronts_of(criteria_of(pool), by_score(pool)):
        left = list(front)
        while left and len(chosen) < n:
            at = max(left, key=lambda i: min((distance[i, j] for j in centres + chosen), default=np.inf))
            chosen.append(at)
            left.remove(at)
    return chosen


@pytest.mark.parametrize("features", ["fingerprints", "descriptors"])
@given(
    seed=seeds,
    m=st.integers(0, 14),
    n=st.integers(0, 14),
    measured=st.sampled_from([0, 3]),
    several=st.booleans(),
    ties=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_fronts_come_whole_and_in_order_and_the_farthest_of_a_front_first(
    features, seed, m, n, measured, several, ties
):
    # Where equal distances are rounded, rounding decides between them; similarities of counts are exact.
    ties = ties and features == "fingerprints"
    pool = complete(seed, m, measured, features=features, ties=ties)
    if several:
        pool = with_another(pool, seed)
    expected = by_brute_force(pool, n, fingerprints=features == "fingerprints")
    assert ParetoDiverse(features=features).select(pool, n) == expected


def test_a_better_score_does_not_lift_a_dominated_candidate():
    # Nothing is measured, and the best score is that of the one candidate that another dominates.
    objectives = (
        Prediction(np.array([0.0, 2.0, 1.0]), np.ones(3)),
        Prediction(np.array([-5.0, -1.0, -3.0]), np.ones(3)),
    )
    pool = Pool(
        scores=np.array([9.0, 1.0, 2.0]),
        features=np.array([[0.0], [1.0], [5.0]]),
        predictions=objectives,
    )
    assert ParetoDiverse(features="descriptors").select(pool, 3) == [1, 2, 0]


def test_with_one_objective_the_mean_and_the_deviation_are_traded():
    # 0 is the best guess, 1 the least sure, 2 is between; 3 is both worse and surer than 2.
    prediction = Prediction(np.array([3.0, 1.0, 2.0, 1.5]), np.array([0.1, 2.0, 1.0, 0.5]))
    pool = Pool(scores=prediction.mean, predictions=(prediction,), features=np.array([[0.0], [10.0], [4.0], [100.0]]))
    assert ParetoDiverse(features="descriptors").select(pool, 4) == [0, 1, 2, 3]


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_moving_turning_and_stretching_the_coordinates_changes_nothing(seed):
    pool, turn = complete(seed, 20, 3, features="descriptors"), rotation(seed, 3)
    selector = ParetoDiverse(features="descriptors")
    assert selector.select(moved(pool, lambda x: 7.0 * x @ turn + 30.0), 10) == selector.select(pool, 10)


def test_any_monotone_change_of_an_objective_changes_nothing():
    pool = with_another(complete(3, 20, 3), 4)
    first, second = pool.predictions
    bent = replace(pool, predictions=(Prediction(np.exp(first.mean), first.std), second))
    assert ParetoDiverse().select(bent, 12) == ParetoDiverse().select(pool, 12)


def test_who_is_predicted_to_break_a_limit_comes_last_by_the_breach():
    predictions = (
        Prediction(np.array([9.0, 1.0, 2.0, 5.0]), np.ones(4)),
        Prediction(np.array([9.0, 1.0, 0.0, 5.0]), np.ones(4)),
        Prediction(np.array([4.0, 0.0, 0.5, 3.0]), np.ones(4)),
    )
    free = (-np.inf, np.inf)
    about = Scoring(limits=(free, free, (-np.inf, 1.0)), improved=(0, 1))
    pool = Pool(scores=np.arange(4.0), features=np.arange(4.0)[:, None], predictions=predictions, about=about)
    assert set(ParetoDiverse(features="descriptors").select(pool, 2)) == {1, 2}
    assert ParetoDiverse(features="descriptors").select(pool, 4)[2:] == [3, 0]
