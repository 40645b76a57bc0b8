"""The probability of holding the best against cases where it is known."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from models.protocols import Pool
from models.selectors.optimum_probability import OptimumProbability
from tests.models.selectors.pools import from_matrix


def pool_of(mean, covariance, **options):
    mean, covariance = np.asarray(mean, dtype=float), np.asarray(covariance, dtype=float)
    # Scores that fall with the index say who may be drawn for, and decide ties.
    return Pool(scores=-np.arange(len(mean), dtype=float), joints=(from_matrix(mean, covariance),), **options)


def test_a_wide_guess_is_taken_before_a_better_mean_that_a_sure_one_beats():
    # 0 is sure to have 1. 1 has a mean of 0.9 and can hardly beat it; 2 has a mean of 0 and does so one time in six.
    pool = pool_of([1.0, 0.9, 0.0], np.diag([1e-12, 0.03**2, 1.0]))
    assert norm.sf(0.1 / 0.03) < 0.001 < norm.sf(1.0)
    assert OptimumProbability().select(pool, 2) == [0, 2]


def test_a_copy_that_is_always_a_little_worse_is_never_the_best():
    covariance = np.ones((3, 3)) * 4.0
    covariance[2], covariance[:, 2] = 0.0, 0.0
    covariance[2, 2] = 1.0
    pool = pool_of([0.01, 0.0, -1.0], covariance)
    assert OptimumProbability().select(pool, 2) == [0, 2]


def test_members_that_are_never_the_best_follow_by_score():
    pool = pool_of([0.0, -9.0, -9.0, 5.0], np.diag([1e-12] * 4))
    assert OptimumProbability().select(pool, 4) == [3, 0, 1, 2]


def test_the_seed_decides_the_draws_and_their_number_does_not_depend_on_how_many_are_made_at_a_time():
    covariance = np.eye(30)
    one, same, other = (
        OptimumProbability(draws=1200).select(pool_of(np.zeros(30), covariance, seed=seed), 10) for seed in (0, 0, 1)
    )
    assert one == same != other
