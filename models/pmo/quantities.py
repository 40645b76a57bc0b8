"""What the tasks of PMO look at: similarities to a known molecule, counts, descriptors, substructures."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from rdkit import Chem, DataStructs
from rdkit.Chem import QED, GraphDescriptors, rdFingerprintGenerator, rdMolDescriptors

from models.pmo.modifiers import Gaussian, geometric
from models.pmo.pharmacophores import overlap, pharmacophores

Quantity = Callable[[Chem.Mol], float]
"""A number about a molecule."""

_ATOM_PAIR_DISTANCE = 10
"""Most bonds between the two atoms of a pair."""

_features = rdFingerprintGenerator.GetMorganFeatureAtomInvGen()
_generators = {
    "ECFP4": rdFingerprintGenerator.GetMorganGenerator(radius=2),
    "ECFP6": rdFingerprintGenerator.GetMorganGenerator(radius=3),
    "FCFP4": rdFingerprintGenerator.GetMorganGenerator(radius=2, atomInvariantsGenerator=_features),
    "AP": rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=_ATOM_PAIR_DISTANCE),
}


class Similarity:
    """Tanimoto similarity of unfolded counts to a target molecule: sum of minima over sum of maxima.

    ECFP4, ECFP6 and FCFP4 count circular neighbourhoods without stereo, AP counts pairs of atoms up to ten bonds apart.

    Args:
        target: SMILES.
        name: name of the fingerprint.
    """

    def __init__(self, target: str, name: str) -> None:
        self._generator = _generators[name]
        self._target = self._generator.GetSparseCountFingerprint(Chem.MolFromSmiles(target))

    def __call__(self, mol: Chem.Mol) -> float:
        """Return the similarity of a molecule, 0 to 1."""
        return float(DataStructs.TanimotoSimilarity(self._target, self._generator.GetSparseCountFingerprint(mol)))


class PharmacophoreSimilarity:
    """Tanimoto similarity of the pharmacophores (PHCO) to those of a target molecule, given as SMILES."""

    def __init__(self, target: str) -> None:
        self._target = pharmacophores(Chem.MolFromSmiles(target))

    def __call__(self, mol: Chem.Mol) -> float:
        """Return the similarity of a molecule, 0 to 1."""
        return overlap(self._target, pharmacophores(mol))


class Contains:
    """1 if a molecule contains a pattern, else 0; the other way round if it must be `absent`."""

    def __init__(self, smarts: str, absent: bool = False) -> None:
        self._pattern, self._absent = Chem.MolFromSmarts(smarts), absent

    def __call__(self, mol: Chem.Mol) -> float:
        """Return 0 or 1."""
        return float(mol.HasSubstructMatch(self._pattern) != self._absent)


class AtomCount:
    """Number of atoms of an element, hydrogens included."""

    def __init__(self, symbol: str) -> None:
        self._number = Chem.GetPeriodicTable().GetAtomicNumber(symbol)

    def __call__(self, mol: Chem.Mol) -> float:
        """Return the number."""
        return float(element_counts(mol).get(self._number, 0))


class Isomer:
    """Nearness to a molecular formula: geometric mean over the elements' counts (width 1) and all atoms (width 2)."""

    def __init__(self, formula: dict[str, int]) -> None:
        self._formula = formula

    @cached_property
    def _scores(self) -> list[tuple[int, Gaussian]]:
        table = Chem.GetPeriodicTable()
        return [(table.GetAtomicNumber(symbol), Gaussian(count, 1.0)) for symbol, count in self._formula.items()]

    def __call__(self, mol: Chem.Mol) -> float:
        """Return the nearness, 0 to 1."""
        counts = element_counts(mol)
        scores = [score(counts.get(number, 0)) for number, score in self._scores]
        in_all = sum(counts.values())
        return geometric([*scores, Gaussian(sum(self._formula.values()), 2.0)(in_all)])


def element_counts(mol: Chem.Mol) -> dict[int, int]:
    """Return atomic number -> atoms of it, hydrogens included; places for attachment (`*`) are no atoms."""
    counts: dict[int, int] = {1: 0}
    for atom in mol.GetAtoms():
        number = atom.GetAtomicNum()
        counts[1] += atom.GetTotalNumHs()
        if number:
            counts[number] = counts.get(number, 0) + 1
    return counts


def qed(mol: Chem.Mol) -> float:
    """Return the quantitative estimate of drug-likeness (Bickerton et al. 2012), 0 to 1."""
    return float(QED.qed(mol))


def logp(mol: Chem.Mol) -> float:
    """Return Crippen's logarithm of the octanol-water partition coefficient."""
    return float(rdMolDescriptors.CalcCrippenDescriptors(mol)[0])


def polar_area(mol: Chem.Mol) -> float:
    """Return the topological polar surface area, in square angstroms."""
    return float(rdMolDescriptors.CalcTPSA(mol))


def complexity(mol: Chem.Mol) -> float:
    """Return Bertz's complexity."""
    return float(GraphDescriptors.BertzCT(mol))


def rings(mol: Chem.Mol) -> float:
    """Return the number of rings."""
    return float(rdMolDescriptors.CalcNumRings(mol))


def aromatic_rings(mol: Chem.Mol) -> float:
    """Return the number of aromatic rings."""
    return float(rdMolDescriptors.CalcNumAromaticRings(mol))
