"""What sets of vertices are compared with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.gflownet.environments.graph_instances import RandomGraphs, named_graph
from models.gflownet.environments.vertex_sets import VertexSetEnvironment
from models.gflownet.judging.exact import enumerate_graph, forward_log_probs, terminal_law
from models.gflownet.judging.graph_solutions import (
    estimated_law,
    largest_independent_set,
    maximal_independent_sets,
    minimum_degree_greedy,
    random_greedy,
)
from models.gflownet.policies.vertex_gin import VertexGIN
from models.spaces.graph_file import Graph

GRAPHS = RandomGraphs(nodes=(8, 12), density=(0.2, 0.5)).draw(6)


@pytest.mark.parametrize("graph", GRAPHS, ids=range(6))
def test_maximal_independent_sets_are_those_that_the_environment_ends_in(graph):
    env = VertexSetEnvironment(graphs=[graph])
    ends = enumerate_graph(env).objects
    assert set(maximal_independent_sets(graph)) == set(ends)
    assert largest_independent_set(graph) == max(map(len, ends))
    sizes = set(map(len, ends))
    for greedy in (random_greedy, minimum_degree_greedy):
        assert set(greedy(graph, 20, np.random.default_rng(0))) <= sizes


def test_greedy_by_degree_avoids_the_middle_of_a_star():
    star = Graph(tuple("abcdef"), tuple((0, leaf) for leaf in range(1, 6)))
    rng = np.random.default_rng(0)
    assert set(minimum_degree_greedy(star, 20, rng)) == {5}
    assert set(random_greedy(star, 60, rng)) == {1, 5}


@pytest.mark.parametrize("shared", [False, True], ids=["equally", "by a law"])
def test_the_estimated_law_is_the_exact_one_on_average(shared):
    env = VertexSetEnvironment(graphs=[named_graph("petersen")])
    graph, generator = enumerate_graph(env), torch.Generator().manual_seed(0)
    policy = VertexGIN(env, generator=generator, dim=16, layers=2)
    exact = terminal_law(graph, forward_log_probs(graph, policy))
    target = torch.linspace(1.0, 3.0, len(exact), dtype=torch.float64) if shared else None
    law = estimated_law(env, policy, graph.objects, 300, generator, target=target)
    assert law.sum().item() == pytest.approx(1.0, abs=0.02)
    np.testing.assert_allclose(law.numpy(), exact, rtol=0.15)
