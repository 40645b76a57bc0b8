"""Molecules opened for editing, and closed again: Kekule form in, checked canonical SMILES out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from rdkit import Chem

from data.chemistry.bounds import SpaceBounds, outside, strained
from data.chemistry.molecules import canonical, parse, quiet_rdkit

_LARGEST_CUT_RING = 7


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a molecule that is left when bonds are cut."""

    atoms: frozenset[int]
    ends: tuple[int, ...]
    """Atoms of the piece that lost a bond, one per cut bond."""
    orders: tuple[Chem.BondType, ...]
    """Order of each cut bond."""


def open_molecule(smiles: str) -> Chem.Mol | None:
    """Return the molecule in Kekule form without stereochemistry, or None if the text is no molecule.

    Hydrogens of neutral atoms are implicit, so that they follow whatever is done to the atom's bonds.
    """
    mol = parse(smiles)
    if mol is None:
        return None
    Chem.RemoveStereochemistry(mol)
    Chem.Kekulize(mol, clearAromaticFlags=True)
    for atom in mol.GetAtoms():
        if atom.GetFormalCharge() == 0 and not atom.GetNumRadicalElectrons():
            atom.SetNoImplicit(False)
            atom.SetNumExplicitHs(0)
    mol.UpdatePropertyCache(strict=False)
    return mol


def close_molecule(edited: Chem.Mol, space: SpaceBounds) -> str | None:
    """Return the canonical SMILES of an edited molecule, or None if it is no molecule of the space.

    Besides the bounds of the space, rings must be free of strain (`data.chemistry.bounds.strained`), charged atoms must
    keep all their bonds, and sulfur and phosphorus of high valence must carry no hydrogen: cutting leaves such atoms
    behind.
    """
    mol = Chem.Mol(edited)
    with quiet_rdkit():
        if Chem.SanitizeMol(mol, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
            return None
    if outside(mol, space) is not None or strained(mol) is not None or any(map(_torn, mol.GetAtoms())):
        return None
    return canonical(str(Chem.MolToSmiles(mol)))


def _torn(atom: Chem.Atom) -> bool:
    if not atom.GetTotalNumHs():
        return False
    if atom.GetFormalCharge():
        return True
    lowest: int = Chem.GetPeriodicTable().GetDefaultValence(atom.GetAtomicNum())
    return atom.GetTotalValence() > lowest


def neighbours(mol: Chem.Mol) -> list[set[int]]:
    """Return the neighbours of each atom."""
    return [{other.GetIdx() for other in atom.GetNeighbors()} for atom in mol.GetAtoms()]


def chain_pieces(mol: Chem.Mol) -> list[Piece]:
    """Return both sides of every single bond that is in no ring."""
    around, pieces = neighbours(mol), []
    for bond in mol.GetBonds():
        if bond.GetBondType() != Chem.BondType.SINGLE or bond.IsInRing():
            continue
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        for kept, lost in (ends, ends[::-1]):
            atoms = _reach(around, kept, {frozenset(ends)})
            assert lost not in atoms
            pieces.append(Piece(atoms, (kept,), (Chem.BondType.SINGLE,)))
    return pieces


def ring_pieces(mol: Chem.Mol) -> list[Piece]:
    """Return both sides of every pair of bonds of one ring (up to seven atoms) whose cut divides the molecule."""
    around, pieces = neighbours(mol), []
    for ring in mol.GetRingInfo().BondRings():
        if len(ring) > _LARGEST_CUT_RING:
            continue
        for first, second in combinations([mol.GetBondWithIdx(index) for index in ring], 2):
            pieces.extend(_two_cuts(around, first, second))
    return pieces


def _two_cuts(around: list[set[int]], first: Chem.Bond, second: Chem.Bond) -> list[Piece]:
    one = first.GetBeginAtomIdx(), first.GetEndAtomIdx()
    two = second.GetBeginAtomIdx(), second.GetEndAtomIdx()
    cut = {frozenset(one), frozenset(two)}
    sides = [_reach(around, end, cut) for end in one]
    if sides[0] & sides[1]:
        return []
    orders = first.GetBondType(), second.GetBondType()
    found = []
    for side, end in zip(sides, one, strict=True):
        other = two[0] if two[0] in side else two[1]
        if other in side:
            found.append(Piece(side, (end, other), orders))
    return found


def _reach(around: list[set[int]], start: int, cut: Iterable[frozenset[int]]) -> frozenset[int]:
    closed, seen, stack = set(cut), {start}, [start]
    while stack:
        at = stack.pop()
        for other in around[at]:
            if other not in seen and frozenset((at, other)) not in closed:
                seen.add(other)
                stack.append(other)
    return frozenset(seen)


def join(left: Chem.Mol, a: Piece, right: Chem.Mol, b: Piece, flipped: bool = False) -> Chem.Mol | None:
    """Return the molecule of two pieces, joined end to end with the bond orders of `a`; not sanitised.

    None if two bonds would join the same two atoms, as between pieces of one atom each.
    """
    offset = left.GetNumAtoms()
    whole = Chem.RWMol(Chem.CombineMols(left, right))
    ends = b.ends[::-1] if flipped else b.ends
    if len(set(zip(a.ends, ends, strict=True))) < len(ends):
        return None
    for here, there, order in zip(a.ends, ends, a.orders, strict=True):
        whole.AddBond(here, offset + there, order)
    kept = a.atoms | {offset + index for index in b.atoms}
    whole.BeginBatchEdit()
    for index in range(whole.GetNumAtoms()):
        if index not in kept:
            whole.RemoveAtom(index)
    whole.CommitBatchEdit()
    return whole.GetMol()
