"""One three-dimensional geometry of a molecule, the same in every process.

ETKDGv3 (Wang et al., J. Chem. Inf. Model. 2020, 60, 2044) with a fixed seed, relaxed by MMFF94 (Halgren, J. Comput.
Chem. 1996, 17, 490); UFF (Rappe et al., J. Am. Chem. Soc. 1992, 114, 10024) where MMFF94 has no parameters, as for
boron.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from data.chemistry.molecules import parse, quiet_rdkit
from data.records import FloatArray
from models.oracles.base import MeasurementFailure

PROTOCOL = "etkdg3-mmff94"
"""Name of the protocol, part of the version of what is computed from its geometries; change one, change the other."""

_MAX_ITERATIONS = 2000


def conformer(smiles: str, seed: int) -> tuple[NDArray[np.int64], FloatArray, int]:
    """Return atomic numbers `(a,)`, positions `(a, 3)` in angstrom, and the net charge.

    A relaxation that has not converged after its iterations is used as it stands: it is deterministic all the same.

    Raises:
        MeasurementFailure: `invalid` if the text is no molecule of one fragment, `embedding` if it has no geometry.
    """
    mol = parse(smiles)
    if mol is None:
        raise MeasurementFailure("invalid", f"{smiles!r} is no valid SMILES.")
    if len(Chem.GetMolFrags(mol)) > 1:
        raise MeasurementFailure("invalid", f"{smiles!r} has more than one fragment; expected one molecule.")
    with quiet_rdkit():
        mol = Chem.AddHs(mol)
        _embed(mol, seed)
        _relax(mol)
    numbers = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], dtype=np.int64)
    return numbers, np.asarray(mol.GetConformer().GetPositions(), dtype=np.float64), int(Chem.GetFormalCharge(mol))


def _embed(mol: Chem.Mol, seed: int) -> None:
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed
    if rdDistGeom.EmbedMolecule(mol, parameters) == 0:
        return
    parameters.useRandomCoords = True
    if rdDistGeom.EmbedMolecule(mol, parameters) != 0:
        raise MeasurementFailure("embedding", "ETKDG finds no geometry, from random coordinates either.")


def _relax(mol: Chem.Mol) -> None:
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
        rdForceFieldHelpers.MMFFOptimizeMolecule(mol, maxIters=_MAX_ITERATIONS)
    elif rdForceFieldHelpers.UFFHasAllMoleculeParams(mol):
        rdForceFieldHelpers.UFFOptimizeMolecule(mol, maxIters=_MAX_ITERATIONS)
    else:
        raise MeasurementFailure("embedding", "Neither MMFF94 nor UFF has parameters for every atom.")
