"""What the arms beside the campaigns buy, and how sequences are judged."""

from __future__ import annotations

import numpy as np
import pytest

from models.systems.biological_sequence_design import _sequences, chance, diversity, evolution, novelty

TEXTS = _sequences()
VALUES = dict(zip(TEXTS, (text.count("A") / 8 for text in TEXTS), strict=True))
KNOWN = set(TEXTS[-300:])


def test_sequences_are_in_the_order_of_the_table() -> None:
    assert sorted(TEXTS) == TEXTS
    assert len(set(TEXTS)) == 4**8


def test_distances_are_in_letters() -> None:
    assert diversity(["AAAA", "AAAC", "CCAC"]) == (1 + 3 + 2) / 3
    assert diversity(["AAAA"]) == 0.0
    assert novelty(["AAAA", "CCCC"], ["AAAC", "CCCC"]) == 0.5


@pytest.mark.parametrize("arm", [evolution, chance])
def test_arms_buy_as_often_as_they_may_and_nothing_twice(arm) -> None:
    bought = arm(VALUES, KNOWN, [7, 5], np.random.default_rng(0))
    texts = [text for batch in bought for text in batch]
    assert [len(batch) for batch in bought] == [7, 5]
    assert len(set(texts) - KNOWN) == 12


def test_evolution_finds_better_ones_than_chance() -> None:
    means = [
        np.mean([VALUES[text] for text in arm(VALUES, KNOWN, [60] * 12, np.random.default_rng(0))[-1]])
        for arm in (evolution, chance)
    ]
    assert means[0] > means[1] + 0.1
