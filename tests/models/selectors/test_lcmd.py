"""LCMD against a naive reading of the published pseudo-code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.protocols import Pool
from models.selectors.lcmd import LargestClusterMaximumDistance
from models.selectors.max_min import MaxMin
from tests.models.selectors.pools import by_score, complete, moved, rotation, squared_distances

seeds = st.integers(0, 2**32 - 1)


def by_the_book(pool, n, *, fingerprints):
    members = by_score(pool)
    points = (pool.fingerprints if fingerprints else pool.features)[members]
    known = points[:0] if pool.train_features is None else pool.train_features
    everything = np.concatenate([known, points])
    distance = squared_distances(everything, points, fingerprints=fingerprints)
    d, c = [np.inf] * len(members), [0] * len(members)
    centres, chosen = 0, []

    def add(row):
        nonlocal centres
        for i in range(len(members)):
            if distance[row, i] < d[i]:
                d[i], c[i] = distance[row, i], centres
        centres += 1

    for row in range(len(known)):
        add(row)
    while len(chosen) < min(n, len(members)):
        if centres == 0:
            at = 0
        else:
            size = [0.0] * centres
            for i in range(len(members)):
                size[c[i]] += d[i]
            largest = size.index(max(size))
            inside = [i for i in range(len(members)) if c[i] == largest and i not in chosen]
            at = max(inside or [i for i in range(len(members)) if i not in chosen], key=lambda i: d[i])
        add(len(known) + at)
        c[at], d[at] = centres - 1, 0.0
        chosen.append(at)
    return [members[i] for i in chosen]


@pytest.mark.parametrize("features", ["fingerprints", "descriptors"])
@given(seed=seeds, m=st.integers(0, 15), n=st.integers(0, 15), measured=st.integers(0, 5), ties=st.booleans())
@settings(max_examples=60, deadline=None)
def test_it_is_the_published_algorithm(features, seed, m, n, measured, ties):
    # Where equal distances are rounded, rounding decides between them; similarities of counts are exact.
    pool = complete(seed, m, measured, features=features, ties=ties and features == "fingerprints")
    chosen = LargestClusterMaximumDistance(features=features).select(pool, n)
    assert chosen == by_the_book(pool, n, fingerprints=features == "fingerprints")


def test_a_crowded_cluster_comes_before_a_lonely_outlier():
    # Measured at 0 and 10. Around 0 are six candidates, 54.25 of squared distance; the outlier alone has 16.
    x = np.array([[3.0], [3.0], [-3.0], [3.5], [-2.0], [-1.0], [14.0]])
    pool = Pool(scores=-np.arange(7.0), features=x, train_features=np.array([[0.0], [10.0]]))
    assert LargestClusterMaximumDistance(features="last_layer").select(pool, 1) == [3]
    assert MaxMin(features="last_layer", train=True).select(pool, 1) == [6]
    # 3.5 takes the three near it; -3, -2 and -1 leave 14 to 0, and the outlier's 16 is now the most.
    assert LargestClusterMaximumDistance(features="last_layer").select(pool, 3) == [3, 6, 2]


def test_without_measurements_the_best_score_is_first():
    pool = complete(3, 12, 0)
    assert LargestClusterMaximumDistance().select(pool, 4)[0] == int(np.argmax(pool.scores))


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_moving_turning_and_stretching_the_coordinates_changes_nothing(seed):
    pool, turn = complete(seed, 20, 3, features="descriptors"), rotation(seed, 3)
    selector = LargestClusterMaximumDistance(features="descriptors")
    assert selector.select(moved(pool, lambda x: 7.0 * x @ turn + 30.0), 10) == selector.select(pool, 10)


def test_many_measurements_are_worked_through_in_blocks():
    pool = complete(9, 30, 200, features="descriptors")
    expected = by_the_book(pool, 10, fingerprints=False)
    assert LargestClusterMaximumDistance(features="descriptors").select(pool, 10) == expected
