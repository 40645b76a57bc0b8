"""Features of molecules for proxies: descriptors and Morgan counts, each molecule parsed once and remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.chemistry.descriptors import NAMES, descriptors_of
from data.chemistry.molecules import FINGERPRINT_BITS, morgan_counts_of, shared
from models.featurisers.base import Features


@dataclass(frozen=True, slots=True)
class _Compact:
    """One molecule in about a kilobyte, where the plain arrays take ten."""

    descriptors: NDArray[np.float32] | None
    columns: NDArray[np.uint16]
    counts: NDArray[np.uint16] | None


_NO_COLUMNS = np.zeros(0, dtype=np.uint16)


def _calculate(smiles: str, descriptors: bool, counts: bool, known: _Compact | None) -> _Compact:
    mol = shared(smiles)
    if mol is None:
        raise ValueError(f"{smiles!r} is no valid SMILES; features need molecules that RDKit can read.")
    table = known.descriptors if known else None
    columns, numbers = (known.columns, known.counts) if known else (_NO_COLUMNS, None)
    if descriptors and table is None:
        table = descriptors_of(mol).astype(np.float32)
    if counts and numbers is None:
        dense = morgan_counts_of(mol)
        nonzero = np.flatnonzero(dense)
        columns, numbers = nonzero.astype(np.uint16), dense[nonzero].astype(np.uint16)
    return _Compact(table, columns, numbers)


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

    def _one(self, smiles: str, descriptors: bool, counts: bool) -> _Compact:
        with self._lock:
            found = self._known.get(smiles)
            if found is not None:
                self._known.move_to_end(smiles)
        lacks = (descriptors and found.descriptors is None) or (counts and found.counts is None) if found else True
        if found is not None and not lacks:
            return found
        made = _calculate(smiles, descriptors, counts, found)
        with self._lock:
            self._known[smiles] = made
            while len(self._known) > self.capacity:
                self._known.popitem(last=False)
        return made

    def features(self, molecules: Sequence[str], *, descriptors: bool = True, counts: bool = True) -> Features:
        """Return the features of n molecules, given as canonical SMILES; a block not asked for is not calculated.

        Raises:
            ValueError: one of the texts is no valid molecule.
        """
        table = np.zeros((len(molecules), len(NAMES) if descriptors else 0))
        numbers = np.zeros((len(molecules), FINGERPRINT_BITS if counts else 0), dtype=np.int32)
        for row, smiles in enumerate(molecules):
            one = self._one(smiles, descriptors, counts)
            if descriptors:
                table[row] = one.descriptors
            if counts and one.columns is not None and one.counts is not None:
                numbers[row, one.columns] = one.counts
        return Features(table, numbers)


_shared = FeatureCache()


def features(molecules: Sequence[str], *, descriptors: bool = True, counts: bool = True) -> Features:
    """Return the features of n molecules, given as canonical SMILES, remembered in the process.

    Args:
        molecules: n canonical SMILES.
        descriptors: whether to calculate descriptors, some 0.5 to 2 ms a molecule.
        counts: whether to calculate Morgan counts, some 0.1 ms a molecule.

    Raises:
        ValueError: one of the texts is no valid molecule.
    """
    return _shared.features(molecules, descriptors=descriptors, counts=counts)
