"""Graphs of heavy atoms as RDKit molecules: canonical SMILES, and the Kekule structures that share one.

An aromatic molecule is one object but may be several graphs, since its rings are built with bonds of order one and two.
Only bonds that RDKit calls aromatic can differ between two graphs of one SMILES, and hydrogens are where they are: so
all graphs of a molecule are among the ways to give its aromatic bonds orders with the same sum at every atom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from rdkit import Chem
from torch import Tensor

from data.chemistry.molecules import canonical as canonical_smiles
from data.chemistry.molecules import parse, quiet_rdkit
from models.gflownet.environments.atom_canonical import canonical, pack

_ORDERS = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}

CITES = ("rdkit",)
"""Key of what turns atoms and bonds into molecules."""

VALENCES = {
    "B": 3, "C": 4, "N": 3, "O": 2, "F": 1, "Si": 4, "P": 3, "S": 2, "Cl": 1, "Se": 2, "Br": 1, "I": 1,
}  # fmt: skip
"""Bonds of a neutral atom, implicit hydrogens included, where the options do not say otherwise."""


def valences_of(elements: Sequence[str], changes: Mapping[str, int]) -> list[int]:
    """Return the most bonds of each element, as usual or as `changes` has it.

    Raises:
        ValueError: an element is unknown or named twice, or a number of bonds is impossible.
    """
    table = {**VALENCES, **changes}
    if not set(elements) <= set(table) or len(set(elements)) < len(elements):
        raise ValueError(
            f"The elements are {', '.join(elements)}; expected distinct ones of {', '.join(table)}. Give others their "
            "number of bonds by the option max_valence."
        )
    for symbol, bonds in changes.items():
        if not 1 <= bonds <= 8 or symbol == "H":
            raise ValueError(
                f"The option max_valence gives {symbol} {bonds} bonds; expected 1 to 8, and hydrogens are implicit."
            )
        try:
            Chem.GetPeriodicTable().GetAtomicNumber(symbol)
        except RuntimeError:
            raise ValueError(f"The option max_valence names {symbol!r}, which is no chemical element.") from None
    return [table[symbol] for symbol in elements]


@dataclass(frozen=True)
class Identity:
    """What a graph is.

    Attributes:
        smiles: canonical SMILES; None if RDKit refuses the graph.
        forms: number of graphs, up to isomorphism, with this SMILES; 1 where there is none.
    """

    smiles: str | None
    forms: int


class AtomMolecules:
    """Graphs of the given elements and bond orders, as molecules.

    Args:
        elements: symbols; graphs hold their places in this sequence.
        orders: bond orders that graphs may have.
    """

    def __init__(self, elements: Sequence[str], orders: Sequence[int]) -> None:
        table = Chem.GetPeriodicTable()
        self._elements, self._orders = list(elements), sorted(orders)
        self._numbers = [table.GetAtomicNumber(symbol) for symbol in elements]

    def identify(self, element: Tensor, bond: Tensor) -> Identity:
        """Return the SMILES of one graph, (N,) and (N, N), and the number of graphs that share it."""
        mol = self._build(element, bond)
        smiles = _text(mol)
        if mol is None or smiles is None:
            return Identity(None, 1)
        return Identity(smiles, len(self._forms(mol, smiles, element, bond)))

    def forms(self, element: Tensor, bond: Tensor) -> Tensor:
        """Return the K graphs with the SMILES of a valid one, (N,) and (N, N), up to isomorphism: bonds (K, N, N).

        The nodes keep their numbers and their elements.

        Raises:
            ValueError: the graph is no valid molecule.
        """
        mol = self._build(element, bond)
        smiles = _text(mol)
        if mol is None or smiles is None:
            raise ValueError("The graph is no molecule that RDKit accepts; expected one whose `identify` has a SMILES.")
        return self._forms(mol, smiles, element, bond)

    def _forms(self, mol: Chem.Mol, smiles: str, element: Tensor, bond: Tensor) -> Tensor:
        pairs = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds() if b.GetIsAromatic()]
        assigned = self._assign(pairs, [bond[i, j].item() for i, j in pairs])
        if len(assigned) < 2:
            return bond[None]
        tables = bond.repeat(len(assigned), 1, 1)
        for table, orders in zip(tables, assigned, strict=True):
            for (i, j), order in zip(pairs, orders, strict=True):
                table[i, j] = table[j, i] = order
        codes = pack(canonical(element.expand(len(tables), -1), tables).bond)
        distinct = {tuple(code): table for code, table in zip(codes.tolist(), tables, strict=True)}
        return torch.stack([t for t in distinct.values() if _text(self._build(element, t)) == smiles])

    def _assign(self, pairs: Sequence[tuple[int, int]], now: Sequence[float]) -> list[list[int]]:
        """Return all orders of some bonds with the same sum at every atom as `now`."""
        left = dict.fromkeys((node for pair in pairs for node in pair), 0)
        last = {node: place for place, pair in enumerate(pairs) for node in pair}
        for pair, order in zip(pairs, now, strict=True):
            for node in pair:
                left[node] += int(order)
        partial: list[tuple[list[int], dict[int, int]]] = [([], left)]
        for place, (i, j) in enumerate(pairs):
            following = []
            for orders, rest in partial:
                for order in self._orders:
                    after = {**rest, i: rest[i] - order, j: rest[j] - order}
                    if all(after[k] == 0 if last[k] == place else after[k] > 0 for k in (i, j)):
                        following.append(([*orders, order], after))
            partial = following
        return [orders for orders, _ in partial]

    def _build(self, element: Tensor, bond: Tensor) -> Chem.Mol | None:
        kinds, orders = [kind for kind in element.tolist() if kind >= 0], bond.tolist()
        if not kinds:
            return None
        mol = Chem.RWMol()
        for kind in kinds:
            mol.AddAtom(Chem.Atom(self._numbers[kind]))
        for i in range(len(kinds)):
            for j in range(i):
                if orders[i][j]:
                    mol.AddBond(i, j, _ORDERS[orders[i][j]])
        with quiet_rdkit():
            try:
                Chem.SanitizeMol(mol, Chem.SANITIZE_ALL ^ Chem.SANITIZE_CLEANUP)
            except Chem.MolSanitizeException:
                return None
        return mol

    def read(self, smiles: str, size: int) -> tuple[Tensor, Tensor, float]:
        """Return one graph of a SMILES, element (size,) and bond (size, size), and the size of its smallest ring.

        Stereochemistry is left out; without rings their size is infinite.

        Raises:
            ValueError: it is no molecule of these elements and bond orders with at most `size` atoms, or it has
                charges, isotopes or radicals.
        """
        mol = parse(smiles)
        if mol is None:
            raise ValueError(f"{smiles!r} is no valid SMILES; expected a molecule that RDKit can read.")
        Chem.RemoveStereochemistry(mol)
        text = canonical_smiles(Chem.MolToSmiles(mol))
        Chem.Kekulize(mol, clearAromaticFlags=True)
        symbols = [atom.GetSymbol() for atom in mol.GetAtoms()]
        if len(symbols) > size or len(Chem.GetMolFrags(mol)) > 1 or not set(symbols) <= set(self._elements):
            raise ValueError(
                f"{smiles!r} has {len(symbols)} atoms of {', '.join(sorted(set(symbols)))}; expected at most {size} of "
                f"{', '.join(self._elements)}, all of them connected."
            )
        element, bond = torch.full((size,), -1), torch.zeros((size, size), dtype=torch.int64)
        element[: len(symbols)] = torch.tensor([self._elements.index(symbol) for symbol in symbols])
        for edge in mol.GetBonds():
            i, j, order = edge.GetBeginAtomIdx(), edge.GetEndAtomIdx(), int(edge.GetBondTypeAsDouble())
            bond[i, j] = bond[j, i] = order
        if not set(bond.flatten().tolist()) <= {0, *self._orders} or _text(self._build(element, bond)) != text:
            raise ValueError(
                f"{smiles!r} cannot be built: expected one neutral molecule without isotopes or radicals, with bonds "
                f"of order {', '.join(map(str, self._orders))}."
            )
        return element, bond, min(map(len, mol.GetRingInfo().AtomRings()), default=math.inf)


def _text(mol: Chem.Mol | None) -> str | None:
    """Return the canonical SMILES.

    None where RDKit makes a neutral graph one with charges, as it does with some of phosphorus: that is another graph.
    """
    smiles = None if mol is None else canonical_smiles(Chem.MolToSmiles(mol))
    return None if smiles is None or "+" in smiles else smiles
