from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.molecules import morgan_counts, tanimoto
from models.acquisition.max_min import MaxMin
from models.acquisition.top_k import TopK
from models.protocols import Selector
from models.registry import build, kinds

seeds = st.integers(0, 2**32 - 1)


def problem(seed: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    # Few levels and few columns, so that ties in score and in distance are common.
    return rng.integers(0, 4, m).astype(float), rng.integers(0, 3, (m, 5)).astype(np.int32)


def by_brute_force(scores: np.ndarray, fingerprints: np.ndarray, n: int, pool: int) -> list[int]:
    members = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[: max(pool, n)]
    distance = 1.0 - tanimoto(fingerprints, fingerprints)
    chosen = members[:1] if n else []
    while len(chosen) < min(n, len(members)):
        left = [i for i in members if i not in chosen]
        chosen.append(min(left, key=lambda i: (-min(distance[i, j] for j in chosen), -scores[i], i)))
    return chosen


@given(seeds, st.integers(0, 14), st.integers(0, 16), st.integers(1, 16))
@settings(max_examples=200, deadline=None)
def test_max_min_is_what_brute_force_chooses(seed: int, m: int, n: int, pool: int) -> None:
    scores, fingerprints = problem(seed, m)
    assert MaxMin(pool=pool).select(scores, fingerprints, n) == by_brute_force(scores, fingerprints, n, pool)[:m]


@pytest.mark.parametrize("kind", sorted(kinds("selector")))
@given(seed=seeds, m=st.integers(0, 20), n=st.integers(0, 25))
@settings(deadline=None)
def test_a_selector_gives_n_distinct_indices_and_the_best_first(kind: str, seed: int, m: int, n: int) -> None:
    scores, fingerprints = problem(seed, m)
    selector = build("selector", {"kind": kind})
    assert isinstance(selector, Selector)
    chosen = selector.select(scores, fingerprints, n)
    assert len(chosen) == len(set(chosen)) == min(m, n)
    assert set(chosen) <= set(range(m))
    if chosen:
        assert chosen[0] == int(np.argmax(scores))


def test_top_k_takes_the_best_and_breaks_ties_by_index() -> None:
    assert TopK().select(np.array([1.0, 3.0, 2.0, 3.0]), np.zeros((4, 2)), 3) == [1, 3, 2]


def test_max_min_prefers_the_unlike_over_the_slightly_better() -> None:
    molecules = ["N#Cc1ccc(C#N)cc1", "N#Cc1cccc(C#N)c1", "O=C1C=CC(=O)C=C1", "CCCCCC"]
    scores = np.array([4.0, 3.9, 3.0, 0.0])
    assert MaxMin(pool=3).select(scores, morgan_counts(molecules), 2) == [0, 2]


@pytest.mark.parametrize("kind", sorted(kinds("selector")))
def test_a_score_that_is_no_number_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="the first at index 1"):
        build("selector", {"kind": kind}).select(np.array([1.0, np.nan]), np.zeros((2, 3), dtype=int), 1)


def test_one_fingerprint_per_score_is_asked_for() -> None:
    with pytest.raises(ValueError, match="2 fingerprints and 3 scores"):
        MaxMin().select(np.zeros(3), np.zeros((2, 3), dtype=int), 1)
