"""Directed acyclic graphs as matrices: circles, random graphs, edits that close no circle."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

Edges = NDArray[np.bool_]
"""Shape `(n, n)`, true where an edge leads from row to column."""

_LISTED = 4
"""Most nodes of which all graphs are listed, not drawn from: 543 of four, 29,281 of five."""
_TRIES = 20
"""Draws per graph that is asked for, until the rest is given up."""


def reached(edges: Edges) -> Edges:
    """Return whether a path leads from row to column; every node reaches itself."""
    paths: Edges = edges | np.eye(len(edges), dtype=bool)
    for _ in range(max(1, (len(edges) - 1).bit_length())):
        paths = paths.astype(np.float32) @ paths.astype(np.float32) > 0
    return paths


def circle(edges: Edges) -> list[int] | None:
    """Return the nodes of a circle, in order and the first not again at the end; None: there is none."""
    paths = reached(edges)
    for start, target in np.argwhere(edges):
        if paths[target, start]:
            found = [int(start), int(target)]
            while found[-1] != start:
                # Each step is one along a shortest way back, so that no node is met twice.
                found.append(_towards(edges, found[-1], int(start)))
            return found[:-1]
    return None


def _towards(edges: Edges, node: int, target: int) -> int:
    """Return the next node on a shortest path; there is one."""
    near = {target}
    while True:
        behind = {int(one) for one in np.flatnonzero(edges[:, sorted(near)].any(1))}
        if node in behind:
            return min(one for one in near if edges[node, one])
        near |= behind


@dataclass(frozen=True)
class DagRules:
    """Acyclic graphs of some nodes.

    Attributes:
        nodes: n.
        parents: most parents of a node.
    """

    nodes: int
    parents: int

    def addable(self, edges: Edges) -> Edges:
        """Return the edges that could be added."""
        free: Edges = ~edges & ~reached(edges).T & (edges.sum(0) < self.parents)[None, :]
        return free

    def drawn(self, n: int, rng: np.random.Generator) -> list[Edges]:
        """Return up to n distinct graphs: uniform over few nodes, else by a random order and a coin for each pair.

        Of each graph a density is drawn first, so that sparse and dense ones are seen.
        """
        if self.nodes <= _LISTED:
            every = self._every()
            return [every[place] for place in rng.permutation(len(every))[:n]]
        found: dict[bytes, Edges] = {}
        for _ in range(_TRIES * n):
            if len(found) == n:
                break
            one = self._by_order(rng)
            found.setdefault(one.tobytes(), one)
        return list(found.values())

    def _by_order(self, rng: np.random.Generator) -> Edges:
        order = rng.permutation(self.nodes)
        edges = np.zeros((self.nodes, self.nodes), dtype=bool)
        edges[np.ix_(order, order)] = np.triu(rng.random((self.nodes, self.nodes)) < rng.random(), 1)
        for node in np.flatnonzero(edges.sum(0) > self.parents):
            above = np.flatnonzero(edges[:, node])
            edges[rng.permutation(above)[self.parents :], node] = False
        return edges

    def _every(self) -> list[Edges]:
        pairs, found = list(combinations(range(self.nodes), 2)), []
        for ways in product((0, 1, 2), repeat=len(pairs)):
            edges = np.zeros((self.nodes, self.nodes), dtype=bool)
            for (first, second), way in zip(pairs, ways, strict=True):
                edges[first, second], edges[second, first] = way == 1, way == 2
            if edges.sum(0).max() <= self.parents and circle(edges) is None:
                found.append(edges)
        return found

    def mutated(self, edges: Edges, rng: np.random.Generator) -> Edges | None:
        """Return a graph with one edge added, dropped or turned round; None: there is no other graph."""
        moves = [self._added, self._dropped, self._turned]
        for place in rng.permutation(len(moves)):
            made: Edges | None = moves[place](edges, rng)
            if made is not None:
                return made
        return None

    def _added(self, edges: Edges, rng: np.random.Generator) -> Edges | None:
        free = np.argwhere(self.addable(edges))
        if not len(free):
            return None
        made = edges.copy()
        made[tuple(free[rng.integers(len(free))])] = True
        return made

    def _dropped(self, edges: Edges, rng: np.random.Generator) -> Edges | None:
        some = np.argwhere(edges)
        if not len(some):
            return None
        made = edges.copy()
        made[tuple(some[rng.integers(len(some))])] = False
        return made

    def _turned(self, edges: Edges, rng: np.random.Generator) -> Edges | None:
        for origin, target in rng.permutation(np.argwhere(edges)):
            made = edges.copy()
            made[origin, target] = False
            if self.addable(made)[target, origin]:
                made[target, origin] = True
                return made
        return None

    def crossed(self, first: Edges, second: Edges, rng: np.random.Generator) -> Edges:
        """Return the edges of both, and of the others each with even odds, where it closes no circle."""
        made = first & second
        for origin, target in rng.permutation(np.argwhere(first ^ second)):
            if rng.random() < 0.5 and self.addable(made)[origin, target]:
                made[origin, target] = True
        return made
