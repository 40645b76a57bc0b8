"""The largest determinant against determinants of every extension."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.featurisers.nearness import min_max
from models.protocols import Pool
from models.selectors.max_det import MaxDet
from tests.models.selectors.pools import assert_greedy, by_score, complete, moved, permuted, rotation

seeds = st.integers(0, 2**32 - 1)


def kernel_of(pool, features, train):
    """Kernel of the members and then the measured objects; the mean diagonal of those not forbidden is 1."""
    if features == "posterior":
        kernel = pool.joint(range(len(pool)))[1]
    else:
        points = pool.fingerprints if features == "fingerprints" else pool.features
        known = pool.train_features if train and pool.train_features is not None else points[:0]
        both = np.concatenate([points, known])
        kernel = min_max(both, both) if features == "fingerprints" else both @ both.T
    seen = by_score(pool) + list(range(len(pool), len(kernel)))
    return kernel / kernel.diagonal()[seen].mean()


def objective_of(pool, features, *, noise, train, quality=0.0):
    """Log det(K + noise I) of batch and measured objects together, plus the quality of the batch."""
    kernel = kernel_of(pool, features, train)
    known = list(range(len(pool), len(kernel)))
    allowed = pool.scores[by_score(pool)]

    def objective(batch):
        rows = [*known, *batch]
        sign, value = np.linalg.slogdet(kernel[np.ix_(rows, rows)] + noise * np.eye(len(rows)))
        assert sign > 0
        return value + quality * ((pool.scores[batch] - allowed.mean()) / (allowed.std() or 1.0)).sum()

    return objective


@pytest.mark.parametrize("features", ["fingerprints", "descriptors", "posterior"])
@given(
    seed=seeds,
    noise=st.sampled_from([0.01, 0.3]),
    quality=st.sampled_from([0.0, 0.7]),
    train=st.booleans(),
    measured=st.sampled_from([0, 4]),
    ties=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_each_choice_has_the_largest_determinant_of_all_extensions(
    features, seed, noise, quality, train, measured, ties
):
    pool = complete(seed, 12, measured, features=features, ties=ties)
    pool.scores[[2, 5]] = -np.inf
    selector = MaxDet(features=features, noise=noise, quality=quality, train=train, pool=None)
    chosen = selector.select(pool, 7)
    assert len(chosen) == 7
    objective = objective_of(pool, features, noise=noise, train=train, quality=quality)
    assert_greedy(chosen, by_score(pool), objective)


def test_with_little_noise_all_of_a_pool_is_chosen_in_the_order_of_the_determinants():
    pool = permuted(complete(8, 15, 0), [*range(15), 3, 7])
    chosen = MaxDet(noise=1e-6).select(pool, 17)
    assert_greedy(chosen, range(17), objective_of(pool, "fingerprints", noise=1e-6, train=False), tolerance=1e-6)
    # Copies gain nothing, so they come last.
    assert {frozenset({chosen[-1], chosen[-2]} & pair) for pair in ({3, 15}, {7, 16})} == {
        frozenset({one}) for one in chosen[-2:]
    }


def test_noise_below_rounding_does_not_stop_it_at_copies():
    pool = permuted(complete(8, 3, 0), [0, 1, 2, 0, 1, 2, 0])
    chosen = MaxDet(noise=1e-18).select(pool, 7)
    assert sorted(chosen) == list(range(7))
    assert {i % 3 for i in chosen[:3]} == {0, 1, 2}


def test_quality_takes_over_from_diversity():
    pool = complete(1, 30, 0)
    assert set(MaxDet(quality=1e3).select(pool, 5)) == set(by_score(pool, 5))
    assert set(MaxDet(quality=0.0).select(pool, 5)) != set(by_score(pool, 5))


def test_what_was_measured_is_not_bought_again_before_something_new():
    x = np.eye(3)
    pool = Pool(scores=np.array([3.0, 2.0, 1.0]), features=1.5 * x, train_features=x[:2])
    assert MaxDet(features="descriptors").select(pool, 1) == [2]
    assert MaxDet(features="descriptors", train=False).select(pool, 1) == [0]


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_turning_and_stretching_the_coordinates_changes_nothing(seed):
    pool, turn = complete(seed, 20, 4, features="descriptors"), rotation(seed, 3)
    selector = MaxDet(features="descriptors")
    assert selector.select(moved(pool, lambda x: 7.0 * x @ turn), 3) == selector.select(pool, 3)
    chosen = selector.select(moved(pool, lambda x: 7.0 * x @ turn), 8)
    assert_greedy(chosen, range(20), objective_of(pool, "descriptors", noise=0.01, train=True))


def test_the_posterior_may_be_in_any_unit():
    pool = complete(5, 20)
    large = replace(pool, joints=(lambda rows: (pool.joint(rows)[0], 1e6 * pool.joint(rows)[1]),))
    selector = MaxDet(features="posterior")
    assert selector.select(large, 8) == selector.select(pool, 8)


def test_the_first_choice_by_the_posterior_is_where_it_is_least_sure():
    pool = complete(5, 6)
    covariance = np.diag([1.0, 2.0, 9.0, 3.0, 1.0, 1.0])
    pool = replace(pool, joints=(lambda rows: (np.zeros(6)[list(rows)], covariance[np.ix_(list(rows), list(rows))]),))
    assert MaxDet(features="posterior").select(pool, 3) == [2, 3, 1]
