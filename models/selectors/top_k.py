"""The best scores, whatever their likeness."""

from __future__ import annotations

import numpy as np

from data.records import FloatArray
from models.protocols import Array
from models.registry import Component


class TopK(Component):
    """The n best scores; equal scores in the order given."""

    group = "selector"
    kind = "top_k"

    def select(self, scores: FloatArray, fingerprints: Array, n: int) -> list[int]:
        """Return at most n distinct indices into `scores` `(m,)`, best first; `fingerprints` is not used."""
        return [int(i) for i in ranking(scores)[: max(n, 0)]]


def ranking(scores: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return all indices, the best score first and ties by index.

    Raises:
        ValueError: a score is NaN, which has no place in an order.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if np.isnan(scores).any():
        raise ValueError(
            f"Scores must be numbers; {int(np.isnan(scores).sum())} of {len(scores)} are NaN, the first at index "
            f"{int(np.flatnonzero(np.isnan(scores))[0])}. Look at the proxy's prediction of that molecule."
        )
    return np.argsort(-scores, kind="stable")
