"""Contributions of atoms to log P and molar refractivity, each environment of an atom typed once.

RDKit types the atoms of a molecule, its hydrogens among them, by trying some hundred patterns. What a pattern sees of
an atom is its element, charge, aromaticity, hydrogens and degree, and of its neighbours the first three; of an oxygen's
neighbours all, and the first three of theirs. So an environment that was seen before has the types that it had then; to
look it up takes a third of the time. A new one is typed by RDKit in the molecule without its hydrogens (no pattern of a
heavy atom takes a hydrogen for a neighbour); a hydrogen's type follows from the atom that it is on. Every number is
RDKit's to the bit; the tests compare them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from data.chemistry.molecules import bonds_of
from data.records import FloatArray

Contribution = tuple[float, float]
Environment = tuple[Any, ...]

_ON_CARBON = (0.123, 1.057)
_ALCOHOL = (-0.2677, 1.395)
_ON_NITROGEN = (0.2142, 0.9627)
_ACID = (0.298, 1.805)
_OTHER = (0.1125, 1.112)
"""H1, H2, H3, H4 and HS of Wildman and Crippen, J. Chem. Inf. Comput. Sci. 39, 868 (1999), Table 1: log P and molar
refractivity. H2 is also the type of a hydrogen on what is neither C, N nor O."""

_BOUND_TO = {6: _ON_CARBON, 7: _ON_NITROGEN}

_HYDROXYLS = tuple(
    (Chem.MolFromSmarts(smarts), contribution)
    for smarts, contribution in (
        ("[O;!H0;!H1]", _ALCOHOL),
        ("[O;!H0][CX4,c,!#6&!#7&!#8&!#16]", _ALCOHOL),
        ("[O;!H0][#7]", _ON_NITROGEN),
        ("[O;!H0]C=[#6,#7,O,S]", _ACID),
        ("[O;!H0][O,S]", _ACID),
    )
)
"""What an oxygen with hydrogen is bound to -> its hydrogens' contribution; the first that fits counts. The first line
is water and its kind, whose other hydrogen is a neighbour."""


_MOST = 100_000
"""Environments that are remembered; 4,000 molecules of ZINC have 700."""

_known: dict[Environment, tuple[Contribution, Contribution]] = {}
"""Environment of an atom -> its contribution, and that of a hydrogen on it."""


def contributions(mol: Chem.Mol, atoms: Sequence[Chem.Atom], numbers: Sequence[int]) -> FloatArray:
    """Return the contributions to log P and molar refractivity, shape `(heavy atoms + hydrogens, 2)`.

    Heavy atoms come first, in their order; then the hydrogens, those of the first atom first.

    Args:
        mol: sanitised.
        atoms: of the molecule.
        numbers: atomic number of each atom.
    """
    if 1 in numbers:  # a hydrogen that is an atom is a neighbour to the patterns: RDKit's own way
        return np.array(rdMolDescriptors._CalcCrippenContribs(Chem.AddHs(mol)))
    hydrogens = [atom.GetTotalNumHs() for atom in atoms]
    keys = _environments(mol, atoms, numbers, hydrogens)
    try:
        known = [_known[key] for key in keys]
    except KeyError:
        known = _typed(mol, numbers)
        if len(_known) > _MOST:
            _known.clear()
        _known.update(zip(keys, known, strict=True))
    every = [own for own, _ in known]
    for (_, light), count in zip(known, hydrogens, strict=True):
        if count:
            every += [light] * count
    return np.array(every)


def _environments(
    mol: Chem.Mol, atoms: Sequence[Chem.Atom], numbers: Sequence[int], hydrogens: Sequence[int]
) -> list[Environment]:
    """Return what the patterns can see of each atom, as whole numbers."""
    # As a neighbour an atom is an element with a charge, aromatic or not; by itself it also has hydrogens and a degree.
    outer = [
        number | (atom.GetFormalCharge() + 64) << 8 | atom.GetIsAromatic() << 16
        for number, atom in zip(numbers, atoms, strict=True)
    ]
    inner = [
        sign | count << 24 | atom.GetDegree() << 32 for sign, count, atom in zip(outer, hydrogens, atoms, strict=True)
    ]
    around: list[list[int]] = [[] for _ in outer]
    of_oxygen: dict[int, list[tuple[int, int]]] = {index: [] for index, number in enumerate(numbers) if number == 8}
    for bond in bonds_of(mol):
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        kind = int(bond.GetBondType()) << 24
        around[i].append(kind | outer[j])
        around[j].append(kind | outer[i])
        if i in of_oxygen:
            of_oxygen[i].append((kind, j))
        if j in of_oxygen:
            of_oxygen[j].append((kind, i))
    near = [(sign, *sorted(codes)) for sign, codes in zip(inner, around, strict=True)]
    environments: list[Environment] = list(near)
    for index, others in of_oxygen.items():
        environments[index] = (inner[index], *sorted((kind, *near[other]) for kind, other in others))
    return environments


def _typed(mol: Chem.Mol, numbers: Sequence[int]) -> list[tuple[Contribution, Contribution]]:
    heavy: list[Contribution] = rdMolDescriptors._CalcCrippenContribs(mol)
    hydroxyls = _hydroxyls(mol)
    light = [
        hydroxyls.get(i, _OTHER) if number == 8 else _BOUND_TO.get(number, _ALCOHOL) for i, number in enumerate(numbers)
    ]
    return list(zip(heavy, light, strict=True))


def _hydroxyls(mol: Chem.Mol) -> dict[int, Contribution]:
    found: dict[int, Contribution] = {}
    for pattern, contribution in _HYDROXYLS:
        for match in mol.GetSubstructMatches(pattern, uniquify=False):
            found.setdefault(match[0], contribution)
    return found
