"""Exact draws of directed acyclic graphs from a law that is a product over nodes, without enumerating graphs."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray
from models.gflownet.judging.dag_posterior import subset_sums

MOST = 9
"""Most nodes: there are 3^n states of the recursion, 4^n terms."""

Graphs = NDArray[np.int64]
"""(m, n): the parents of each node of m graphs, bit i for node i."""


class GraphLaw:
    """P(G) proportional to prod over nodes j of exp(local(j, parents of j)), over acyclic graphs.

    A graph is peeled in layers: first its roots, then what has become a root, and so on; each node of a layer has a
    parent in the layer before, and its others before. With U all earlier layers and L the last one, the weight of what
    follows is f(U, L) = sum over nonempty T outside U + L of prod over j in T of (A_j(U + L) - A_j(U)) f(U + L, T),
    with A_j(S) the sum over P inside S of exp local(j, P). No term is negative, so nothing cancels between graphs.

    Args:
        scores: `(n, 2^n)`, of each node with each set of parents; minus infinity where a node would be its own parent.

    Raises:
        ValueError: there are more than `MOST` nodes.

    Reference: Kuipers and Moffa, Uniform random generation of large acyclic digraphs, Stat. Comput. 25, 227 (2015),
    their counts replaced by weights.
    """

    def __init__(self, scores: FloatArray) -> None:
        n = self.n = len(scores)
        if n > MOST:
            raise ValueError(f"Exact draws of graphs take 4^n steps: got {n} nodes, expected at most {MOST}.")
        self.scores = scores
        self._top = scores.max(1)
        self._weights = np.exp(scores - self._top[:, None])
        self._sums = np.stack([subset_sums(row) for row in self._weights])
        self._after = self._recursion()

    @cached_property
    def log_partition(self) -> float:
        """Log of the sum over all graphs of exp(score)."""
        products, places = self._products(0, 0)
        return float(np.log(products @ self._after[0, places]) + self._top.sum())

    def _places(self, known: int) -> NDArray[np.int64]:
        """Return the nonempty sets of nodes outside a set, in the order of `_products`."""
        places = np.zeros(1, dtype=np.int64)
        for j in range(self.n):
            if not known >> j & 1:
                places = np.concatenate([places, places | 1 << j])
        return places[1:]

    def _products(self, before: int, known: int) -> tuple[FloatArray, NDArray[np.int64]]:
        """Return of each nonempty set T outside `known` the product of its nodes' weights, and the sets."""
        products = np.ones(1)
        for j in range(self.n):
            if not known >> j & 1:
                least = self._sums[j, before] if known else 0.0
                products = np.concatenate([products, products * max(self._sums[j, known] - least, 0.0)])
        return products[1:], self._places(known)

    def _recursion(self) -> FloatArray:
        """Return f as `(2^n, 2^n)`, by what is known before the last layer and the last layer."""
        n, whole = self.n, (1 << self.n) - 1
        after = np.zeros((1 << n, 1 << n))
        for known in sorted(range(1 << n), key=lambda one: -one.bit_count()):
            if not known:
                continue
            places = self._places(known)
            free = [j for j in range(n) if not known >> j & 1]
            layers = _nonempty_subsets(known)
            if known == whole:
                after[known ^ layers, layers] = 1.0
                continue
            # (layers, sets T): products over the nodes of T, doubled node by node.
            products = np.ones((len(layers), 1))
            for j in free:
                gain = np.maximum(self._sums[j, known] - self._sums[j, known ^ layers], 0.0)
                products = np.concatenate([products, products * gain[:, None]], axis=1)
            after[known ^ layers, layers] = products[:, 1:] @ after[known, places]
        return after

    def draw(self, m: int, rng: np.random.Generator) -> Graphs:
        """Return m independent graphs."""
        graphs = np.zeros((m, self.n), dtype=np.int64)
        for row in range(m):
            before = known = 0
            while known != (1 << self.n) - 1:
                products, places = self._products(before, known)
                layer = int(places[_choice(products * self._after[known, places], rng)])
                for j in range(self.n):
                    if layer >> j & 1 and known:
                        graphs[row, j] = self._parents(j, before, known, rng)
                before, known = known, known | layer
        return graphs

    def _parents(self, node: int, before: int, known: int, rng: np.random.Generator) -> int:
        """Draw the parents of a node, inside `known` and not all inside `before`."""
        sets = _nonempty_subsets(known)
        sets = sets[(sets & ~before) > 0]
        return int(sets[_choice(self._weights[node, sets], rng)])

    def of(self, graphs: Graphs) -> FloatArray:
        """Return the log-probabilities of m graphs, shape `(m,)`."""
        scores: FloatArray = self.scores[np.arange(self.n), graphs].sum(1) - self.log_partition
        return scores


def edges_of(graphs: Graphs) -> NDArray[np.bool_]:
    """Return the edges of m graphs, `(m, n, n)`, from row to column."""
    n = graphs.shape[1]
    return (graphs[:, None, :] >> np.arange(n)[None, :, None] & 1).astype(bool)


def _nonempty_subsets(whole: int) -> NDArray[np.int64]:
    found = np.zeros(1, dtype=np.int64)
    for bit in range(whole.bit_length()):
        if whole >> bit & 1:
            found = np.concatenate([found, found | 1 << bit])
    return found[1:]


def _choice(weights: FloatArray, rng: np.random.Generator) -> int:
    total = np.cumsum(weights)
    return int(min(np.searchsorted(total, rng.random() * total[-1], side="right"), len(weights) - 1))
