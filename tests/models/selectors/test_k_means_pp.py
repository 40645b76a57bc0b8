"""The draws of k-means++ against their exact probabilities."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from models.protocols import Pool
from models.selectors.k_means_pp import KMeansPlusPlus
from tests.models.selectors.pools import complete, moved, rotation, squared_distances

SEEDS = 2000


def counts_of(pool, n, seeds=SEEDS):
    selector = KMeansPlusPlus(features="descriptors")
    return Counter(tuple(selector.select(replace(pool, seed=seed), n)) for seed in range(seeds))


def assert_distributed(counts, probability):
    """Assert that counts are those of the law, by a chi-square that fails for one seed in a million."""
    total = sum(counts.values())
    assert not {one for one in counts if probability.get(one, 0.0) == 0.0}
    expected = {one: total * p for one, p in probability.items() if p > 0}
    assert min(expected.values()) > 5
    statistic = sum((counts.get(one, 0) - e) ** 2 / e for one, e in expected.items())
    assert statistic < chi2.ppf(1 - 1e-6, len(expected) - 1)


def test_the_first_is_drawn_by_the_squared_distance_from_the_nearest_measured():
    x = np.array([[0.0], [1.0], [2.0], [6.0], [10.0], [11.0]])
    pool = Pool(scores=np.array([1.0, 5.0, 3.0, 2.0, 0.0, 4.0]), features=x, train_features=np.array([[0.0], [9.0]]))
    share = np.array([0.0, 1.0, 4.0, 9.0, 1.0, 4.0]) / 19.0
    assert_distributed(counts_of(pool, 1), {(i,): share[i] for i in range(6)})


def test_without_measurements_the_first_is_uniform_and_the_second_by_distance_from_it():
    pool = complete(2, 5, 0, features="descriptors")
    distance = squared_distances(pool.features, pool.features)
    law = {(i, j): distance[i, j] / distance[i].sum() / 5 for i in range(5) for j in range(5)}
    assert_distributed(counts_of(pool, 2), law)


def test_the_second_keeps_away_from_the_first_and_from_the_measured():
    pool = complete(6, 4, 2, features="descriptors")
    nearest = squared_distances(pool.features, pool.train_features).min(1)
    law = {}
    for i in range(4):
        left = np.minimum(nearest, squared_distances(pool.features, pool.features)[i])
        law |= {(i, j): nearest[i] / nearest.sum() * left[j] / left.sum() for j in range(4)}
    assert_distributed(counts_of(pool, 2), law)


@pytest.mark.parametrize("measured", [False, True])
def test_a_copy_of_a_centre_is_never_drawn_while_others_are_left(measured):
    # 0, 2 and 5 are one molecule, which is measured or not; the three others are different.
    x = np.array([[1.0, 1.0], [0.0, 3.0], [1.0, 1.0], [4.0, 0.0], [-2.0, 5.0], [1.0, 1.0]])
    scores = np.array([1.0, 0.0, 3.0, 5.0, 4.0, 2.0])
    pool = Pool(scores=scores, features=x, train_features=x[:1] if measured else None)
    for seed in range(300):
        chosen = KMeansPlusPlus(features="descriptors").select(replace(pool, seed=seed), 6)
        if measured:
            assert set(chosen[:3]) == {1, 3, 4}
        else:
            assert {1, 3, 4} < set(chosen[:4])
        # Copies come by score once nothing else is left.
        copies = [i for i in chosen if i in (0, 2, 5)]
        assert (copies if measured else copies[1:]) == sorted(
            copies if measured else copies[1:], key=lambda i: -scores[i]
        )


def test_the_seed_decides():
    pool = complete(1, 30, 3)
    draws = {tuple(KMeansPlusPlus().select(replace(pool, seed=seed), 5)) for seed in range(20)}
    assert len(draws) > 15


@pytest.mark.parametrize("seed", range(5))
def test_moving_turning_and_stretching_the_coordinates_changes_no_draw(seed):
    pool, turn = complete(seed, 20, 3, features="descriptors"), rotation(seed, 3)
    selector = KMeansPlusPlus(features="descriptors")
    assert selector.select(moved(pool, lambda x: 7.0 * x @ turn + 30.0), 10) == selector.select(pool, 10)
