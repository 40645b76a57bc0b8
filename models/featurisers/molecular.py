"""Molecules as descriptors, as counts of atom environments and of pairs of atoms, or as several of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from data.chemistry.descriptors import FAMILIES, NAMES
from data.chemistry.fingerprint_atoms import COUNTED
from data.chemistry.molecules import FINGERPRINT_BITS, shared
from data.records import FloatArray
from models.featurisers.base import ColumnNames, Features, Featuriser, Parts, no_dense
from models.featurisers.cache import MORGAN, features

THREE = ("morgan", "feature_morgan", "atom_pairs")


class OfMolecules(Featuriser):
    """What counts parts of molecules: descriptors or none, and some fingerprints."""

    descriptors: ClassVar[bool] = False
    fingerprints: ClassVar[tuple[str, ...]] = ()

    def names(self) -> ColumnNames:
        """Return the names of the descriptors; a folded count has none."""
        return ColumnNames(dense=NAMES if self.descriptors else ())

    def parts(self, obj: str, typical: FloatArray) -> Parts:
        """Return the atoms, with each of which go the counts that it takes part in, and families of descriptors."""
        own, mol = self([obj]), shared(obj)
        assert mol is not None  # it was featurised
        labels = [f"{atom.GetSymbol()}{atom.GetIdx() + 1}" for atom in mol.GetAtoms()] if self.fingerprints else []
        counted = [
            (column + place * FINGERPRINT_BITS, list(among))
            for place, name in enumerate(self.fingerprints)
            for column, among in COUNTED[name](mol)
        ]
        needs = np.zeros((len(labels), len(counted)), dtype=np.int32)
        for row, (_, among) in enumerate(counted):
            needs[among, row] = 1
        columns = np.array([column for column, _ in counted], dtype=np.intp)
        families = dict.fromkeys(np.array(FAMILIES)[own.dense[0] != typical].tolist() if self.descriptors else ())
        part = np.array([len(labels) + list(families).index(one) if one in families else -1 for one in FAMILIES])

        def features(present: NDArray[np.bool_]) -> Features:
            counts = np.zeros((len(present), own.counts.shape[1]), dtype=np.int32)
            rows, whole = np.nonzero(present[:, : len(labels)].astype(np.int32) @ needs == needs.sum(0))
            np.add.at(counts, (rows, columns[whole]), 1)
            if not self.descriptors:
                return Features(no_dense(len(present)), counts, own.widths)
            return Features(np.where(present[:, part] & (part >= 0), own.dense, typical), counts, own.widths)

        return Parts((*labels, *families), len(labels), features)


class MorganCounts(OfMolecules):
    """Counts of circular atom environments (Morgan, radius 2), folded to 2,048 columns: some 0.1 ms a molecule."""

    kind = "morgan_counts"
    spaces = ("molecules",)
    cites = ("rogers2010ecfp", "rdkit")
    fingerprints = MORGAN

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return the counts of n canonical SMILES; the dense block has no column."""
        return features(objects, descriptors=False)


class Descriptors(OfMolecules):
    """RDKit's cheap two-dimensional descriptors: physical properties, some 0.3 to 1 ms a molecule."""

    kind = "descriptors"
    spaces = ("molecules",)
    cites = ("rdkit",)
    reference = "RDKit, Open-source cheminformatics; the list is data.chemistry.descriptors.NAMES"
    descriptors = True

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return the descriptors of n canonical SMILES; the block of counts has no column."""
        return features(objects, fingerprints=())


class _Parts(OfMolecules):
    """Descriptors or none, and some fingerprints: what is not asked for is not calculated."""

    spaces = ("molecules",)

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return all parts of n canonical SMILES."""
        return features(objects, descriptors=self.descriptors, fingerprints=self.fingerprints)

    def partly(self, objects: Sequence[str], *, dense: bool, kinds: Sequence[int]) -> Features:
        """Return some parts of n canonical SMILES, at the cost of these."""
        some = tuple(self.fingerprints[place] for place in kinds)
        return features(objects, descriptors=dense and self.descriptors, fingerprints=some)


class DescriptorsAndCounts(_Parts):
    """Descriptors in the dense block and Morgan counts in the other; each molecule is parsed once."""

    kind = "both"
    cites = ("rdkit",)
    reference = Descriptors.reference
    descriptors = True
    fingerprints = MORGAN


class Fingerprints(_Parts):
    """Three kinds of counts beside each other: Morgan, pharmacophoric Morgan, atom pairs; some 0.3 ms a molecule.

    A Gaussian process weighs them by the likelihood of the labels, so that each property finds its own.
    """

    kind = "fingerprints"
    cites = ("rogers2010ecfp", "carhart1985pairs", "rdkit")
    descriptors = False
    fingerprints = THREE


class CompositionAndCounts(_Parts):
    """Morgan counts, and beside them the atoms of each element, rings and aromatic rings: some 0.2 ms a molecule.

    Two molecules of one formula are near to each other in what depends on size and composition, however their parts
    are put together. A Gaussian process weighs the two by the likelihood.
    """

    kind = "composition_and_counts"
    cites = ("rogers2010ecfp", "rdkit")
    descriptors = False
    fingerprints = ("morgan", "composition")


class DescriptorsAndFingerprints(_Parts):
    """Descriptors in the dense block, and the three kinds of counts of `fingerprints`.

    A Gaussian process leaves out what its likelihood gives no weight, so that only what matters is calculated.
    """

    kind = "descriptors_and_fingerprints"
    cites = ("rogers2010ecfp", "carhart1985pairs", "rdkit")
    descriptors = True
    fingerprints = THREE
