"""Simulated linear Gaussian systems: a random graph, weights and noise, rows observed or under an intervention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """x_j = sum over parents i of weights[i, j] x_i + deviation e_j, e standard normal.

    Attributes:
        order: the nodes, parents before children.
        edges: (n, n) bool, from row to column.
        weights: (n, n), 0 where there is no edge.
        deviation: of the noise of every node.
    """

    order: NDArray[np.int64]
    edges: NDArray[np.bool_]
    weights: FloatArray
    deviation: float

    @classmethod
    def drawn(
        cls, n: int, edges: float, rng: np.random.Generator, *, deviation: float = 1.0, normal: bool = False
    ) -> LinearSystem:
        """Return a system on an Erdos-Renyi graph with so many edges on average.

        Args:
            n: nodes.
            edges: on average.
            rng: draws it.
            deviation: of the noise.
            normal: whether weights are standard normal; else they are uniform in size between 0.5 and 2, of either
                sign: of a weight near 0 no data tell the edge.
        """
        order = rng.permutation(n)
        before = np.argsort(order)[:, None] < np.argsort(order)[None, :]
        there = before & (rng.random((n, n)) < 2.0 * edges / (n * (n - 1)))
        sizes = rng.uniform(0.5, 2.0, (n, n)) * rng.choice([-1.0, 1.0], (n, n))
        if normal:
            sizes = rng.standard_normal((n, n))
        return cls(order, there, np.where(there, sizes, 0.0), deviation)

    def rows(self, count: int, rng: np.random.Generator, *, node: int | None = None, value: float = 0.0) -> FloatArray:
        """Return rows (count, n), a node being set to a value if one is named."""
        found = np.zeros((count, len(self.order)))
        for j in self.order.tolist():
            found[:, j] = found @ self.weights[:, j] + self.deviation * rng.standard_normal(count)
            if j == node:
                found[:, j] = value
        return found
