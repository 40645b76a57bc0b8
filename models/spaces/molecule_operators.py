"""Crossover and mutation of molecules by direct edits of the graph.

After the graph-based genetic algorithm of Jensen (Chem. Sci. 2019, 10, 3567), with edits of `RWMol` in place of
reaction SMARTS: about 1 ms an offspring, and never larger than the space allows. What is attached and which elements
are drawn is counted in the library of the campaign, not written by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rdkit import Chem

from data.chemistry.bounds import SpaceBounds
from data.chemistry.molecules import atoms_of, bonds_of
from data.records import FloatArray
from models.spaces.molecule_editing import Piece, chain_pieces, close_molecule, join, open_molecule, ring_pieces

_SINGLE, _DOUBLE, _TRIPLE = Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE
_ORDERS = {_SINGLE: 1, _DOUBLE: 2, _TRIPLE: 3}
_TRIES = 8
_DERIVE_FROM = 1500
"""Members of the library in which elements and groups are counted."""
_MOST_GROUPS, _MOST_ATOMS = 64, 8


@dataclass(frozen=True)
class Palette:
    """What mutations draw from, with probabilities."""

    elements: tuple[str, ...]
    element_weights: FloatArray
    """Shape `(len(elements),)`, sums to 1."""
    groups: tuple[str, ...]
    """SMILES of attachable groups; the attachment point is the atom with map number 1."""
    group_weights: FloatArray
    """Shape `(len(groups),)`, sums to 1."""


def count_palette(library: Sequence[str], space: SpaceBounds) -> Palette:
    """Count elements and attachable groups in a library.

    A group is what one cut of a single bond outside rings leaves, of at most 8 heavy atoms; the 64 most frequent ones
    are kept and drawn in proportion to the square root of their frequency, so that rare ones are tried too. Every
    heavy element of the space can be drawn, with at least 1 % of the weight of the commonest.
    """
    return _count_palette(tuple(library[:_DERIVE_FROM]), tuple(symbol for symbol in space.elements if symbol != "H"))


@lru_cache(maxsize=8)  # each generator of each stage of a round counts in the same library
def _count_palette(library: tuple[str, ...], heavy: tuple[str, ...]) -> Palette:
    elements: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    for smiles in library:
        mol = open_molecule(smiles)
        if mol is None:
            continue
        elements.update(atom.GetSymbol() for atom in atoms_of(mol))
        charges = {atom.GetIdx(): atom.GetFormalCharge() for atom in atoms_of(mol) if atom.GetFormalCharge()}
        small = (piece for piece in chain_pieces(mol) if len(piece) <= _MOST_ATOMS)
        neutral = (piece for piece in small if not sum(charges[atom] for atom in charges if atom in piece))
        groups.update(_group(mol, piece) for piece in neutral)
    counts = np.array([elements[symbol] for symbol in heavy], dtype=np.float64)
    weights = np.maximum(counts, max(counts.max(initial=0.0), 1.0) / 100)
    common = sorted(groups.items(), key=lambda item: (-item[1], item[0]))[:_MOST_GROUPS]
    frequency = np.sqrt(np.array([count for _, count in common], dtype=np.float64))
    total = frequency.sum() or 1.0
    return Palette(heavy, weights / weights.sum(), tuple(name for name, _ in common), frequency / total)


def _group(mol: Chem.Mol, piece: Piece) -> str:
    part = Chem.RWMol(mol)
    part.GetAtomWithIdx(piece.ends[0]).SetAtomMapNum(1)
    part.BeginBatchEdit()
    for index in range(mol.GetNumAtoms()):
        if index not in piece:
            part.RemoveAtom(index)
    part.CommitBatchEdit()
    return str(Chem.MolToSmiles(part))


@dataclass(frozen=True)
class _Opened:
    """A molecule opened once, with all the ways to cut it."""

    mol: Chem.Mol
    chain: list[Piece]
    ring: list[Piece]
    by_orders: dict[tuple[int, ...], list[Piece]]
    """Pieces by the orders of their cut bonds, ascending: those that fit each other."""


@lru_cache(maxsize=2_000)  # parents come back within a few generations; one takes some 15 kB
def _opened(smiles: str) -> _Opened | None:
    mol = open_molecule(smiles)
    if mol is None:
        return None
    chain, ring, by_orders = chain_pieces(mol), ring_pieces(mol), dict[tuple[int, ...], list[Piece]]()
    for piece in (*chain, *ring):
        by_orders.setdefault(_orders(piece), []).append(piece)
    return _Opened(mol, chain, ring, by_orders)


def _orders(piece: Piece) -> tuple[int, ...]:
    return tuple(sorted(_ORDERS[order] for order in piece.orders))


class Operators:
    """Random edits that stay inside the space.

    Args:
        palette: what mutations draw from.
        space: bounds of every product.
    """

    def __init__(self, palette: Palette, space: SpaceBounds) -> None:
        self._palette = palette
        self._space = space
        self._groups = [_opened_group(text) for text in palette.groups]
        self._mutations: tuple[Callable[[_Opened, np.random.Generator], Chem.Mol | None], ...] = (
            self._change_element,
            self._change_bond,
            self._append_atom,
            self._insert_atom,
            self._delete_atom,
            self._close_ring,
            self._open_ring,
            self._attach_group,
            self._replace_piece,
        )

    def mutate(self, smiles: str, rng: np.random.Generator) -> str | None:
        """Return the canonical SMILES of one random edit, different from the molecule, or None after eight failures."""
        opened = _opened(smiles)
        if opened is None:
            return None
        for _ in range(_TRIES):
            edited = self._mutations[rng.integers(len(self._mutations))](opened, rng)
            product = None if edited is None else close_molecule(edited, self._space)
            if product is not None and product != smiles:
                return product
        return None

    def crossover(self, first: str, second: str, rng: np.random.Generator) -> str | None:
        """Return the canonical SMILES of a piece of each molecule joined, or None after eight failures.

        Half of the tries cut one bond outside rings in each molecule, half cut two bonds of a ring in each.
        """
        left, right = _opened(first), _opened(second)
        if left is None or right is None:
            return None
        for _ in range(_TRIES):
            pieces = (left.chain, right.chain) if rng.random() < 0.5 else (left.ring, right.ring)
            pair = self._matching(pieces[0], right, rng) if all(pieces) else None
            if pair is None:
                continue
            joined = join(left.mol, pair[0], right.mol, pair[1], bool(rng.integers(2)))
            product = None if joined is None else close_molecule(joined, self._space)
            if product is not None and product not in (first, second):
                return product
        return None

    def _matching(self, left: list[Piece], right: _Opened, rng: np.random.Generator) -> tuple[Piece, Piece] | None:
        one = left[rng.integers(len(left))]
        room = self._space.max_heavy_atoms - len(one)
        fitting = [piece for piece in right.by_orders.get(_orders(one), ()) if len(piece) <= room]
        return (one, fitting[rng.integers(len(fitting))]) if fitting else None

    def _has_room(self, mol: Chem.Mol) -> bool:
        return bool(mol.GetNumHeavyAtoms() < self._space.max_heavy_atoms)

    def _element(self, valence: int, rng: np.random.Generator) -> Chem.Atom | None:
        """Draw an element that can carry bonds of total order `valence`."""
        palette, table = self._palette, Chem.GetPeriodicTable()
        able = np.array([max(table.GetValenceList(symbol)) >= valence for symbol in palette.elements])
        weights = palette.element_weights * able
        if not weights.any():
            return None
        return Chem.Atom(palette.elements[rng.choice(len(weights), p=weights / weights.sum())])

    def _change_element(self, opened: _Opened, rng: np.random.Generator) -> Chem.Mol | None:
        mol = Chem.RWMol(opened.mol)
        atom = mol.GetAtomWithIdx(int(rng.integers(mol.GetNumAtoms())))
        new = None if atom.GetFormalCharge() else self._element(_bonded(atom), rng)
        if new is None:
            return None
        mol.ReplaceAtom(atom.GetIdx(), new)
        return mol

    def _change_bond(self, opened: _Opened, rng: np.random.Generator) -> Chem.Mol | None:
        mol = Chem.RWMol(opened.mol)
        bonds = [bond for bond in bonds_of(mol) if _neutral(bond)]
        if not bonds:
            return None
        bond = bonds[rng.integers(len(bonds))]
        spare = min(_free(bond.GetBeginAtom()), _free(bond.GetEndAtom()))
        now = _ORDERS[bond.GetBondType()]
        possible = [kind for kind, order in _ORDERS.items() if order != now and order - now <= spare]
        if not possible:
            return None
        bond.SetBondType(possible[rng.integers(len(possible))])
        return mol

    def _append_atom(self, opened: _Opened, rng: np.random.Generator) -> Chem.Mol | None:
        mol = Chem.RWMol(opened.mol)
        at = _open_site(mol, rng)
        if at is None or not self._has_room(mol):
            return None
        order = int(rng.integers(1, min(_free(mol.GetAtomWithIdx(at)), 3) + 1))
        new = self._element(order, rng)
        if new is None:
            return None
        mol.AddBond(at, mol.AddAtom(new), (_SINGLE, _DOUBLE, _TRIPLE)[order - 1])
        return mol

    def _insert_atom(self, opened: _Opened, rng: np.random.Generator) -> Chem.Mol | None:
        mol = Chem.RWMol(opened.mol)
        bonds = [bond for bond in bonds_of(mol) if bond.GetBondType() == _SINGLE and _neutral(bond)]
        new = self._element(2, rng)
        if not bonds or new is None or not self._has_room(mol):
            return None
        bond = bonds[rng.integers(len(bonds))]
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        mol.RemoveBond(*ends)
        added = mol.AddAtom(new)
        for end in ends:
            mol.AddBond(end, added, _SINGLE)
        return mol

    def _delete_atom(self, opened: _Opened, rng: np.random.Generator) -> Chem.Mol | None:
        mol = Chem.RWMol(opened.mol)
        atom = mol.GetAtomWithIdx(int(rng.integers(mol.GetNumAtoms())))
        around = [other.GetIdx() for other in atom.GetNeighbors()]
        charged = any(end.GetFormalCharge() for end in (atom, *atom.GetNeighbors()))
        if charged or not 1 <= len(around) <= 2 or (len(around) == 2 and mol.GetBondBetweenAtoms(*around)):
            return None
        if len(around) == 2:
            mol.AddBond(around[0], around[1], _SINGLE)
        mol.RemoveAtom(atom.GetIdx())
        return mol

    def _close_ring(self, opened: _Opened, rng: np.random.Generator) -> Chem.Mol | None:
        mol = Chem.RWMol(opened.mol)
        free = [atom.GetIdx() for atom in atoms_of(mol) if _free(atom)]
        distance = Chem.GetDistanceMatrix(opened.mol)
        # Rings of five and six are the common ones; of four, seven and eight now and then.
        wanted = (4, 5) if rng.random() < 0.9 else (3, 6, 7)
        pairs = [(a, b) for a in free for b in free if a < b and distance[a, b] in wanted]
        if not pairs:
            return None
        first, second = pairs[rng.integers(len(pairs))]
        mol.AddBond(first, second, _SINGLE)
        return mol

    def _open_ring(self, opened: _Opened, rng: np.random.Generator) -> Chem.Mol | None:
        mol = Chem.RWMol(opened.mol)
        bonds = [bond for bond in bonds_of(mol) if bond.IsInRing() and bond.GetBondType() == _SINGLE and _neutral(bond)]
        if not bonds:
            return None
        bond = bonds[rng.integers(len(bonds))]
        mol.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        return mol

    def _attach_group(self, opened: _Opened, rng: np.random.Generator) -> Chem.Mol | None:
        at = _open_site(opened.mol, rng)
        if at is None:
            return None
        return self._with_group(opened.mol, Piece.whole(opened.mol, at), rng)

    def _replace_piece(self, opened: _Opened, rng: np.random.Generator) -> Chem.Mol | None:
        if not opened.chain:
            return None
        return self._with_group(opened.mol, opened.chain[rng.integers(len(opened.chain))], rng)

    def _with_group(self, mol: Chem.Mol, piece: Piece, rng: np.random.Generator) -> Chem.Mol | None:
        if not self._groups:
            return None
        group, whole = self._groups[rng.choice(len(self._groups), p=self._palette.group_weights)]
        if len(piece) + len(whole) > self._space.max_heavy_atoms:
            return None
        return join(mol, piece, group, whole)


def _opened_group(text: str) -> tuple[Chem.Mol, Piece]:
    group = Chem.MolFromSmiles(text, sanitize=False)
    (end,) = (atom.GetIdx() for atom in atoms_of(group) if atom.GetAtomMapNum())
    for atom in atoms_of(group):
        atom.SetAtomMapNum(0)
        if not atom.GetFormalCharge():
            atom.SetNoImplicit(False)
            atom.SetNumExplicitHs(0)
    return group, Piece.whole(group, end)


def _neutral(bond: Chem.Bond) -> bool:
    return not (bond.GetBeginAtom().GetFormalCharge() or bond.GetEndAtom().GetFormalCharge())


def _bonded(atom: Chem.Atom) -> int:
    return sum(_ORDERS[bond.GetBondType()] for bond in atom.GetBonds())


def _free(atom: Chem.Atom) -> int:
    """Count the hydrogens that can be replaced by bonds."""
    return 0 if atom.GetFormalCharge() else int(atom.GetTotalNumHs())


def _open_site(mol: Chem.Mol, rng: np.random.Generator) -> int | None:
    free = [atom.GetIdx() for atom in atoms_of(mol) if _free(atom)]
    return int(free[rng.integers(len(free))]) if free else None
