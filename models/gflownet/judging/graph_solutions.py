"""What sets of vertices are compared with: exact optima and laws of small graphs, and greedy rules."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from models.gflownet.environments.graph_instances import networkx_graph
from models.gflownet.environments.vertex_sets import VertexSetEnvironment
from models.gflownet.policies.backward import BackwardWalk, UniformBackward
from models.gflownet.policies.base import Policy
from models.gflownet.training.trajectories import sample_backward
from models.spaces.graph_file import Graph


def largest_independent_set(graph: Graph) -> int:
    """Return the size of the largest independent set, exactly: as a clique of the complement, by branch and bound."""
    _, size = nx.max_weight_clique(nx.complement(networkx_graph(graph)), weight=None)
    return int(size)


def maximal_independent_sets(graph: Graph) -> list[tuple[str, ...]]:
    """Return all maximal independent sets, as names in the order of the graph: the maximal cliques of the complement.

    Reference: Bron and Kerbosch, Commun. ACM 16, 575 (1973).
    """
    cliques = nx.find_cliques(nx.complement(networkx_graph(graph)))
    return [tuple(graph.items[place] for place in sorted(clique)) for clique in cliques]


def random_greedy(graph: Graph, draws: int, rng: np.random.Generator) -> list[int]:
    """Return the sizes of maximal independent sets that take the vertices in random orders."""
    neighbours = _neighbours(graph)
    return [_greedy(rng.permutation(len(neighbours)).tolist(), neighbours) for _ in range(draws)]


def minimum_degree_greedy(graph: Graph, draws: int, rng: np.random.Generator) -> list[int]:
    """Return the sizes of independent sets that take a vertex with the fewest free neighbours each time.

    Ties are drawn. Reference: Halldorsson and Radhakrishnan, Algorithmica 18, 145 (1997).
    """
    neighbours, sizes = _neighbours(graph), []
    for _ in range(draws):
        left, size = set(range(len(neighbours))), 0
        while left:
            degree = {vertex: len(neighbours[vertex] & left) for vertex in left}
            fewest = min(degree.values())
            vertex = int(rng.choice(sorted(one for one in left if degree[one] == fewest)))
            left -= neighbours[vertex] | {vertex}
            size += 1
        sizes.append(size)
    return sizes


def _greedy(order: list[int], neighbours: list[set[int]]) -> int:
    taken: set[int] = set()
    for vertex in order:
        if not neighbours[vertex] & taken:
            taken.add(vertex)
    return len(taken)


def _neighbours(graph: Graph) -> list[set[int]]:
    around: list[set[int]] = [set() for _ in graph.items]
    for a, b in graph.edges:
        around[a].add(b)
        around[b].add(a)
    return around


def estimated_law(
    env: VertexSetEnvironment, policy: Policy[Any], objects: list[tuple[str, ...]], draws: int,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Return the probabilities (X,) float64 of a policy to end in objects of the first graph.

    Of each object some trajectories are drawn backwards, uniformly over parents; the mean of P_F / P_B is an unbiased
    estimate, and exact from one draw where the policy balances that backward policy.
    """
    ends, walk = env.states_of(objects, generator), BackwardWalk(env, policy, UniformBackward())
    total = torch.full((len(objects),), -torch.inf, dtype=torch.float64)
    for many in _repeats(draws):
        paths = sample_backward(env, walk, type(ends).cat([ends] * many), generator)
        with torch.no_grad():
            log_pf = policy.score(paths.before, paths.forward, None).log_pf.double()
        log_pb = UniformBackward().log_prob(env, paths.after, None).gather(1, paths.backward[:, None])[:, 0]
        weight = torch.zeros(len(paths), dtype=torch.float64).index_add(0, paths.row, log_pf - log_pb)
        total = torch.logaddexp(total, weight.view(many, -1).logsumexp(0))
    return (total - math.log(draws)).exp()


def _repeats(draws: int, most: int = 8) -> Iterator[int]:
    while draws > 0:
        yield min(draws, most)
        draws -= most
