"""Rows of kernels and distances against the whole matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.chemistry.molecules import morgan_counts
from models.featurisers.nearness import min_max
from models.selectors.geometry import Embedded, Fingerprinted, squared_distances, train_distances
from tests.models.selectors import pools

seeds = st.integers(0, 2**32 - 1)


def geometry_of(sort, seed, m, t):
    """Return a geometry, and the kernel and the squared distances of its members and measured objects together."""
    rng = np.random.default_rng(seed)
    if sort == "fingerprints":
        both = rng.integers(0, 5, (m + t, 6)) * rng.integers(0, 2, (m + t, 6))
        made = Fingerprinted(both[:m], both[m:])
        return made, min_max(both, both), pools.squared_distances(both, both, fingerprints=True)
    both = rng.normal(size=(m + t, 4))
    made = Embedded(both[:m].copy(), both[m:], centre=sort == "centred")
    shifted = both - both[:m].mean(0) if sort == "centred" and m else both
    return made, shifted @ shifted.T, pools.squared_distances(both, both)


@pytest.mark.parametrize("sort", ["fingerprints", "plain", "centred"])
@given(seed=seeds, m=st.integers(1, 8), t=st.sampled_from([0, 1, 5, 70]))
@settings(max_examples=30, deadline=None)
def test_rows_and_blocks_are_those_of_the_whole_matrix(sort, seed, m, t):
    geometry, kernel, distance = geometry_of(sort, seed, m, t)
    np.testing.assert_allclose(geometry.diagonal, kernel.diagonal()[:m], atol=1e-12)
    np.testing.assert_allclose(geometry.train_diagonal, kernel.diagonal()[m:], atol=1e-12)
    np.testing.assert_allclose(geometry.train_kernel(), kernel[m:, m:], atol=1e-12)
    np.testing.assert_allclose(geometry.train_block(0, t), kernel[:m, m:], atol=1e-12)
    for i in range(m):
        np.testing.assert_allclose(geometry.row(i), kernel[i, :m], atol=1e-12)
        np.testing.assert_allclose(squared_distances(geometry, i), distance[i, :m], atol=1e-12)
        assert squared_distances(geometry, i)[i] == 0.0
    blocks = list(train_distances(geometry))
    assert [begin for begin, _ in blocks] == list(range(0, t, 64))
    together = np.concatenate([np.zeros((m, 0)), *(block for _, block in blocks)], axis=1)
    np.testing.assert_allclose(together, distance[:m, m:], atol=1e-12)


def test_fingerprints_of_molecules_have_their_tanimoto_similarities_to_the_last_bit():
    counts = morgan_counts(["CCO", "CCCO", "c1ccccc1", "CCO", "OCC(O)CO", "C"])
    geometry, exact = Fingerprinted(counts, counts[:2]), min_max(counts, counts)
    for i in range(6):
        np.testing.assert_array_equal(geometry.row(i), exact[i])
    np.testing.assert_array_equal(geometry.train_block(0, 2), exact[:, :2])


def test_molecules_without_any_feature_are_copies_of_each_other_and_like_nothing_else():
    counts = np.array([[0, 0], [0, 0], [1, 0]])
    assert Fingerprinted(counts, None).row(0).tolist() == [1.0, 1.0, 0.0]
    assert Fingerprinted(counts[:2], None).row(0).tolist() == [1.0, 1.0]


def test_copies_have_no_distance_whatever_rounding_leaves():
    x = np.random.default_rng(0).normal(size=(50, 30)) * 1e3
    geometry = Embedded(np.concatenate([x, x]), x, centre=True)
    assert all(squared_distances(geometry, i)[i + 50] == 0.0 for i in range(50))
    assert all(squared_distances(geometry, i)[i + 1] > 0.0 for i in range(49))
    ((_, distance),) = train_distances(geometry)
    assert (distance[:50].diagonal() == 0.0).all()


def test_centring_keeps_the_digits_of_small_distances_far_from_the_origin():
    x = 1e7 + np.array([[0.0], [1e-3], [1.0]])
    np.testing.assert_allclose(squared_distances(Embedded(x, None, centre=True), 0), [0.0, 1e-6, 1.0], rtol=1e-4)
