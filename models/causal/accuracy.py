"""How near graphs that are believed in are to the true one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray

Bools = NDArray[np.bool_]


def expected_distance(edges: Bools, truth: Bools) -> float:
    """Return E-SHD: the mean number of pairs of nodes at which graphs differ from the true one; a turned edge is one.

    Args:
        edges: (m, n, n), of graphs that are drawn.
        truth: (n, n).

    Reference: Tsamardinos, Brown and Aliferis, Machine Learning 65, 31 (2006).
    """
    differ = edges != truth
    pairs = differ | differ.transpose(0, 2, 1)
    return float(np.triu(pairs, 1).sum((1, 2)).mean())


def edge_auroc(probabilities: FloatArray, truth: Bools) -> float:
    """Return the area under the ROC curve of edges ranked by their probability (n, n), diagonal left out."""
    apart = ~np.eye(len(truth), dtype=bool)
    return area(probabilities[apart], truth[apart])


def area(scores: FloatArray, positive: Bools) -> float:
    """Return the share of pairs of a positive and a negative that the scores put in order; ties count half."""
    if positive.all() or not positive.any():
        return 1.0
    above = scores[positive][:, None] - scores[~positive]
    return float(((above > 0) + 0.5 * (above == 0)).mean())
