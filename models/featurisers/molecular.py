"""Molecules as descriptors, as counts of atom environments and of pairs of atoms, or as several of these."""

from __future__ import annotations

from collections.abc import Sequence

from data.chemistry.fingerprints import FINGERPRINTS
from models.featurisers.base import Features, Featuriser
from models.featurisers.cache import features


class MorganCounts(Featuriser):
    """Counts of circular atom environments (Morgan, radius 2), folded to 2,048 columns: some 0.1 ms a molecule."""

    kind = "morgan_counts"
    spaces = ("molecules",)
    reference = "Rogers and Hahn, Extended-connectivity fingerprints, J. Chem. Inf. Model. 50, 742 (2010)"

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return the counts of n canonical SMILES; the dense block has no column."""
        return features(objects, descriptors=False)


class Descriptors(Featuriser):
    """RDKit's cheap two-dimensional descriptors: physical properties, some 0.5 to 2 ms a molecule."""

    kind = "descriptors"
    spaces = ("molecules",)
    reference = "RDKit, Open-source cheminformatics; the list is data.chemistry.descriptors.NAMES"

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return the descriptors of n canonical SMILES; the block of counts has no column."""
        return features(objects, fingerprints=())


class DescriptorsAndCounts(Featuriser):
    """Descriptors in the dense block and Morgan counts in the other; each molecule is parsed once."""

    kind = "both"
    spaces = ("molecules",)
    reference = Descriptors.reference

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return descriptors and counts of n canonical SMILES."""
        return features(objects)


class Fingerprints(Featuriser):
    """Three kinds of counts beside each other: Morgan, pharmacophoric Morgan, atom pairs; some 0.4 ms a molecule.

    A Gaussian process weighs them by the likelihood of the labels, so that each property finds its own.
    """

    kind = "fingerprints"
    spaces = ("molecules",)
    reference = "Rogers and Hahn (2010); Carhart, Smith and Venkataraghavan, J. Chem. Inf. Comput. Sci. 25, 64 (1985)"

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return the counts of n canonical SMILES, each kind a third of the columns."""
        return features(objects, descriptors=False, fingerprints=tuple(FINGERPRINTS))


class Everything(Featuriser):
    """Descriptors in the dense block, and the three kinds of counts of `fingerprints`."""

    kind = "descriptors_and_fingerprints"
    spaces = ("molecules",)
    reference = Fingerprints.reference

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return descriptors and counts of n canonical SMILES."""
        return features(objects, fingerprints=tuple(FINGERPRINTS))
