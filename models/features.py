"""Features of molecules for proxies: descriptors and Morgan counts, each molecule parsed once and remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit.Chem import rdFingerprintGenerator

from data.descriptors import NAMES, descriptors_of
from data.molecules import FINGERPRINT_BITS, shared
from data.records import FloatArray

_morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=FINGERPRINT_BITS)


@dataclass(frozen=True, slots=True)
class Features:
    """Features of n molecules.

    Attributes:
        descriptors: shape `(n, len(data.descriptors.NAMES))`, finite.
        counts: folded Morgan counts (radius 2), shape `(n, FINGERPRINT_BITS)`, the same as
            `data.molecules.morgan_counts`.
    """

    descriptors: FloatArray
    counts: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Compact:
    """One molecule in about a kilobyte, where the plain arrays take ten."""

    descriptors: NDArray[np.float32]
    columns: NDArray[np.uint16]
    counts: NDArray[np.uint16]


def _calculate(smiles: str) -> _Compact:
    mol = shared(smiles)
    if mol is None:
        raise ValueError(f"{smiles!r} is no valid SMILES; features need molecules that RDKit can read.")
    dense: NDArray[Any] = _morgan.GetCountFingerprintAsNumPy(mol)
    columns = np.flatnonzero(dense)
    return _Compact(descriptors_of(mol).astype(np.float32), columns.astype(np.uint16), dense[columns].astype(np.uint16))


class FeatureCache:
    """Features by SMILES, the least recently used forgotten first. Safe to share between threads.

    Descriptors are kept in single precision, and what comes out went through it always: a molecule's features do not
    depend on whether they were remembered.

    Args:
        capacity: most molecules to remember; one takes about 1.2 kB.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self.capacity = capacity
        self._known: OrderedDict[str, _Compact] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def _one(self, smiles: str) -> _Compact:
        with self._lock:
            found = self._known.get(smiles)
            if found is not None:
                self._known.move_to_end(smiles)
                return found
        made = _calculate(smiles)
        with self._lock:
            self._known[smiles] = made
            while len(self._known) > self.capacity:
                self._known.popitem(last=False)
        return made

    def features(self, molecules: Sequence[str]) -> Features:
        """Return the features of n molecules, given as canonical SMILES.

        Raises:
            ValueError: one of the texts is no valid molecule.
        """
        table = np.zeros((len(molecules), len(NAMES)))
        counts = np.zeros((len(molecules), FINGERPRINT_BITS), dtype=np.int32)
        for row, smiles in enumerate(molecules):
            one = self._one(smiles)
            table[row] = one.descriptors
            counts[row, one.columns] = one.counts
        return Features(table, counts)


_shared = FeatureCache()


def features(molecules: Sequence[str]) -> Features:
    """Return the features of n molecules, given as canonical SMILES, remembered in the process.

    Raises:
        ValueError: one of the texts is no valid molecule.
    """
    return _shared.features(molecules)
