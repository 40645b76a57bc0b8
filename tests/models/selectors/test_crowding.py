"""A batch that is kept from crowding: who is alike, who is passed over, and what happens when nobody else is left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.featurisers.nearness import min_max
from models.selectors.crowding import similarities
from models.selectors.geometry import Embedded, Fingerprinted
from models.selectors.kriging_believer import KrigingBeliever
from models.selectors.thompson import Thompson
from tests.models.selectors.pools import complete

SELECTORS = (KrigingBeliever, Thompson)


def families(seed, sizes):
    """Return a pool whose members of one family have nearly the same counts, those of two nothing in common."""
    m = sum(sizes)
    pool = complete(seed, m)
    family = np.repeat(np.arange(len(sizes)), sizes)
    counts = np.zeros((m, 8 * len(sizes)), dtype=np.int32)
    for row, place in enumerate(family):
        counts[row, 8 * place : 8 * place + 8] = 3
        counts[row, 8 * place + row % 8] += 1
    return replace(pool, fingerprints=counts, features=None), family


@pytest.mark.parametrize("selector", SELECTORS)
@given(seed=st.integers(0, 2**16), crowd=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_not_more_than_the_crowd_are_of_one_family_while_others_are_left(selector, seed, crowd):
    pool, family = families(seed, (6, 7, 8, 9))
    chosen = selector(crowd=crowd).select(pool, 4 * crowd)
    assert np.bincount(family[chosen], minlength=4).tolist() == [crowd] * 4


@pytest.mark.parametrize("selector", SELECTORS)
def test_when_every_family_is_full_the_batch_is_filled_all_the_same(selector):
    pool, family = families(1, (5, 5))
    chosen = selector(crowd=2).select(pool, 10)
    assert sorted(chosen) == list(range(10))
    assert np.bincount(family[chosen[:4]]).tolist() == [2, 2]


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_crowd_as_large_as_the_batch_changes_nothing(selector):
    pool, _ = families(3, (6, 7, 8, 9))
    assert selector(crowd=12).select(pool, 12) == selector().select(pool, 12)


@pytest.mark.parametrize("alike", [0.01, 0.99])
def test_what_is_alike_is_said_by_a_similarity(alike):
    # Members of a family share 24 of 25 or 26 counts, those of two families none.
    pool, family = families(4, (6, 6))
    best = np.argsort(-pool.scores)[0]
    chosen = KrigingBeliever(crowd=1, alike=alike).select(pool, 2)
    assert chosen[0] == best
    if alike < 0.5:
        assert family[chosen[1]] != family[best]


def test_similarities_are_those_of_the_space():
    rng = np.random.default_rng(0)
    counts, dense = rng.integers(0, 4, (9, 20)), rng.normal(size=(9, 3))
    assert similarities(Fingerprinted(counts, None), 2) == pytest.approx(min_max(counts, counts)[2])
    expected = 1.0 / (1.0 + np.linalg.norm(dense - dense[2], axis=1))
    assert similarities(Embedded(dense, None, centre=True), 2) == pytest.approx(expected, abs=1e-6)
