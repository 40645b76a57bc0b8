"""Molecules as graphs with words on nodes and orders on edges, and back; stereochemistry is left out.

A node is its element and charge, such as `C` or `N+`; rings are Kekule structures, and hydrogens are what is missing to
the valence. What does not come back the same from its graph is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rdkit import Chem

from data.chemistry.molecules import atoms_of, bonds_of, canonical, parse, quiet_rdkit
from data.objects import NotStandardError

ORDERS = (1, 2, 3)
"""Bonds that are told."""
_BONDS = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
_LABEL = re.compile(r"([A-Z][a-z]?)([+-]*)")


@dataclass(frozen=True, slots=True)
class LabelledGraph:
    """A molecule.

    Attributes:
        labels: of each of n nodes, its element and charge.
        valences: of each node, the sum of its orders and hydrogens.
        bonds: of edges (i, j), i < j, the order.
        stereo: whether the molecule had stereochemistry, which the graph has not.
    """

    labels: tuple[str, ...]
    valences: tuple[int, ...]
    bonds: dict[tuple[int, int], int]
    stereo: bool = False


def labelled_graph(smiles: str) -> LabelledGraph:
    """Return the graph of a molecule, its nodes in the order of its text.

    Raises:
        NotStandardError: it has isotopes, radicals, several fragments or bonds of other orders, or does not come back.
    """
    mol = parse(smiles)
    if mol is None:
        raise NotStandardError("no valid SMILES")
    if len(Chem.GetMolFrags(mol)) > 1:
        raise NotStandardError("several fragments")
    Chem.RemoveStereochemistry(mol)
    flat = canonical(str(Chem.MolToSmiles(mol)))
    Chem.Kekulize(mol, clearAromaticFlags=True)
    atoms = atoms_of(mol)
    if any(atom.GetIsotope() or atom.GetNumRadicalElectrons() for atom in atoms):
        raise NotStandardError("isotopes or radicals")
    bonds = {}
    for bond in bonds_of(mol):
        i, j = sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
        bonds[i, j] = int(bond.GetBondTypeAsDouble())
        if _BONDS.get(bonds[i, j]) != bond.GetBondType():
            raise NotStandardError("bonds that are neither single, double nor triple")
    sums = [atom.GetTotalNumHs() for atom in atoms]
    for pair, order in bonds.items():
        for node in pair:
            sums[node] += order
    labels = tuple(map(_label, atoms))
    graph = LabelledGraph(labels, tuple(sums), bonds, flat != canonical(smiles))
    if molecule(labels, bonds) != flat:
        raise NotStandardError("hydrogens or charges that its bonds do not tell")
    return graph


def molecule(labels: tuple[str, ...], bonds: dict[tuple[int, int], int]) -> str | None:
    """Return the canonical SMILES of a graph, None if it is no molecule that RDKit accepts."""
    mol = Chem.RWMol()
    for label in labels:
        match = _LABEL.fullmatch(label)
        if match is None:
            raise ValueError(f"The node {label!r} is none; expected an element and its charge, such as C or N+.")
        atom = Chem.Atom(match[1])
        atom.SetFormalCharge(match[2].count("+") - match[2].count("-"))
        mol.AddAtom(atom)
    for (i, j), order in bonds.items():
        mol.AddBond(i, j, _BONDS[order])
    with quiet_rdkit():
        try:
            Chem.SanitizeMol(mol, Chem.SANITIZE_ALL ^ Chem.SANITIZE_CLEANUP)
        except Chem.MolSanitizeException:
            return None
    return canonical(str(Chem.MolToSmiles(mol)))


def _label(atom: Chem.Atom) -> str:
    charge = atom.GetFormalCharge()
    return str(atom.GetSymbol()) + ("+" if charge > 0 else "-") * abs(charge)
