"""Thompson sampling against the exact probabilities of its draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from models.protocols import Pool
from models.selectors.thompson import Thompson
from tests.models.selectors.pools import complete, from_matrix

SEEDS = 1500


def pool_of(mean, covariance, **options):
    mean, covariance = np.asarray(mean, dtype=float), np.asarray(covariance, dtype=float)
    # Scores that disagree with the draws: they say who may be drawn for, and no more.
    return Pool(scores=np.arange(len(mean), dtype=float), joints=(from_matrix(mean, covariance),), **options)


def frequency_of_first(pool, member, seeds=SEEDS):
    return np.mean([Thompson().select(replace(pool, seed=seed), 1) == [member] for seed in range(seeds)])


@pytest.mark.parametrize("correlation", [-0.8, 0.0, 0.95])
def test_of_two_each_comes_first_as_often_as_it_is_the_better(correlation):
    mean, a, b = np.array([0.3, 0.0]), 1.0, 0.6
    covariance = np.array([[a**2, correlation * a * b], [correlation * a * b, b**2]])
    p = norm.cdf(0.3 / np.sqrt(a**2 + b**2 - 2 * correlation * a * b))
    pool = pool_of(mean, covariance)
    assert abs(frequency_of_first(pool, 0) - p) < 5 * np.sqrt(p * (1 - p) / SEEDS)


def test_one_draw_serves_all_that_are_compared():
    # Perfectly correlated: the second is always a little better, however wide the deviation.
    pool = pool_of([0.0, 0.01, -5.0], 9.0 * np.ones((3, 3)))
    assert frequency_of_first(pool, 1, 200) == 1.0


def test_each_member_of_a_batch_has_a_draw_of_its_own():
    # 0 loses a draw with probability Phi(-1), and misses a batch of two if it loses two of them.
    pool = pool_of([0.0, -1.0, -1.0], np.diag([1.0, 1e-12, 1e-12]))
    missed = np.mean([0 not in Thompson().select(replace(pool, seed=seed), 2) for seed in range(SEEDS)])
    p = norm.cdf(-1.0) ** 2
    assert abs(missed - p) < 5 * np.sqrt(p * (1 - p) / SEEDS)


def test_near_copies_do_not_stop_it():
    x = np.repeat(np.random.default_rng(0).normal(size=(4, 2)), 5, axis=0)
    covariance = np.exp(-np.square(x[:, None] - x[None]).sum(2)) - 1e-10 * np.eye(20)
    assert np.linalg.eigvalsh(covariance).min() < 0
    assert sorted(Thompson().select(pool_of(np.zeros(20), covariance), 20)) == list(range(20))


def test_copies_share_their_luck():
    # Ten copies are no likelier to hold the best than one is: each group comes first half of the time.
    x = np.repeat([[0.0], [100.0]], [10, 1], axis=0)
    pool = pool_of(np.zeros(11), np.exp(-np.square(x - x.T)))
    assert abs(frequency_of_first(pool, 10, 1500) - 0.5) < 5 * np.sqrt(0.25 / 1500)


def test_the_seed_decides():
    pool = complete(1, 30)
    draws = {tuple(Thompson().select(replace(pool, seed=seed), 5)) for seed in range(20)}
    assert len(draws) > 15
