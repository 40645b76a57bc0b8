"""Graphs are drawn as probable as their scores say."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from models.causal.graph_draws import GraphLaw, edges_of
from models.gflownet.judging.dag_posterior import edge_marginals, log_partition
from models.gflownet.rewards.dag_scores import GaussianScores, reference_data

LOG_Z = {3: -182.812027349, 4: -211.440680353, 5: -241.697603978, 8: -353.105287}
"""Of the reference data, worked out elsewhere with 60 digits."""


@pytest.mark.parametrize("n", LOG_Z)
def test_the_weight_of_all_graphs_is_that_of_the_other_recursion(n: int) -> None:
    table = GaussianScores(reference_data(n)).table
    found = GraphLaw(table).log_partition
    assert found == pytest.approx(LOG_Z[n], abs=1e-6)
    assert found == pytest.approx(log_partition(table), abs=1e-9)


def _acyclic_graphs(n: int) -> np.ndarray:
    sets = [[one for one in range(1 << n) if not one >> node & 1] for node in range(n)]
    found = np.array(list(product(*sets)))
    edges = edges_of(found).astype(float)
    return found[[np.trace(np.linalg.matrix_power(np.eye(n) + one, n)) == n for one in edges]]


def test_probabilities_of_all_graphs_sum_to_one() -> None:
    graphs = _acyclic_graphs(4)
    assert len(graphs) == 543
    law = GraphLaw(GaussianScores(reference_data(4)).table)
    assert np.exp(law.of(graphs)).sum() == pytest.approx(1.0, abs=1e-10)


def test_draws_are_acyclic_and_as_frequent_as_they_are_probable() -> None:
    table = GaussianScores(reference_data(3)).table
    law, graphs = GraphLaw(table), _acyclic_graphs(3)
    drawn = law.draw(4000, np.random.default_rng(0))
    shares = np.array([(drawn == one).all(1).mean() for one in graphs])
    assert shares.sum() == pytest.approx(1.0)
    assert 0.5 * np.abs(shares - np.exp(law.of(graphs))).sum() < 0.03
    assert np.abs(edges_of(drawn).mean(0) - edge_marginals(table)).max() < 0.03


def test_more_nodes_than_can_be_gone_through_are_refused() -> None:
    with pytest.raises(ValueError, match="got 10 nodes, expected at most 9"):
        GraphLaw(np.zeros((10, 2)))
