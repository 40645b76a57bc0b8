"""Weights that lie evenly between K objectives."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import comb

import torch
from torch import Tensor


def simplex_lattice(k: int, n: int) -> Tensor:
    """Return up to n weights (m, K), float64, an even grid of the simplex with its corners; K at least.

    All weights that are multiples of 1 / H, H as large as n allows. Where H is below K none of them has all weights
    positive; the same grid, shrunk halfway to the middle, is then put inside, as far as n allows.

    Reference: Das and Dennis, Normal-boundary intersection, SIAM J. Optim. 8, 631 (1998); the inner layer: Deb and
    Jain, NSGA-III, IEEE Trans. Evol. Comput. 18, 577 (2014).

    Args:
        k: objectives, at least 2.
        n: most weights.
    """
    parts = 1
    while comb(parts + k, k - 1) <= n:
        parts += 1
    outer = _layer(k, parts)
    if parts >= k:
        return outer
    inner = [0.5 * _layer(k, h) + 0.5 / k for h in range(parts, 0, -1) if len(outer) + comb(h + k - 1, k - 1) <= n]
    return torch.cat([outer, *inner[:1]])


def _layer(k: int, parts: int) -> Tensor:
    """Return all (m, K) of multiples of 1 / parts that sum to one: bars among stars."""
    rows = []
    for bars in combinations(range(parts + k - 1), k - 1):
        places = [-1, *bars, parts + k - 1]
        rows.append([b - a - 1 for a, b in pairwise(places)])
    return torch.tensor(rows, dtype=torch.float64) / parts
