"""Counts of the parts of a molecule, in several ways; each folded to one length.

No way of counting is best for every property: rings and their substituents show in circular environments, what is how
far from what in pairs of atoms, and what binds or dissolves in pharmacophoric environments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator as generators
from rdkit.Chem import rdMolDescriptors

from data.chemistry.molecules import FINGERPRINT_BITS
from data.chemistry.pharmacophores import feature_invariants

Counts = tuple[NDArray[np.uint16], NDArray[np.uint16]]
"""Columns of counts that are not nought, ascending and below `FINGERPRINT_BITS`, and the counts."""

Fingerprint = Callable[[Chem.Mol], Counts]

_morgan = generators.GetMorganGenerator(radius=2, fpSize=FINGERPRINT_BITS)
# Columns beside those of the elements, which are their atomic numbers.
RINGS, AROMATIC_RINGS = 200, 201
_pairs = generators.GetAtomPairGenerator(fpSize=FINGERPRINT_BITS, countSimulation=False)


def _columns(counts: dict[int, int]) -> Counts:
    columns = sorted(counts)
    return np.array(columns, np.uint16), np.array([counts[column] for column in columns], np.uint16)


def morgan_bits(mol: Chem.Mol, invariants: list[int] | None = None) -> dict[int, tuple[tuple[int, int], ...]]:
    """Return column -> central atom and radius of each environment that is counted in it."""
    output = generators.AdditionalOutput()
    output.AllocateBitInfoMap()
    _morgan.GetCountFingerprint(mol, customAtomInvariants=invariants or [], additionalOutput=output)
    bits: dict[int, tuple[tuple[int, int], ...]] = output.GetBitInfoMap()
    return bits


def pair_bits(mol: Chem.Mol) -> dict[int, tuple[tuple[int, int], ...]]:
    """Return column -> the pairs of atoms that are counted in it."""
    output = generators.AdditionalOutput()
    output.AllocateBitInfoMap()
    _pairs.GetCountFingerprint(mol, additionalOutput=output)
    bits: dict[int, tuple[tuple[int, int], ...]] = output.GetBitInfoMap()
    return bits


def _of_atoms(mol: Chem.Mol) -> Counts:
    return _columns(_morgan.GetCountFingerprint(mol).GetNonzeroElements())


def _of_features(mol: Chem.Mol) -> Counts:
    # Morgan's environments are the same; they begin with what an atom does, not with what it is.
    kinds = feature_invariants(mol)
    return _columns(_morgan.GetCountFingerprint(mol, customAtomInvariants=kinds).GetNonzeroElements())


def _of_pairs(mol: Chem.Mol) -> Counts:
    return _columns(_pairs.GetCountFingerprint(mol).GetNonzeroElements())


def _of_composition(mol: Chem.Mol) -> Counts:
    counts = Counter(atom.GetAtomicNum() for atom in mol.GetAtoms())
    counts[1] += sum(atom.GetTotalNumHs() for atom in mol.GetAtoms())
    counts[RINGS] = rdMolDescriptors.CalcNumRings(mol)
    counts[AROMATIC_RINGS] = rdMolDescriptors.CalcNumAromaticRings(mol)
    return _columns({column: count for column, count in counts.items() if count})


FINGERPRINTS: Mapping[str, Fingerprint] = {
    "morgan": _of_atoms,
    "feature_morgan": _of_features,
    "atom_pairs": _of_pairs,
    "composition": _of_composition,
}
"""Ways of counting, folded to `FINGERPRINT_BITS` columns: circular environments of radius 2 (Rogers and Hahn,
J. Chem. Inf. Model. 50, 742, 2010) of atoms, and of donors, acceptors, aromatic, acidic, basic and halogen atoms; pairs
of atoms with the bonds between them (Carhart, Smith and Venkataraghavan, J. Chem. Inf. Comput. Sci. 25, 64, 1985);
atoms of each element, hydrogen among them, rings and aromatic rings."""
