"""Counts of the parts of a molecule, in several ways; each folded to one length.

No way of counting is best for every property: rings and their substituents show in circular environments, what is how
far from what in pairs of atoms, and what binds or dissolves in pharmacophoric environments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator as generators

from data.chemistry.molecules import FINGERPRINT_BITS, morgan_counts_of

Fingerprint = Callable[[Chem.Mol], NDArray[np.uint32]]

_features = generators.GetMorganGenerator(
    radius=2, fpSize=FINGERPRINT_BITS, atomInvariantsGenerator=generators.GetMorganFeatureAtomInvGen()
)
_pairs = generators.GetAtomPairGenerator(fpSize=FINGERPRINT_BITS, countSimulation=False)

FINGERPRINTS: Mapping[str, Fingerprint] = {
    "morgan": morgan_counts_of,
    "feature_morgan": _features.GetCountFingerprintAsNumPy,
    "atom_pairs": _pairs.GetCountFingerprintAsNumPy,
}
"""Ways of counting, each giving shape `(FINGERPRINT_BITS,)`: circular environments of radius 2 (Rogers and Hahn,
J. Chem. Inf. Model. 50, 742, 2010) of atoms, and of donors, acceptors, aromatic, acidic, basic and halogen atoms; pairs
of atoms with the bonds between them (Carhart, Smith and Venkataraghavan, J. Chem. Inf. Comput. Sci. 25, 64, 1985)."""
