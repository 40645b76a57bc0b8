"""BAIT against its objective with dense inverses, and its sketch of fingerprints against what it sketches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.protocols import Pool
from models.selectors.bait import Bait, sketched
from models.selectors.geometry import Fingerprinted
from tests.models.selectors.pools import assert_greedy, by_score, complete, moved, permuted, rotation

seeds = st.integers(0, 2**32 - 1)


def error_of(pool, noise):
    """Return tr(A^-1 F) of a batch, as the docstring says it."""
    members = by_score(pool)
    known = pool.features[:0] if pool.train_features is None else pool.train_features
    both = np.concatenate([pool.features[members], known])
    scale = np.sqrt(np.square(both).sum(1).mean())
    x, known, both = pool.features / scale, known / scale, both / scale
    fisher = both.T @ both / len(both)

    def error(batch):
        informed = np.concatenate([known, x[batch]])
        return np.trace(np.linalg.inv(np.eye(x.shape[1]) + informed.T @ informed / noise) @ fisher)

    return error


@given(seed=seeds, measured=st.sampled_from([0, 1, 5]), noise=st.sampled_from([1e-3, 0.01, 0.5]), ties=st.booleans())
@settings(max_examples=60, deadline=None)
def test_each_choice_leaves_the_least_error_of_all(seed, measured, noise, ties):
    pool = complete(seed, 12, measured, features="descriptors", ties=ties)
    pool.features[0] += 0.5  # features that are all zero teach nothing, and all choices are one
    pool.scores[[2, 7]] = -np.inf
    error = error_of(pool, noise)
    chosen = Bait(features="descriptors", noise=noise).select(pool, 8)
    assert len(chosen) == 8
    assert_greedy(chosen, by_score(pool), lambda batch: -error(batch))


def overselect_and_drop(pool, n, noise):
    error, chosen, members = error_of(pool, noise), [], by_score(pool)
    while len(chosen) < min(2 * n, len(members)):
        chosen.append(min((i for i in members if i not in chosen), key=lambda i: error([*chosen, i])))
    while len(chosen) > n:
        chosen.remove(min(chosen, key=lambda i: error([j for j in chosen if j != i])))
    return chosen


@given(seed=seeds, n=st.integers(1, 8), measured=st.sampled_from([0, 5]))
@settings(max_examples=40, deadline=None)
def test_forward_backward_drops_those_whose_loss_costs_least(seed, n, measured):
    pool = complete(seed, 12, measured, features="descriptors")
    pool = replace(pool, scores=pool.scores.copy())
    pool.scores[4] = -np.inf
    chosen = Bait(features="descriptors", noise=0.1, variant="forward_backward").select(pool, n)
    assert chosen == overselect_and_drop(pool, n, 0.1)


def test_dropping_can_undo_an_early_choice():
    pool = complete(20, 12, 5, features="descriptors")
    forward = Bait(features="descriptors").select(pool, 3)
    backward = Bait(features="descriptors", variant="forward_backward").select(pool, 3)
    error = error_of(pool, 0.01)
    assert set(forward) != set(backward)
    assert error(backward) < error(forward)


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_turning_and_stretching_the_coordinates_changes_nothing(seed):
    pool, turn = complete(seed, 20, 4, features="descriptors"), rotation(seed, 3)
    selector = Bait(features="descriptors", noise=0.1)
    assert selector.select(moved(pool, lambda x: 7.0 * x @ turn), 6) == selector.select(pool, 6)


def test_what_was_measured_teaches_nothing_more():
    x = np.eye(3)
    pool = Pool(scores=np.array([3.0, 2.0, 1.0]), features=x, train_features=x[:2])
    assert Bait(features="gradient").select(pool, 1) == [2]


def test_what_resembles_most_of_the_pool_comes_first():
    x = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.1], [1.0, -0.1]])
    assert Bait(features="gradient").select(Pool(scores=-np.arange(4.0), features=x), 2) == [1, 0]


def test_sketched_fingerprints_keep_their_inner_products():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.4, (40, 60))
    counts[20:30, 20:] = counts[:10, 20:]  # so that some are alike
    a, b = sketched(Fingerprinted(counts[:25], counts[25:]))
    assert (a.shape, b.shape) == ((25, 512), (15, 512))
    both, size = np.concatenate([a, b]), counts.sum(1)
    exact = np.minimum(counts[:, None], counts[None]).sum(2) / np.sqrt(size[:, None] * size[None])
    # An inner product of two unit vectors has a variance of at most 2/512 over random directions.
    assert np.abs(both @ both.T - exact).max() < 5 * np.sqrt(2 / 512)
    pairs = np.triu_indices(40)
    assert np.corrcoef((both @ both.T)[pairs], exact[pairs])[0, 1] > 0.95


@pytest.mark.parametrize("variant", ["forward", "forward_backward"])
def test_a_batch_of_fingerprints_has_one_of_each_sort_before_it_has_two(variant):
    pool = permuted(complete(4, 4, 0), [0, 1, 0, 2, 3, 3, 2, 1, 0, 0, 1])
    sorts = np.array([0, 1, 0, 2, 3, 3, 2, 1, 0, 0, 1])
    chosen = Bait(variant=variant).select(pool, 4)
    assert sorted(sorts[chosen]) == [0, 1, 2, 3]
