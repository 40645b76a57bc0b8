"""The search space as a check: is this molecule inside, and can its rings exist in three dimensions?

One check serves data preparation, generators and screens, so that what is refused in one place is refused in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

from rdkit import Chem
from rdkit.Chem import rdMolDescriptors, rdqueries

from data.chemistry.molecules import atoms_of, parse

MAX_RING_SIZE = 8
"""Largest ring: larger ones need conformer searches that a single ETKDG geometry does not stand for."""

# The middle atom is linear: sulfur in N=S=N is bent and fits into a ring.
_CUMULENE = Chem.MolFromSmarts("*=@[#6,#7]=@*")
_CYCLIC_ALKYNE = Chem.MolFromSmarts("*#@*")
_table = Chem.GetPeriodicTable()
# RDKit goes over the atoms of a molecule for a query some ten times as fast as Python does.
_WITH_HYDROGEN = Chem.MolFromSmarts("[!H0]")
_RADICAL = rdqueries.NumRadicalElectronsGreaterQueryAtom(0)
_ISOTOPE = rdqueries.IsotopeGreaterQueryAtom(0)


class SpaceBounds(Protocol):
    """What `outside` needs to know; `models.protocols.Space` and the campaign's schema both satisfy it."""

    @property
    def max_heavy_atoms(self) -> int:
        """Most atoms other than hydrogen."""

    @property
    def min_heavy_atoms(self) -> int:
        """Fewest atoms other than hydrogen."""

    @property
    def allows_strain(self) -> bool:
        """Whether molecules with large or strained rings may be made and bought."""

    @property
    def elements(self) -> Sequence[str]:
        """Symbols of the allowed elements, hydrogen included."""


def outside(molecule: str | Chem.Mol, space: SpaceBounds) -> str | None:
    """Return why a molecule is outside the space, or None if it is inside.

    Inside means: one fragment, heavy atoms within the bounds, allowed elements only, no net charge, no unpaired
    electron, no isotope label. Charge-separated neutral groups (nitro, N-oxide) are inside.

    Args:
        molecule: SMILES text or a sanitised molecule.
        space: the bounds.

    Returns:
        A phrase such as "more than 14 heavy atoms", the same for every molecule with that fault.
    """
    mol = parse(molecule) if isinstance(molecule, str) else molecule
    if mol is None:
        return "no valid SMILES"
    if len(Chem.GetMolFrags(mol)) > 1:
        return "more than one fragment"
    heavy = mol.GetNumHeavyAtoms()
    if heavy > space.max_heavy_atoms:
        return f"more than {space.max_heavy_atoms} heavy atoms"
    if heavy < space.min_heavy_atoms:
        return f"fewer than {space.min_heavy_atoms} heavy atoms"
    elements = tuple(space.elements)
    if mol.HasSubstructMatch(_foreign(elements)) or ("H" not in elements and mol.HasSubstructMatch(_WITH_HYDROGEN)):
        symbols = {atom.GetSymbol() for atom in atoms_of(mol)}
        if mol.HasSubstructMatch(_WITH_HYDROGEN):
            symbols.add("H")
        return f"element {', '.join(sorted(symbols - set(elements)))} outside the space"
    if Chem.GetFormalCharge(mol) != 0:
        return "a net charge"
    if mol.GetAtomsMatchingQuery(_RADICAL):
        return "an unpaired electron"
    if mol.GetAtomsMatchingQuery(_ISOTOPE):
        return "an isotope label"
    return None


@cache
def _foreign(elements: tuple[str, ...]) -> Chem.Mol:
    """Return the query for an atom of another element; an atom that is unknown (0) is one too."""
    return Chem.MolFromSmarts(f"[{';'.join(f'!#{_table.GetAtomicNumber(symbol)}' for symbol in elements) or '*'}]")


def strained(molecule: Chem.Mol) -> str | None:
    """Return why the rings of a molecule cannot be trusted to exist, or None.

    Refused are rings of more than `MAX_RING_SIZE` atoms, cumulenes and triple bonds in rings, a double bond in a ring
    of three, two double bonds in a ring of four (no aromatic one), a double bond at a bridgehead (Bredt's rule), and a
    bond shared by two rings of three. ETKDG fails on most of these; the rest fall apart.
    """
    rings = molecule.GetRingInfo()
    if not rings.NumRings():
        return None
    if max(len(ring) for ring in rings.AtomRings()) > MAX_RING_SIZE:
        return f"a ring of more than {MAX_RING_SIZE} atoms"
    if molecule.HasSubstructMatch(_CUMULENE):
        return "a cumulene in a ring"
    if molecule.HasSubstructMatch(_CYCLIC_ALKYNE):
        return "a triple bond in a ring"
    return _strained_small_ring(molecule) or _against_bredt(molecule)


def _strained_small_ring(mol: Chem.Mol) -> str | None:
    in_threes: set[int] = set()
    for ring in mol.GetRingInfo().BondRings():
        if len(ring) > 4:
            continue
        double = sum(mol.GetBondWithIdx(i).GetBondType() == Chem.BondType.DOUBLE for i in ring)
        if len(ring) == 3:
            if double or any(mol.GetBondWithIdx(i).GetIsAromatic() for i in ring):
                return "a double bond in a ring of three"
            if in_threes.intersection(ring):
                return "a bond shared by two rings of three"
            in_threes.update(ring)
        elif double > 1:
            return "two double bonds in a ring of four"
    return None


def _against_bredt(mol: Chem.Mol) -> str | None:
    bridgeheads: Any = []  # RDKit's stubs ask for a C++ vector; it fills a list
    if not rdMolDescriptors.CalcNumBridgeheadAtoms(mol, bridgeheads):
        return None
    for index in bridgeheads:
        for bond in mol.GetAtomWithIdx(index).GetBonds():
            if bond.GetBondType() in (Chem.BondType.DOUBLE, Chem.BondType.AROMATIC):
                return "a double bond at a bridgehead"
    return None
