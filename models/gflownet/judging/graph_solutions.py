"""What sets of vertices are compared with: exact optima and laws of small graphs, and greedy rules."""

from __future__ import annotations

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

CHUNK = 512
"""Trajectories that are judged at once."""


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
    generator: torch.Generator, *, target: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return the probabilities (X,) float64 of a policy to end in objects of the first graph.

    Of each object some trajectories are drawn backwards, uniformly over parents; the mean of P_F / P_B is an unbiased
    estimate, and exact from one draw where the policy balances that backward policy.

    Args:
        env: has the graph.
        policy: to be judged.
        objects: all, or some.
        draws: trajectories per object, in the mean.
        generator: of the draws.
        target: (X,) probabilities of the objects under a law that the estimate is compared with. As many draws are then
            spent, but in proportion to it, at least two on each: noise in the likely objects adds most to a distance.
    """
    numbers = torch.full((len(objects),), draws)
    if target is not None:
        numbers = (target / target.sum() * draws * len(objects)).round().long().clamp(min=2)
    ends, walk = env.states_of(objects, generator), BackwardWalk(env, policy, UniformBackward())
    place = torch.arange(len(objects)).repeat_interleave(numbers)
    total = torch.zeros(len(objects), dtype=torch.float64)
    for part in torch.split(place, CHUNK):
        paths = sample_backward(env, walk, ends[part], generator)
        with torch.no_grad():
            log_pf = policy.score(paths.before, paths.forward, None).log_pf.double()
        log_pb = UniformBackward().log_prob(env, paths.after, None).gather(1, paths.backward[:, None])[:, 0]
        weight = torch.zeros(len(part), dtype=torch.float64).index_add(0, paths.row, log_pf - log_pb)
        total.index_add_(0, part, weight.exp())
    return total / numbers
