"""Graphs found by ascent and by a Markov chain."""

from __future__ import annotations

import numpy as np

from models.causal.structure_search import bootstrapped, chain, climbed
from models.gflownet.judging.dag_posterior import edge_marginals
from models.gflownet.rewards.dag_scores import GaussianScores, reference_data

SCORES = GaussianScores(reference_data(5))


def test_a_markov_chain_over_graphs_has_the_exact_probabilities_of_edges() -> None:
    graphs, _ = chain(SCORES, 200_000, 2000, np.random.default_rng(0))
    assert np.abs(graphs.mean(0) - edge_marginals(SCORES.table)).max() < 0.05


def test_the_chain_tells_the_scores_of_its_graphs() -> None:
    graphs, worth = chain(SCORES, 2000, 10, np.random.default_rng(0), log_odds=-1.0)
    parents = graphs.transpose(0, 2, 1) @ (1 << np.arange(5))
    expected = SCORES.table[np.arange(5), parents].sum(1) - graphs.sum((1, 2))
    assert np.allclose(worth, expected)


def test_ascent_ends_where_no_single_change_is_better() -> None:
    edges = climbed(SCORES)
    parents = edges.T @ (1 << np.arange(5))
    gains = SCORES.gains(np.arange(5), parents)
    best = SCORES.table[np.arange(5), parents].sum()
    for i, j in zip(*np.nonzero(edges), strict=True):
        assert SCORES.local(j, int(parents[j] & ~(1 << i))) <= SCORES.local(j, int(parents[j]))
    assert best > SCORES.table[:, 0].sum()
    assert gains.shape == (5, 5)


def test_graphs_of_a_bootstrap_have_no_circle() -> None:
    graphs = bootstrapped(reference_data(5), GaussianScores, 5, np.random.default_rng(0))
    power = np.linalg.matrix_power(graphs.astype(int), 5)
    assert graphs.shape == (5, 5, 5)
    assert not power.any()
