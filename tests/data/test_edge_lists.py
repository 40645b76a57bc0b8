"""Edge lists by gaps: every small graph comes back, and the bandwidths of known graphs."""

from functools import cache

import networkx as nx
import pytest

from data.edge_lists import (
    bandwidth,
    cells,
    cuthill_mckee,
    edges_of,
    gaps_of,
    neighbours_of,
    renumbered,
    smallest_bandwidth,
    within,
    words,
)

CONNECTED = {1: 1, 2: 1, 3: 2, 4: 6, 5: 21, 6: 112, 7: 853}
"""Nodes -> connected graphs, up to isomorphism."""


@cache
def connected(n):
    graphs = [graph for graph in nx.graph_atlas_g() if len(graph) == n and nx.is_connected(graph)]
    return [[(min(i, j), max(i, j)) for i, j in graph.edges] for graph in graphs]


def numbered(n, edges, start=None):
    return renumbered(edges, cuthill_mckee(neighbours_of(n, edges), start))


def numbers(graph):
    number = {node: at for at, node in enumerate(graph)}
    return neighbours_of(len(graph), [(number[a], number[b]) for a, b in graph.edges])


@pytest.mark.parametrize(("n", "count"), CONNECTED.items())
def test_every_connected_graph_comes_back_from_its_gaps(n, count):
    graphs = connected(n)
    assert len(graphs) == count
    for edges in graphs:
        kept = numbered(n, edges)
        gaps = gaps_of(kept)
        assert edges_of(gaps) == kept
        assert len(gaps) == len(edges)
        assert nx.is_isomorphic(nx.Graph(edges_of(gaps)), nx.Graph(edges))


@pytest.mark.parametrize("n", [5, 6, 7])
def test_gaps_are_within_the_bandwidth_and_so_are_the_words(n):
    for edges in connected(n):
        kept = numbered(n, edges)
        width = bandwidth(kept)
        said = set(gaps_of(kept))
        assert all(0 <= step <= width and 1 <= reach <= width for step, reach in said)
        assert len(said) + 3 <= words(width) == width * (width + 1) + 3


@pytest.mark.parametrize("n", [2, 3, 6, 7, 9])
def test_the_bandwidth_of_a_path_is_one_and_of_a_cycle_two(n):
    assert smallest_bandwidth(numbers(nx.path_graph(n))) == 1
    assert n < 3 or smallest_bandwidth(numbers(nx.cycle_graph(n))) == 2
    assert bandwidth(numbered(n, list(nx.path_graph(n).edges))) == 1


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8])
def test_the_bandwidth_of_a_star_is_half_of_its_leaves(n):
    assert smallest_bandwidth(numbers(nx.star_graph(n - 1))) == n // 2 == -(-(n - 1) // 2)


@pytest.mark.parametrize(("a", "b"), [(2, 2), (2, 4), (3, 3), (3, 4), (2, 6)])
def test_the_bandwidth_of_a_grid_is_its_shorter_side(a, b):
    assert smallest_bandwidth(numbers(nx.grid_2d_graph(a, b))) == min(a, b)


@pytest.mark.parametrize(("a", "b", "width"), [(3, 3, 3), (3, 5, 4), (4, 4, 4)])
def test_cuthill_and_mckee_order_a_grid_by_its_diagonals_which_may_be_one_too_wide(a, b, width):
    near = numbers(nx.grid_2d_graph(a, b))
    edges = [(i, j) for i, others in enumerate(near) for j in others if i < j]
    assert bandwidth(renumbered(edges, cuthill_mckee(near))) == width


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_a_band_loses_no_graph_of_its_bandwidth_and_the_words_of_no_wider_one_are_lost(n):
    for width in range(1, n):
        for edges in connected(n):
            kept = numbered(n, edges)
            assert (within(kept, width) == kept) == (bandwidth(kept) <= width)


def test_a_band_has_the_pairs_of_nodes_that_are_near_each_other():
    assert [cells(5, width) for width in range(6)] == [0, 4, 7, 9, 10, 10]
    assert cells(1, 3) == cells(0, 0) == 0


def test_another_start_and_another_component_are_ordered_too():
    edges = [(0, 1), (1, 2), (3, 4)]
    near = neighbours_of(5, edges)
    assert cuthill_mckee(near) == [0, 1, 2, 3, 4]
    assert cuthill_mckee(near, start=2) == [2, 1, 0, 3, 4]
    assert edges_of(gaps_of([(0, 1), (1, 1), (2, 3)])) == [(0, 1), (1, 1), (2, 3)]
