"""Thompson sampling against the exact probabilities of its draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from data.records import Prediction
from models.protocols import Pool, Scoring
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


# Several objectives and limits

FREE = (-np.inf, np.inf)


def pool_of_several(means, covariances, about):
    means, covariances = np.asarray(means, dtype=float), np.asarray(covariances, dtype=float)
    joints = tuple(from_matrix(mean, covariance) for mean, covariance in zip(means, covariances, strict=True))
    predictions = tuple(Prediction(mean, np.ones(len(mean))) for mean in means)
    return Pool(scores=-np.arange(len(means[0]), dtype=float), predictions=predictions, joints=joints, about=about)


def test_along_a_front_that_is_known_each_has_the_share_of_weights_that_prefer_it():
    # Above the corner that is a tenth below the worst, (1, 0) has (1.1, 0.1), the middle (0.8, 0.8), (0, 1) the rest.
    sure = np.stack([1e-12 * np.eye(3)] * 2)
    about = Scoring(measured=np.array([[0.0, 0.0], [1.0, 1.0]]))
    pool = pool_of_several([[1.0, 0.7, 0.0], [0.0, 0.7, 1.0]], sure, about)
    angle = np.random.default_rng(0).uniform(0, np.pi / 2, 200_000)
    weights = np.column_stack([np.cos(angle), np.sin(angle)])
    worth = [np.min(np.array(above) / weights, axis=1) for above in ([1.1, 0.1], [0.8, 0.8], [0.1, 1.1])]
    shares = np.bincount(np.argmax(worth, axis=0), minlength=3) / len(angle)
    for member in range(3):
        p = shares[member]
        assert abs(frequency_of_first(pool, member) - p) < 5 * np.sqrt(p * (1 - p) / SEEDS)


def test_a_concave_front_is_bought_in_its_middle_too():
    # Of (1, 0), (0.3, 0.3), (0, 1) no weighted sum prefers the middle.
    sure = np.stack([1e-12 * np.eye(3)] * 2)
    about = Scoring(measured=np.array([[0.0, 0.0], [1.0, 1.0]]))
    pool = pool_of_several([[1.0, 0.3, 0.0], [0.0, 0.3, 1.0]], sure, about)
    assert frequency_of_first(pool, 1, 300) > 0.2


def test_drawn_limits_decide_who_may_be_the_best():
    # The first is the better and breaks the limit in half of the draws.
    means, covariances = [[1.0, 0.0], [2.0, 0.0]], [1e-12 * np.eye(2), np.diag([1.0, 1e-12])]
    about = Scoring(measured=np.array([[0.0, 0.0]]), limits=(FREE, (-np.inf, 2.0)), improved=(0,))
    pool = pool_of_several(means, covariances, about)
    assert abs(frequency_of_first(pool, 0) - 0.5) < 5 * 0.5 / np.sqrt(SEEDS)


def test_where_nobody_keeps_to_the_limit_the_nearest_comes_first():
    means, covariances = [[9.0, 0.0, 5.0], [4.0, 3.0, 2.5]], [1e-12 * np.eye(3)] * 2
    about = Scoring(measured=np.array([[0.0, 0.0]]), limits=(FREE, (-np.inf, 2.0)), improved=(0,))
    assert Thompson().select(pool_of_several(means, covariances, about), 3) == [2, 1, 0]
