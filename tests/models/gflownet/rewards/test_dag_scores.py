"""Scores of many nodes at once are those of one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from models.causal.simulated import LinearSystem
from models.gflownet.rewards.dag_scores import DiscreteScores, GaussianScores


@pytest.mark.parametrize("kind", [GaussianScores, DiscreteScores])
def test_scores_of_more_nodes_than_are_tabled_do_not_depend_on_their_company(kind: type) -> None:
    rng, n = np.random.default_rng(0), 16
    rows = LinearSystem.drawn(n, n, rng).rows(60, rng)
    rows = np.round(rows) if kind is DiscreteScores else rows
    marked = rng.random(rows.shape) < 0.1
    nodes = np.arange(200) % n
    parents = np.where(rng.random((200, n)) < 0.2, 1 << np.arange(n), 0).sum(1) & ~(1 << nodes)
    together, alone = kind(rows, marked), kind(rows, marked)
    one_by_one = [alone.local(int(node), int(sets)) for node, sets in zip(nodes, parents, strict=True)]
    np.testing.assert_allclose(together.of(nodes, parents), one_by_one, atol=1e-9)
    np.testing.assert_array_equal(together.of(nodes[:3], parents[:3]), together.of(nodes, parents)[:3])
