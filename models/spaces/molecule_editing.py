"""Molecules opened for editing, and closed again: Kekule form in, checked canonical SMILES out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, reduce
from itertools import combinations
from operator import or_

from rdkit import Chem

from data.chemistry.bounds import SpaceBounds, outside, strained
from data.chemistry.molecules import atoms_of, bonds_of, canonical, parse, quiet_rdkit

_LARGEST_CUT_RING = 7


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a molecule that is left when bonds are cut."""

    mask: int
    """Bit i is set where atom i belongs to the piece."""
    ends: tuple[int, ...]
    """Atoms of the piece that lost a bond, one per cut bond."""
    orders: tuple[Chem.BondType, ...]
    """Order of each cut bond."""

    def __len__(self) -> int:
        return self.mask.bit_count()

    def __contains__(self, atom: int) -> bool:
        return bool(self.mask >> atom & 1)

    @staticmethod
    def whole(mol: Chem.Mol, end: int) -> Piece:
        """Return all of a molecule, to be bonded at an atom."""
        return Piece((1 << mol.GetNumAtoms()) - 1, (end,), (Chem.BondType.SINGLE,))


def open_molecule(smiles: str) -> Chem.Mol | None:
    """Return the molecule in Kekule form without stereochemistry, or None if the text is no molecule.

    Hydrogens of neutral atoms are implicit, so that they follow whatever is done to the atom's bonds.
    """
    mol = parse(smiles)
    if mol is None:
        return None
    Chem.RemoveStereochemistry(mol)
    Chem.Kekulize(mol, clearAromaticFlags=True)
    for atom in atoms_of(mol):
        if atom.GetFormalCharge() == 0 and not atom.GetNumRadicalElectrons():
            atom.SetNoImplicit(False)
            atom.SetNumExplicitHs(0)
    mol.UpdatePropertyCache(strict=False)
    return mol


def close_molecule(edited: Chem.Mol, space: SpaceBounds) -> str | None:
    """Return the canonical SMILES of an edited molecule, or None if it is no molecule of the space.

    Besides the bounds of the space, rings must be free of strain (`data.chemistry.bounds.strained`) unless it allows
    it, charged atoms must
    keep all their bonds, and sulfur and phosphorus of high valence must carry no hydrogen: cutting leaves such atoms
    behind.
    """
    mol = Chem.Mol(edited)
    with quiet_rdkit():
        if Chem.SanitizeMol(mol, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
            return None
    if outside(mol, space) is not None or mol.HasSubstructMatch(_torn()):
        return None
    if not space.allows_strain and strained(mol) is not None:
        return None
    return canonical(str(Chem.MolToSmiles(mol)))


@cache
def _torn() -> Chem.Mol:
    """Return the query for an atom with hydrogen that is charged, or has more bonds than its lowest valence."""
    table, able = Chem.GetPeriodicTable(), list[str]()
    for number in range(1, 119):
        lowest = table.GetDefaultValence(number)
        if lowest < 0:  # any valence is allowed, none is usual
            able.append(f"#{number}")
        elif len(table.GetValenceList(number)) > 1:
            able.append(f"#{number}&v{{{lowest + 1}-}}")
    return Chem.MolFromSmarts(f"[{','.join(['!+0', *able])};!H0]")


def _around(mol: Chem.Mol) -> list[int]:
    """Return the neighbours of each atom, as bits."""
    around = [0] * mol.GetNumAtoms()
    for bond in bonds_of(mol):
        a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        around[a] |= 1 << b
        around[b] |= 1 << a
    return around


def chain_pieces(mol: Chem.Mol) -> list[Piece]:
    """Return both sides of every single bond that is in no ring."""
    around, pieces = _around(mol), []
    for bond in bonds_of(mol):
        if bond.GetBondType() != Chem.BondType.SINGLE or bond.IsInRing():
            continue
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        for kept, lost in (ends, ends[::-1]):
            # The only way to the lost end leads over the bond: without that end the rest is the piece.
            pieces.append(Piece(_reach(around, kept, ~(1 << lost)), (kept,), (Chem.BondType.SINGLE,)))
    return pieces


def ring_pieces(mol: Chem.Mol) -> list[Piece]:
    """Return both sides of every pair of bonds of one ring (up to seven atoms) whose cut divides the molecule."""
    around, pieces = _around(mol), []
    for ring in mol.GetRingInfo().BondRings():
        if len(ring) <= _LARGEST_CUT_RING:
            pieces.extend(_ring_cuts(around, [mol.GetBondWithIdx(index) for index in ring]))
    return pieces


def _ring_cuts(around: list[int], bonds: list[Chem.Bond]) -> list[Piece]:
    """Return both sides of each pair of bonds of a ring, given in their order around it, that divides the molecule."""
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonds]
    # Atom i lies between the bonds i - 1 and i. What hangs on it is reached without the other atoms of the ring; where
    # two atoms reach the same, another ring joins them, and no cut between them divides the molecule.
    atoms = [next(iter({*ends[i - 1]} & {*ends[i]})) for i in range(len(ends))]
    ring = sum(1 << atom for atom in atoms)
    branches = [_reach(around, atom, ~(ring ^ 1 << atom)) for atom in atoms]
    pieces = []
    for first, second in combinations(range(len(ends)), 2):
        arc = _union(branches[first + 1 : second + 1])
        rest = _union(branches[: first + 1] + branches[second + 1 :])
        if arc & rest:
            continue
        orders = bonds[first].GetBondType(), bonds[second].GetBondType()
        for end in ends[first]:
            side = arc if arc >> end & 1 else rest
            other = next(atom for atom in ends[second] if side >> atom & 1)
            pieces.append(Piece(side, (end, other), orders))
    return pieces


def _union(masks: list[int]) -> int:
    """Return all atoms of some masks."""
    return reduce(or_, masks, 0)


def _reach(around: list[int], start: int, allowed: int) -> int:
    """Return, as bits, the atoms that a walk from one over allowed ones comes to."""
    seen = frontier = 1 << start
    while frontier:
        at = (frontier & -frontier).bit_length() - 1
        frontier &= frontier - 1
        new = around[at] & allowed & ~seen
        seen |= new
        frontier |= new
    return seen


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
    kept = a.mask | b.mask << offset
    whole.BeginBatchEdit()
    for index in range(whole.GetNumAtoms()):
        if not kept >> index & 1:
            whole.RemoveAtom(index)
    whole.CommitBatchEdit()
    return whole.GetMol()
