"""Graphs to choose from: well-known ones by name, and random ones of three models."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any, Literal, Self

import networkx as nx
import numpy as np
from pydantic import Field, model_validator

from data.config import derive_seed
from models.component import Options
from models.spaces.graph_file import Graph

NAMED = {
    "cycle_12": lambda: nx.cycle_graph(12),
    "petersen": nx.petersen_graph,
    "grid_4x4": lambda: nx.grid_2d_graph(4, 4),
    "dodecahedral": nx.dodecahedral_graph,
    "karate_club": nx.karate_club_graph,
}
"""Graphs by name; the last are the friendships in a club of 34 members (Zachary, 1977)."""

Named = Literal["cycle_12", "petersen", "grid_4x4", "dodecahedral", "karate_club"]


def graph_of(found: Any) -> Graph:
    """Return a graph of networkx with its nodes numbered in their order; names are the numbers."""
    places = {node: place for place, node in enumerate(found)}
    pairs = ((places[a], places[b]) for a, b in found.edges if a != b)
    return Graph(tuple(map(str, range(len(places)))), tuple(sorted({(min(pair), max(pair)) for pair in pairs})))


def networkx_graph(graph: Graph) -> Any:
    """Return a graph of networkx whose nodes are the places of the items."""
    made = nx.Graph()
    made.add_nodes_from(range(len(graph.items)))
    made.add_edges_from(graph.edges)
    return made


def named_graph(name: str) -> Graph:
    """Return a graph of `NAMED`."""
    return graph_of(NAMED[name]())


class RandomGraphs(Options):
    """A law of random graphs.

    erdos_renyi: every pair is joined with probability `density`, independently. barabasi_albert: each new node is
    joined to `attached` earlier ones, by their degrees. rb: see `rb_graph`.
    """

    model: Literal["erdos_renyi", "barabasi_albert", "rb"] = Field("erdos_renyi", description="Law of the edges.")
    nodes: tuple[int, int] = Field(
        (20, 20), description="Fewest and most nodes, uniform between; of rb the numbers of cliques."
    )
    density: tuple[float, float] = Field(
        (0.25, 0.25), description="erdos_renyi: probability of an edge; rb: tightness p; uniform between the two."
    )
    attached: int = Field(4, ge=1, description="barabasi_albert: edges of each new node.")
    clique: tuple[int, int] = Field((4, 5), description="rb: fewest and most nodes of a clique, uniform between.")
    seed: int = Field(0, ge=0, description="Seed of the graphs.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in ("nodes", "density", "clique"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(f"`{name}` goes from its least to its greatest value: got {low} and {high}")
        if self.nodes[0] < 2 or self.clique[0] < 2:
            raise ValueError(f"graphs and cliques have at least 2 nodes: got {self.nodes[0]} and {self.clique[0]}")
        if not 0 < self.density[0] <= self.density[1] < 1:
            raise ValueError(f"`density` is above 0 and below 1: got {list(self.density)}")
        if self.model == "barabasi_albert" and self.attached >= self.nodes[0]:
            raise ValueError(f"`attached` must be below the number of nodes: got {self.attached} and {self.nodes[0]}")
        return self

    def draw(self, number: int) -> list[Graph]:
        """Return graphs number 0, 1, ... of the law; the first ones are the same however many are drawn."""
        return [self._one(np.random.default_rng(derive_seed(self.seed, f"graph {place}"))) for place in range(number)]

    def _one(self, rng: np.random.Generator) -> Graph:
        nodes = int(rng.integers(self.nodes[0], self.nodes[1] + 1))
        density = float(rng.uniform(*self.density))
        if self.model == "rb":
            return rb_graph(nodes, int(rng.integers(self.clique[0], self.clique[1] + 1)), density, rng)
        seed = int(rng.integers(2**31))
        if self.model == "barabasi_albert":
            return graph_of(nx.barabasi_albert_graph(nodes, self.attached, seed=seed))
        return graph_of(nx.gnp_random_graph(nodes, density, seed=seed))


def rb_graph(cliques: int, size: int, tightness: float, rng: np.random.Generator) -> Graph:
    """Return the conflicts of a random constraint satisfaction problem of model RB at its threshold.

    Each of n variables is a clique of k nodes, its values; an independent set has at most one of each clique, and one
    of n nodes is a solution. With a = log k / log n and r = -a / log(1 - p), int(r n log n - 1) times two cliques are
    drawn, and int(p k^2) of the pairs of nodes between them that are not joined yet are joined: where solutions cease
    to exist, and the largest independent set is hardest to find.

    Args:
        cliques: n.
        size: k.
        tightness: p, between 0 and 1.
        rng: of the draws.

    Reference: Xu and Li, J. Artif. Intell. Res. 12, 93 (2000); Xu, Boussemart, Hemery and Lecoutre, Artif. Intell. 171,
    514 (2007).
    """
    n, k = cliques, size
    exponent = math.log(k) / math.log(n)
    ratio = -exponent / math.log(1.0 - tightness)
    parts = np.arange(n * k).reshape(n, k)
    joined = np.zeros((n * k, n * k), dtype=bool)
    for part in parts:
        for a, b in combinations(part, 2):
            joined[a, b] = joined[b, a] = True
    for _ in range(int(ratio * n * math.log(n) - 1)):
        first, second = rng.choice(n, 2, replace=False)
        apart = np.argwhere(~joined[np.ix_(parts[first], parts[second])])
        for a, b in apart[rng.permutation(len(apart))[: int(tightness * k**2)]]:
            u, v = parts[first, a], parts[second, b]
            joined[u, v] = joined[v, u] = True
    edges = [(int(a), int(b)) for a, b in np.argwhere(np.triu(joined))]
    return Graph(tuple(map(str, range(n * k))), tuple(edges))
