"""What is believed of a graph: the probability of each edge, and how much is left unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray

LIKELY = 0.5
"""Probability above which an edge is in the consensus: of both directions of a pair one at most is."""


@dataclass(frozen=True, eq=False)
class GraphBelief:
    """A posterior over graphs.

    Attributes:
        names: of the n variables.
        probabilities: (n, n), of each edge from row to column, exact.
        sampled: the same as shares of the graphs that were drawn.
        entropy: of the posterior over graphs, in nats.
    """

    names: tuple[str, ...]
    probabilities: FloatArray
    sampled: FloatArray
    entropy: float

    @property
    def consensus(self) -> NDArray[np.bool_]:
        """(n, n) bool, the edges that are more probable than not."""
        return np.asarray(self.probabilities > LIKELY)

    def edges(self) -> list[tuple[str, str, float, float]]:
        """Return (from, to, probability, share of draws) of each possible edge, the most probable first."""
        found = [
            (origin, target, float(self.probabilities[i, j]), float(self.sampled[i, j]))
            for i, origin in enumerate(self.names)
            for j, target in enumerate(self.names)
            if i != j
        ]
        return sorted(found, key=lambda one: (-one[2], one[0], one[1]))

    @property
    def metrics(self) -> dict[str, float]:
        """Figures of a round: nats of entropy, edges that are expected and likely, and the error of the draws."""
        n = len(self.names)
        apart = ~np.eye(n, dtype=bool)
        return {
            "graph_entropy": self.entropy,
            "expected_edges": float(self.probabilities.sum()),
            "likely_edges": float(self.consensus.sum()),
            "drawn_edges_error": float(np.abs(self.sampled - self.probabilities)[apart].mean()),
        }


@runtime_checkable
class BelievingProxy(Protocol):
    """A proxy that has a posterior over graphs."""

    def belief(self) -> GraphBelief:
        """Return what is believed of the graph."""
