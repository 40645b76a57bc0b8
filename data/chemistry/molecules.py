"""Molecules as values: canonical SMILES, identity, scaffold, fingerprints.

The text of a molecule is RDKit's canonical SMILES, and its identity is a handle of that text: tautomers, stereoisomers,
charge states and isotopologues are different molecules, since a measurement can tell them apart. The InChIKey, which
tautomers share, says only which of them are one compound.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold

from data.objects import handle

_SETTLING = 4
"""Times that a canonical SMILES is read and written again until it no longer changes; one does nearly always."""

FINGERPRINT_BITS = 2048
"""Length of the folded Morgan count vectors."""

_morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=FINGERPRINT_BITS)


def quiet_rdkit() -> rdBase.BlockLogs:
    """Silence RDKit's log for a block: what it complains about is reported as our own refusal or failure."""
    return rdBase.BlockLogs()


def parse(smiles: str) -> Chem.Mol | None:
    """Return the sanitised molecule, or None if the text is empty or no valid SMILES."""
    if not smiles or not smiles.strip():
        return None
    with quiet_rdkit():
        mol = Chem.MolFromSmiles(smiles)
    return None if mol is None or mol.GetNumAtoms() == 0 else mol


def atoms_of(mol: Chem.Mol) -> list[Chem.Atom]:
    """Return the atoms in order: what `mol.GetAtoms()` says, in 40 % of its time."""
    return list(map(mol.GetAtomWithIdx, range(mol.GetNumAtoms())))


def bonds_of(mol: Chem.Mol) -> list[Chem.Bond]:
    """Return the bonds in order: what `mol.GetBonds()` says, in 40 % of its time."""
    return list(map(mol.GetBondWithIdx, range(mol.GetNumBonds())))


@lru_cache(maxsize=4096)
def shared(smiles: str) -> Chem.Mol | None:
    """Return what `parse` returns, from a cache: for reading only, since every caller gets the same object.

    In a generator's loop each molecule goes through several screens and the features; a parse costs as much as one.
    """
    return parse(smiles)


def canonical(smiles: str) -> str | None:
    """Return RDKit's canonical SMILES, or None if the text is no valid molecule."""
    known = _canonical.get(smiles, "")
    if known == "":
        mol = shared(smiles)
        known = None if mol is None else str(Chem.MolToSmiles(mol))
        remember_canonical(smiles, known)
    return known


_MOST = 200_000
_canonical: dict[str, str | None] = {}


def remember_canonical(smiles: str, text: str | None) -> None:
    """Let `canonical` know what it would return for a SMILES, where that was made on the way to something else."""
    if len(_canonical) >= _MOST:
        _canonical.clear()
    _canonical[smiles] = text


@lru_cache(maxsize=200_000)
def identity(smiles: str) -> str:
    """Return the handle of the structure: equal exactly for texts with one canonical SMILES, 25 characters.

    Raises:
        ValueError: the text is no valid molecule.
    """
    for _ in range(_SETTLING):
        text = canonical(smiles)
        if text is None:
            raise ValueError(f"{smiles!r} is no valid SMILES; an identity needs a molecule that RDKit can read.")
        if text == smiles:
            break
        smiles = text
    return handle(smiles)


def compound(smiles: str) -> str:
    """Return the InChIKey, which tautomers share: information, never an identity. Empty where InChI has none.

    Raises:
        ValueError: the text is no valid molecule.
    """
    mol = shared(smiles)
    if mol is None:
        raise ValueError(f"{smiles!r} is no valid SMILES; an InChIKey needs a molecule that RDKit can read.")
    with quiet_rdkit():
        return str(Chem.MolToInchiKey(mol))


@lru_cache(maxsize=200_000)
def scaffold(smiles: str) -> str:
    """Return the canonical SMILES of the Bemis-Murcko scaffold; empty for acyclic molecules."""
    mol = shared(smiles)
    if mol is None:
        raise ValueError(f"{smiles!r} is no valid SMILES; a scaffold needs a molecule that RDKit can read.")
    return str(Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(mol)))


def morgan_counts(molecules: Sequence[str]) -> NDArray[np.int32]:
    """Return folded Morgan counts (radius 2), shape `(n, FINGERPRINT_BITS)`, int32.

    Raises:
        ValueError: one of the texts is no valid molecule.
    """
    out = np.zeros((len(molecules), FINGERPRINT_BITS), dtype=np.int32)
    for row, smiles in enumerate(molecules):
        mol = shared(smiles)
        if mol is None:
            raise ValueError(f"{smiles!r} is no valid SMILES; fingerprints need molecules that RDKit can read.")
        out[row] = _morgan.GetCountFingerprintAsNumPy(mol)
    return out
