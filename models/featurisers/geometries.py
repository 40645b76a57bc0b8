"""Molecules as heavy atoms in space, all pairs of them joined, for networks that look at distances."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from rdkit.Chem import rdDepictor
from torch import Tensor

from data.chemistry.molecules import parse
from models.featurisers.graphs import BOND_FEATURES, graph
from models.oracles.base import MeasurementFailure
from models.oracles.conformer import conformer

logger = logging.getLogger(__name__)

_SEED = 7

LARGEST = 60
"""Heavy atoms above which no conformer is looked for: it would take many seconds and be one of very many."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """One molecule, hydrogens left out.

    Attributes:
        atoms: shape `(a, ATOM_FEATURES)`, zeros and ones.
        positions: shape `(a, 3)`, angstrom.
        ends: shape `(2, a (a - 1))`, atoms that a pair leads from and to.
        bonds: shape `(a (a - 1), BOND_FEATURES)`, zeros and ones; all zero where a pair is not bonded.
    """

    atoms: Tensor
    positions: Tensor
    ends: Tensor
    bonds: Tensor


class Geometries:
    """n molecules, of which any can be put side by side as one."""

    def __init__(self, molecules: Sequence[str], dtype: torch.dtype) -> None:
        self.graphs = [geometry(smiles) for smiles in molecules]
        self.dtype = dtype

    @staticmethod
    def of(geometries: Sequence[Geometry], dtype: torch.dtype) -> Geometries:
        """Take geometries that are known."""
        made = Geometries((), dtype)
        made.graphs = list(geometries)
        return made

    def __len__(self) -> int:
        return len(self.graphs)

    def __getitem__(self, rows: Tensor) -> Geometries:
        return Geometries.of([self.graphs[i] for i in rows.tolist()], self.dtype)

    def joined(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return atoms `(A, f)`, positions `(A, 3)`, pairs' ends `(2, P)` and bonds `(P, g)`, molecules `(A,)`."""
        sizes = [len(one.atoms) for one in self.graphs]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64).tolist()
        return (
            torch.cat([one.atoms for one in self.graphs]).to(self.dtype),
            torch.cat([one.positions for one in self.graphs]).to(self.dtype),
            torch.cat([one.ends + start for one, start in zip(self.graphs, starts, strict=True)], 1),
            torch.cat([one.bonds for one in self.graphs]).to(self.dtype),
            torch.repeat_interleave(torch.tensor(sizes)),
        )


@lru_cache(maxsize=20_000)
def geometry(smiles: str) -> Geometry:
    """Return the geometry of a molecule (`models.oracles.conformer`), from a cache: for reading only.

    A molecule for which none is found, or of more than `LARGEST` atoms, lies flat, as it is drawn; this is logged.

    Raises:
        ValueError: the text is no valid molecule.
    """
    bonded = graph(smiles)
    a = len(bonded.atoms)
    try:
        if a > LARGEST:
            raise MeasurementFailure("embedding", f"it has {a} heavy atoms, more than {LARGEST}")
        _, positions, _ = conformer(smiles, _SEED)
    except MeasurementFailure as failure:
        logger.warning("%s has no conformer (%s): its drawing is taken instead.", smiles, failure)
        mol = parse(smiles)
        assert mol is not None
        rdDepictor.Compute2DCoords(mol)
        positions = np.asarray(mol.GetConformer().GetPositions())
    pairs = torch.tensor([(i, j) for i in range(a) for j in range(a) if i != j], dtype=torch.long).reshape(-1, 2).T
    bonds = torch.zeros(a, a, BOND_FEATURES, dtype=torch.uint8)
    bonds[bonded.ends[0], bonded.ends[1]] = bonded.bonds
    # Hydrogens that a force field needs come after all others.
    return Geometry(bonded.atoms, torch.from_numpy(positions[:a].copy()), pairs, bonds[pairs[0], pairs[1]])
