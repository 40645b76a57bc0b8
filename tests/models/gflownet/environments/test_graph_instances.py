"""Random graphs are what their laws say, and the same for the same seed."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest

from models.gflownet.environments.graph_instances import RandomGraphs, named_graph, networkx_graph, rb_graph
from models.gflownet.judging.graph_solutions import largest_independent_set


@pytest.mark.parametrize("model", ["erdos_renyi", "barabasi_albert", "rb"])
def test_the_first_graphs_are_the_same_however_many_are_drawn(model):
    law = RandomGraphs(model=model, nodes=(8, 12), density=(0.2, 0.6), seed=3)
    assert law.draw(2) == law.draw(5)[:2]
    assert len(set(law.draw(5))) == 5
    assert RandomGraphs(**{**law.model_dump(), "seed": 4}).draw(2) != law.draw(2)


def test_the_graphs_have_the_numbers_of_their_laws():
    for graph in RandomGraphs(model="barabasi_albert", nodes=(20, 30), attached=4).draw(5):
        n = len(graph.items)
        assert 20 <= n <= 30
        assert len(graph.edges) == 4 * (n - 4)
    edges = [len(graph.edges) for graph in RandomGraphs(nodes=(40, 40), density=(0.3, 0.3)).draw(40)]
    assert abs(np.mean(edges) - 0.3 * 780) < 5 * math.sqrt(0.3 * 0.7 * 780 / 40)


@pytest.mark.parametrize(("n", "k", "p"), [(6, 3, 0.5), (10, 4, 0.3)])
def test_a_graph_of_model_rb_has_its_cliques_and_its_edges_between_them(n, k, p):
    graph = rb_graph(n, k, p, np.random.default_rng(0))
    g = networkx_graph(graph)
    assert len(graph.items) == n * k
    inside = {(a, b) for part in range(n) for a in range(k * part, k * part + k) for b in range(a + 1, k * part + k)}
    assert inside <= set(graph.edges)
    times = int(-math.log(k) / math.log(n) / math.log(1 - p) * n * math.log(n) - 1)
    between = len(graph.edges) - len(inside)
    assert 0 < between <= times * int(p * k * k)
    assert largest_independent_set(graph) <= n
    assert nx.number_of_selfloops(g) == 0


def test_the_club_has_34_members_and_78_friendships():
    club = named_graph("karate_club")
    assert (len(club.items), len(club.edges)) == (34, 78)
