"""Features of molecules for proxies: descriptors and counts, each molecule parsed once and remembered."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.chemistry.descriptors import NAMES, descriptors_of
from data.chemistry.fingerprints import FINGERPRINTS, Counts
from data.chemistry.molecules import FINGERPRINT_BITS, shared
from models.featurisers.base import Features

MORGAN = ("morgan",)


_ARRAY = 112
"""Bytes of an array beside its numbers."""

_ENTRY = 400
"""Bytes of an entry beside its text and its arrays: its place in the order, the record, the dictionary of counts."""


@dataclass(frozen=True, slots=True)
class _Compact:
    """One molecule in one to three kilobytes, where the plain arrays take ten and more."""

    descriptors: NDArray[np.float32] | None
    counts: dict[str, Counts]

    def bytes(self, smiles: str) -> int:
        """Return the memory that the molecule of a SMILES takes, text and record."""
        arrays: list[NDArray[Any]] = [array for pair in self.counts.values() for array in pair]
        arrays += [] if self.descriptors is None else [self.descriptors]
        return sys.getsizeof(smiles) + _ENTRY + sum(array.nbytes + _ARRAY for array in arrays)


def _calculate(smiles: str, descriptors: bool, fingerprints: tuple[str, ...], known: _Compact | None) -> _Compact:
    mol = shared(smiles)
    if mol is None:
        raise ValueError(f"{smiles!r} is no valid SMILES; features need molecules that RDKit can read.")
    table, counts = (known.descriptors, dict(known.counts)) if known else (None, {})
    if descriptors and table is None:
        table = descriptors_of(mol).astype(np.float32)
    for name in fingerprints:
        if name not in counts:
            counts[name] = FINGERPRINTS[name](mol)
    return _Compact(table, counts)


class FeatureCache:
    """Features by SMILES, the least recently used forgotten first. Safe to share between threads.

    Descriptors are kept in single precision, and what comes out went through it always: a molecule's features do not
    depend on whether they were remembered.

    Args:
        capacity: most bytes to remember; a molecule of 24 heavy atoms takes about 1.4 kB, with several fingerprints
            2.5 kB. The molecule asked for last is remembered in any case.
    """

    def __init__(self, capacity: int = 128 * 2**20) -> None:
        self.capacity = capacity
        self.bytes = 0
        """What is remembered takes so much memory."""
        self._known: OrderedDict[str, _Compact] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, smiles: object) -> bool:
        return smiles in self._known

    def _remember(self, smiles: str, made: _Compact) -> None:
        with self._lock:
            before = self._known.pop(smiles, None)
            self.bytes += made.bytes(smiles) - (0 if before is None else before.bytes(smiles))
            self._known[smiles] = made
            while self.bytes > self.capacity and len(self._known) > 1:
                oldest, gone = self._known.popitem(last=False)
                self.bytes -= gone.bytes(oldest)

    def _one(self, smiles: str, descriptors: bool, fingerprints: tuple[str, ...]) -> _Compact:
        with self._lock:
            known = self._known.get(smiles)
            if known is not None:
                self._known.move_to_end(smiles)
        has_table = known is not None and known.descriptors is not None
        if known is not None and (has_table or not descriptors) and known.counts.keys() >= set(fingerprints):
            return known
        made = _calculate(smiles, descriptors, fingerprints, known)
        self._remember(smiles, made)
        return made

    def features(
        self, molecules: Sequence[str], *, descriptors: bool = True, fingerprints: tuple[str, ...] = MORGAN
    ) -> Features:
        """Return the features of n molecules, given as canonical SMILES; a block not asked for is not calculated.

        Raises:
            ValueError: one of the texts is no valid molecule.
        """
        table = np.zeros((len(molecules), len(NAMES) if descriptors else 0))
        numbers = np.zeros((len(molecules), FINGERPRINT_BITS * len(fingerprints)), dtype=np.int32)
        for row, smiles in enumerate(molecules):
            one = self._one(smiles, descriptors, fingerprints)
            if descriptors:
                table[row] = one.descriptors
            for place, name in enumerate(fingerprints):
                columns, counts = one.counts[name]
                numbers[row, columns + np.intp(place * FINGERPRINT_BITS)] = counts
        return Features(table, numbers, (FINGERPRINT_BITS,) * len(fingerprints) if len(fingerprints) > 1 else ())


_shared = FeatureCache()


def features(molecules: Sequence[str], *, descriptors: bool = True, fingerprints: tuple[str, ...] = MORGAN) -> Features:
    """Return the features of n molecules, given as canonical SMILES, remembered in the process.

    Args:
        molecules: n canonical SMILES.
        descriptors: whether to calculate descriptors, some 0.3 to 1 ms a molecule.
        fingerprints: ways of counting (`data.chemistry.fingerprints`), some 0.1 ms a molecule each.

    Raises:
        ValueError: one of the texts is no valid molecule.
    """
    return _shared.features(molecules, descriptors=descriptors, fingerprints=fingerprints)
