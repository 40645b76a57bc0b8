"""Max-min against the sentence that defines it, tried on every candidate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.chemistry.molecules import morgan_counts
from models.protocols import Pool
from models.selectors.max_min import MaxMin
from tests.models.selectors.pools import by_score, complete, moved, rotation, squared_distances

seeds = st.integers(0, 2**32 - 1)


def by_brute_force(pool, n, limit, *, fingerprints, train):
    members = by_score(pool, max(limit, n))
    points = pool.fingerprints if fingerprints else pool.features
    known = pool.train_features if train and pool.train_features is not None else points[:0]
    everything = np.concatenate([points, known])
    distance = squared_distances(everything, everything, fingerprints=fingerprints)
    centres = list(range(len(points), len(everything)))
    chosen = []
    while len(chosen) < min(n, len(members)):
        left = [i for i in members if i not in chosen]
        chosen.append(max(left, key=lambda i: min((distance[i, j] for j in centres + chosen), default=np.inf)))
    return chosen


@given(seed=seeds, m=st.integers(0, 14), n=st.integers(0, 14), limit=st.integers(1, 14), train=st.booleans())
@settings(max_examples=80, deadline=None)
def test_the_farthest_from_its_nearest_neighbour_is_chosen_and_ties_go_to_the_better_score(seed, m, n, limit, train):
    # Few levels and few columns, so that ties in score and in distance are common.
    pool = complete(seed, m, 3, ties=True)
    expected = by_brute_force(pool, n, limit, fingerprints=True, train=train)
    assert MaxMin(pool=limit, train=train).select(pool, n) == expected


@given(seed=seeds, train=st.booleans())
@settings(max_examples=50, deadline=None)
def test_distances_may_be_euclidean(seed, train):
    pool = complete(seed, 20, 3, features="descriptors")
    expected = by_brute_force(pool, 8, 20, fingerprints=False, train=train)
    assert MaxMin(features="descriptors", train=train).select(pool, 8) == expected


def test_the_unlike_is_preferred_over_the_slightly_better():
    molecules = ["N#Cc1ccc(C#N)cc1", "N#Cc1cccc(C#N)c1", "O=C1C=CC(=O)C=C1", "CCCCCC"]
    pool = Pool(scores=np.array([4.0, 3.9, 3.0, 0.0]), fingerprints=morgan_counts(molecules))
    assert MaxMin(pool=3).select(pool, 2) == [0, 2]


@pytest.mark.parametrize(("train", "first"), [(False, 0), (True, 2)])
def test_what_was_measured_counts_as_chosen_only_if_asked_for(train, first):
    pool = Pool(
        scores=np.array([3.0, 2.0, 1.0]),
        features=np.array([[0.0], [4.0], [9.0]]),
        train_features=np.array([[0.5], [3.0]]),
    )
    assert MaxMin(features="last_layer", train=train).select(pool, 1) == [first]


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_moving_turning_and_stretching_the_coordinates_changes_nothing(seed):
    pool, turn = complete(seed, 20, 3, features="descriptors"), rotation(seed, 3)
    selector = MaxMin(features="descriptors", train=True)
    assert selector.select(moved(pool, lambda x: 7.0 * x @ turn + 30.0), 10) == selector.select(pool, 10)


def test_a_copy_is_chosen_when_only_copies_are_left_even_far_from_the_origin():
    # |x|^2 is 1e12 here: a squared distance of two copies is what rounding leaves, and must count as none.
    x = 1e6 + np.array([[0.1, 0.7], [0.1, 0.7], [3.0, 0.2], [0.1, 0.7], [5.0, 5.0]])
    pool = Pool(scores=-np.arange(5.0), features=x)
    assert MaxMin(features="descriptors").select(pool, 5) == [0, 4, 2, 1, 3]
    assert MaxMin(features="descriptors").select(replace(pool, scores=np.arange(5.0)), 5) == [4, 3, 2, 1, 0]
