"""Molecules as descriptors, as counts of atom environments, or as both."""

from __future__ import annotations

from collections.abc import Sequence

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
        return features(objects, counts=False)


class DescriptorsAndCounts(Featuriser):
    """Descriptors in the dense block and Morgan counts in the other; each molecule is parsed once."""

    kind = "both"
    spaces = ("molecules",)
    reference = Descriptors.reference

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return descriptors and counts of n canonical SMILES."""
        return features(objects)
