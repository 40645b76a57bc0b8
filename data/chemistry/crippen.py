"""Contributions of atoms to log P and molar refractivity, without writing hydrogens out.

RDKit types the atoms of a molecule whose hydrogens are atoms too, twice as many as there are heavy ones. The types of
heavy atoms are the same without (no pattern of theirs takes a neighbour that is hydrogen), and a hydrogen's type
follows from the atom that it is on; so a molecule costs 60 % of the time, and every number is RDKit's to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from data.records import FloatArray

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


def contributions(mol: Chem.Mol, numbers: Sequence[int], hydrogens: Sequence[int]) -> FloatArray:
    """Return the contributions to log P and molar refractivity, shape `(heavy atoms + hydrogens, 2)`.

    Heavy atoms come first, in their order; then the hydrogens, those of the first atom first.

    Args:
        mol: sanitised.
        numbers: atomic number of each atom.
        hydrogens: hydrogens on each atom.
    """
    if 1 in numbers:  # a hydrogen that is an atom is a neighbour to the patterns: RDKit's own way
        return np.array(rdMolDescriptors._CalcCrippenContribs(Chem.AddHs(mol)))
    typed: list[tuple[float, float]] = rdMolDescriptors._CalcCrippenContribs(mol)
    hydroxyls: dict[int, tuple[float, float]] | None = None
    light: list[tuple[float, float]] = []
    for index, number in enumerate(numbers):
        count = hydrogens[index]
        if not count:
            continue
        if number == 8:
            hydroxyls = _hydroxyls(mol) if hydroxyls is None else hydroxyls
            light += [hydroxyls.get(index, _OTHER)] * count
        else:
            light += [_BOUND_TO.get(number, _ALCOHOL)] * count
    return np.array(typed + light)


def _hydroxyls(mol: Chem.Mol) -> dict[int, tuple[float, float]]:
    found: dict[int, tuple[float, float]] = {}
    for pattern, contribution in _HYDROXYLS:
        for match in mol.GetSubstructMatches(pattern, uniquify=False):
            found.setdefault(match[0], contribution)
    return found
