"""Molecules as graphs of atoms and bonds, for networks that pass messages along bonds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem
from torch import Tensor

from data.chemistry.molecules import shared

_ELEMENTS = (5, 6, 7, 8, 9, 14, 15, 16, 17, 35, 53)
_HYBRIDISATIONS = (Chem.HybridizationType.SP, Chem.HybridizationType.SP2, Chem.HybridizationType.SP3)
_BONDS = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC)

ATOM_FEATURES = len(_ELEMENTS) + 1 + 6 + 4 + 5 + len(_HYBRIDISATIONS) + 1 + 2
"""Element, neighbours, charge, hydrogens and hybridisation as one of several; aromatic, in a ring."""

BOND_FEATURES = len(_BONDS) + 1 + 2
"""Type as one of several; conjugated, in a ring."""


@dataclass(frozen=True, slots=True)
class Graph:
    """One molecule.

    Attributes:
        atoms: shape `(a, ATOM_FEATURES)`, zeros and ones.
        bonds: shape `(2 b, BOND_FEATURES)`, zeros and ones; each bond in both directions.
        ends: shape `(2, 2 b)`, atoms that a bond leads from and to.
    """

    atoms: Tensor
    bonds: Tensor
    ends: Tensor


class Graphs:
    """n molecules, of which any can be put side by side as one disconnected graph."""

    def __init__(self, molecules: Sequence[str], dtype: torch.dtype) -> None:
        self.graphs = [graph(smiles) for smiles in molecules]
        self.dtype = dtype

    def __len__(self) -> int:
        return len(self.graphs)

    def __getitem__(self, rows: Tensor) -> Graphs:
        chosen = Graphs((), self.dtype)
        chosen.graphs = [self.graphs[i] for i in rows.tolist()]
        return chosen

    def joined(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return atoms `(A, f)`, bonds `(2 B, g)`, their ends `(2, 2 B)`, and the molecule of each atom `(A,)`."""
        sizes = [len(one.atoms) for one in self.graphs]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64).tolist()
        return (
            torch.cat([one.atoms for one in self.graphs]).to(self.dtype),
            torch.cat([one.bonds for one in self.graphs]).to(self.dtype),
            torch.cat([one.ends + start for one, start in zip(self.graphs, starts, strict=True)], 1),
            torch.repeat_interleave(torch.tensor(sizes)),
        )


@lru_cache(maxsize=50_000)
def graph(smiles: str) -> Graph:
    """Return the graph of a molecule, given as canonical SMILES, from a cache: for reading only.

    Raises:
        ValueError: the text is no valid molecule.
    """
    mol = shared(smiles)
    if mol is None:
        raise ValueError(f"{smiles!r} is no valid SMILES; a graph needs a molecule that RDKit can read.")
    atoms = np.array([_atom(atom) for atom in mol.GetAtoms()], dtype=np.uint8)
    bonds = list(mol.GetBonds())
    ends = np.array([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonds], dtype=np.int64).reshape(-1, 2)
    kinds = np.array([_bond(bond) for bond in bonds], dtype=np.uint8).reshape(-1, BOND_FEATURES)
    both: NDArray[np.int64] = np.concatenate([ends, ends[:, ::-1]]).T.copy()
    return Graph(torch.from_numpy(atoms), torch.from_numpy(np.concatenate([kinds, kinds])), torch.from_numpy(both))


def _one_of(index: int, n: int) -> list[int]:
    return [int(i == min(index, n - 1)) for i in range(n)]


def _atom(atom: Chem.Atom) -> list[int]:
    number, kind, charge = atom.GetAtomicNum(), atom.GetHybridization(), atom.GetFormalCharge()
    return [
        *_one_of(_ELEMENTS.index(number) if number in _ELEMENTS else len(_ELEMENTS), len(_ELEMENTS) + 1),
        *_one_of(atom.GetDegree(), 6),
        *_one_of(charge + 1 if -1 <= charge <= 1 else 3, 4),
        *_one_of(atom.GetTotalNumHs(), 5),
        *_one_of(_HYBRIDISATIONS.index(kind) if kind in _HYBRIDISATIONS else 3, 4),
        int(atom.GetIsAromatic()),
        int(atom.IsInRing()),
    ]


def _bond(bond: Chem.Bond) -> list[int]:
    kind = bond.GetBondType()
    return [
        *_one_of(_BONDS.index(kind) if kind in _BONDS else len(_BONDS), len(_BONDS) + 1),
        int(bond.GetIsConjugated()),
        int(bond.IsInRing()),
    ]
