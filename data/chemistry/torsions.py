"""Conformers of one molecule by its torsion angles: which bonds turn, and MMFF94 energies with the angles held.

MMFF94: Halgren, J. Comput. Chem. 1996, 17, 490. Starting geometries: ETKDGv3, Wang et al., J. Chem. Inf. Model. 2020,
60, 2044. Bonds that turn are those of RDKit's `RotatableBondSmarts`: single, in no ring, with heavy atoms behind both
ends, beside no triple bond.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.Chem import Lipinski, rdDistGeom, rdForceFieldHelpers, rdMolTransforms

from data.chemistry.molecules import quiet_rdkit

Quadruple = tuple[int, int, int, int]
"""Atoms of a torsion in order, counted from 0 as they stand in the SMILES."""

PROTOCOL = "mmff94-held"
"""Name of all that decides an energy, beside the library; raise it when that changes."""
EMBEDDED = 50
"""Geometries that are embedded and relaxed freely: the lowest is the zero of energies."""
_SEED = 0xF00D
_AMIDE = Chem.MolFromSmarts("[CX3](=[O,S,N])-!@[#7X3]")
_HOLD = 1000.0
"""Force constant of a held torsion, kcal/mol per squared degree."""
_MAX_ITERATIONS = 2000
_OFF = 0.5
"""Degrees that a held torsion may be off at the end."""
_APART = 1e-2
"""Kcal/mol by which two relaxed geometries differ at the least."""


class GeometryError(ValueError):
    """A molecule, or a conformer of it, has no geometry or energy; the message is a sentence."""


class Relaxed(NamedTuple):
    """A conformer with its torsions held.

    Attributes:
        energy: kcal/mol above the lowest of the freely relaxed geometries; may be negative where those missed a lower.
        mol: with hydrogens and one set of coordinates, in angstrom.
    """

    energy: float
    mol: Chem.Mol


def turning(mol: Chem.Mol, *, amides: bool) -> tuple[Quadruple, ...]:
    """Return a torsion of each bond that turns, in the order of the bonds: outer atoms are the first of the neighbours.

    Args:
        mol: without hydrogens.
        amides: whether bonds between the carbon and the nitrogen of an amide (thioamide, amidine) turn too.
    """
    stiff = set() if amides else {frozenset((match[0], match[2])) for match in mol.GetSubstructMatches(_AMIDE)}
    pairs = sorted(tuple(sorted(match)) for match in mol.GetSubstructMatches(Lipinski.RotatableBondSmarts))
    return tuple(torsion_about(mol, *pair) for pair in pairs if frozenset(pair) not in stiff)


def torsion_about(mol: Chem.Mol, first: int, second: int) -> Quadruple:
    """Return the torsion of the bond between two atoms.

    Raises:
        ValueError: there is no such bond, or it does not turn; the message is a phrase.
    """
    bond = mol.GetBondBetweenAtoms(first, second)
    if bond is None:
        raise ValueError(f"atoms {first} and {second} are not bonded")
    if bond.GetBondType() != Chem.BondType.SINGLE or bond.IsInRing():
        raise ValueError(f"the bond between atoms {first} and {second} is in a ring or not single, and does not turn")
    ends = [
        sorted(atom.GetIdx() for atom in mol.GetAtomWithIdx(here).GetNeighbors() if atom.GetIdx() != there)
        for here, there in ((first, second), (second, first))
    ]
    if not all(ends):
        raise ValueError(f"nothing but hydrogen turns about the bond between atoms {first} and {second}")
    return ends[0][0], first, second, ends[1][0]


def open_centres(mol: Chem.Mol) -> list[str]:
    """Return the stereocentres and double bonds that are left open, such as `atom 4` or `bond 2-3`."""
    with quiet_rdkit():
        found = Chem.FindPotentialStereo(mol)
    told = []
    for one in found:
        if one.specified == Chem.StereoSpecified.Unspecified:
            if one.type == Chem.StereoType.Bond_Double:
                bond = mol.GetBondWithIdx(one.centeredOn)
                told.append(f"bond {bond.GetBeginAtomIdx()}-{bond.GetEndAtomIdx()}")
            elif one.type == Chem.StereoType.Atom_Tetrahedral:
                told.append(f"atom {one.centeredOn}")
    return told


class Rotor:
    """A molecule whose torsions are set.

    Args:
        smiles: of one molecule.
        torsions: m quadruples of bonded heavy atoms.
    """

    def __init__(self, smiles: str, torsions: Sequence[Quadruple]) -> None:
        self.smiles, self.torsions = smiles, tuple(torsions)
        with quiet_rdkit():
            self._mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
            self._properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(self._mol)
        self._starts: list[int] = []
        self._zero = 0.0

    @property
    def has_parameters(self) -> bool:
        """Whether MMFF94 has parameters for all atoms."""
        return self._properties is not None

    def relaxed(self, degrees: Sequence[float], starts: int = 3) -> Relaxed:
        """Return the conformer with its m torsions held and all else relaxed.

        A function of its arguments alone: whatever was asked before makes no difference.

        Args:
            degrees: m angles, of any size.
            starts: geometries to begin with, the lowest of the free ones first; the lowest result counts.

        Raises:
            GeometryError: MMFF94 has no parameters for an atom, ETKDG finds no geometry, or a relaxation does not end.
        """
        self._prepare()
        found: list[Relaxed] = []
        with quiet_rdkit():
            for start in self._starts[:starts]:
                one = self._from(start, degrees)
                if one is not None:
                    found.append(one)
        if not found:
            raise GeometryError(
                f"No geometry of {self.smiles} has the torsions {', '.join(f'{x:g}' for x in degrees)} degrees: the "
                "relaxations did not end, or ended elsewhere."
            )
        return min(found, key=lambda one: one.energy)

    def _from(self, start: int, degrees: Sequence[float]) -> Relaxed | None:
        mol = Chem.Mol(self._mol, confId=start)
        conformer = mol.GetConformer()
        for torsion, angle in zip(self.torsions, degrees, strict=True):
            rdMolTransforms.SetDihedralDeg(conformer, *torsion, float(angle))
        held = self._field(mol)
        for torsion, angle in zip(self.torsions, degrees, strict=True):
            held.MMFFAddTorsionConstraint(*torsion, False, float(angle), float(angle), _HOLD)
        if held.Minimize(maxIts=_MAX_ITERATIONS, forceTol=1e-4, energyTol=1e-8):
            return None
        for torsion, angle in zip(self.torsions, degrees, strict=True):
            off = (rdMolTransforms.GetDihedralDeg(conformer, *torsion) - angle + 180.0) % 360.0 - 180.0
            if abs(off) > _OFF:
                return None
        energy = self._field(mol).CalcEnergy() - self._zero
        return Relaxed(float(energy), mol) if np.isfinite(energy) else None

    def _field(self, mol: Chem.Mol) -> Any:
        field = rdForceFieldHelpers.MMFFGetMoleculeForceField(mol, self._properties)
        field.Initialize()
        return field

    def _prepare(self) -> None:
        """Embed and relax freely, once; the starts are the distinct geometries, lowest first."""
        if self._starts:
            return
        if not self.has_parameters:
            raise GeometryError(
                f"MMFF94 has no parameters for an atom of {self.smiles}. Use a molecule of its elements and charges."
            )
        parameters: Any = rdDistGeom.ETKDGv3()
        parameters.randomSeed, parameters.numThreads = _SEED, 1
        with quiet_rdkit():
            places = list(rdDistGeom.EmbedMultipleConfs(self._mol, EMBEDDED, parameters))
            if not places:
                parameters.useRandomCoords = True
                places = list(rdDistGeom.EmbedMultipleConfs(self._mol, EMBEDDED, parameters))
            if not places:
                raise GeometryError(f"ETKDG finds no geometry of {self.smiles}.")
            ended = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(self._mol, numThreads=1, maxIters=_MAX_ITERATIONS)
        energies = np.array([energy for _, energy in ended])
        starts: list[int] = []
        for place in np.argsort(energies, kind="stable").tolist():
            if not starts or energies[place] > energies[starts[-1]] + _APART:
                starts.append(place)
        self._zero = float(energies[starts[0]])
        self._starts = [places[place] for place in starts]


@lru_cache(maxsize=16)
def rotor(smiles: str, torsions: tuple[Quadruple, ...]) -> Rotor:
    """Return the rotor of a molecule, made once in a process."""
    return Rotor(smiles, torsions)
