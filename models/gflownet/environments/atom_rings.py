"""Which bonds of small graphs lie in rings, and which atoms are near each other, in batches.

Resistance distance: bonds being unit resistors, the resistance between the ends of a bond is 1 if it lies in no ring,
and at most 1 - 1/N otherwise (Klein & Randic, Resistance distance, J. Math. Chem. 1993).
"""

from __future__ import annotations

import torch
from torch import Tensor


def ring_bonds(element: Tensor, bond: Tensor) -> Tensor:
    """Return (S, N, N) bool: the bonds whose removal leaves the graph connected.

    Args:
        element: (S, N) int64, -1 where there is no atom.
        bond: (S, N, N) int64, symmetric orders of connected graphs, 0 where there is no bond.
    """
    near, there = bond > 0, element >= 0
    out = torch.zeros_like(near)
    row = (near.sum((1, 2)) // 2 >= there.sum(1).clamp(min=1)).nonzero()[:, 0]
    if len(row):
        out[row] = near[row] & (_resistance(near[row].double(), there[row].double()) < 1.0 - 0.5 / bond.shape[1])
    return out


def _resistance(near: Tensor, there: Tensor) -> Tensor:
    """Return resistances (R, N, N) of graphs with adjacency (R, N, N) and at least one atom, absent atoms apart."""
    laplacian = torch.diag_embed(near.sum(2) + 1.0 - there) - near
    average = there[:, :, None] * there[:, None, :] / there.sum(1)[:, None, None]
    inverse: Tensor = torch.linalg.inv(laplacian + average)
    diagonal = inverse.diagonal(dim1=1, dim2=2)
    return diagonal[:, :, None] + diagonal[:, None, :] - 2.0 * inverse


def bonds_apart(bond: Tensor, most: int) -> Tensor:
    """Return (S, N, N) int64: the bonds on the shortest path between two atoms, `most` + 1 where there are more."""
    near = bond > 0
    apart = torch.where(near, 1, most + 1)
    apart.diagonal(dim1=1, dim2=2).fill_(0)
    seen = near
    for bonds in range(2, most + 1):
        seen = seen | (seen.float() @ near.float() > 0)
        apart = torch.where(seen, apart.clamp(max=bonds), apart)
    return apart
