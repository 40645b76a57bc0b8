"""States of the atom environment: batches of molecular graphs in canonical numbering."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.gflownet.environments.atom_canonical import pair_nodes
from models.gflownet.environments.base import States


@dataclass(frozen=True)
class AtomStates(States):
    """S graphs of at most N atoms in canonical numbering, absent atoms last; P = N (N - 1) / 2 pairs.

    Attributes:
        element: (S, N) int64, place of each atom's element in the options, -1 where there is none.
        bond: (S, N, N) int64, symmetric bond orders, 0 where there is no bond.
        orbit: (S, N) int64, the first atom that a symmetry of the graph carries each atom to.
        pair: (S, P) int64, the first pair of atoms that a symmetry of the graph carries each pair to.
    """

    element: Tensor
    bond: Tensor
    orbit: Tensor
    pair: Tensor

    @property
    def atoms(self) -> Tensor:
        """(S,) int64, number of atoms."""
        return (self.element >= 0).sum(1)

    @property
    def rings(self) -> Tensor:
        """(S,) int64, bonds beyond those of a tree."""
        return (self.bond > 0).sum((1, 2)) // 2 - self.atoms.clamp(min=1) + 1

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Return the smaller and the larger atom of each pair, (P,) int64 each."""
        first, second = pair_nodes(self.element.shape[1])
        return first.to(self.done.device), second.to(self.done.device)

    def words(self) -> Tensor:
        """Return (S, W) int64: the graph and `done`, a byte for each number."""
        first, second = self.pairs()
        parts = [self.done[:, None], self.element, self.bond[:, first, second]]
        table = torch.cat([part.to(torch.int8) for part in parts], 1)
        return functional.pad(table, (0, -table.shape[1] % 8)).view(torch.int64)
