"""Inner products of candidates, one row at a time: what selectors need of a distance, without the m x m matrix.

Everything is float64. In float32 a row is no faster (it is memory that limits, and the sums stay in cache), but
`|x|^2 + |y|^2 - 2 xy` of two near points would lose all its digits, and duplicates would seem apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from scipy import sparse

from data.records import FloatArray
from models.protocols import Array

_SAME = 1e-12  # relative squared distance below which rounding decides
_BLOCK = 64


class Geometry(Protocol):
    """Kernel of m members with each other, and with t measured objects.

    Attributes:
        diagonal: kernel of each member with itself, shape `(m,)`.
        train_diagonal: the same of the measured objects, shape `(t,)`; empty without any.
    """

    diagonal: FloatArray
    train_diagonal: FloatArray

    def row(self, i: int) -> FloatArray:
        """Return the kernel of all members with member i, shape `(m,)`."""

    def train_block(self, begin: int, end: int) -> FloatArray:
        """Return the kernel of all members with measured objects `begin` to `end`, shape `(m, end - begin)`."""

    def train_kernel(self) -> FloatArray:
        """Return the kernel of the measured objects, shape `(t, t)`."""


def squared_distances(geometry: Geometry, i: int) -> FloatArray:
    """Return the squared distance of all members from member i, shape `(m,)`; 0 where rounding decides."""
    both = geometry.diagonal + geometry.diagonal[i]
    return _clean(both - 2.0 * geometry.row(i), both)


def train_distances(geometry: Geometry) -> Iterator[tuple[int, FloatArray]]:
    """Yield (first measured object, squared distances `(m, k)` of all members from k measured objects) by blocks."""
    t = len(geometry.train_diagonal)
    for begin in range(0, t, _BLOCK):
        end = min(begin + _BLOCK, t)
        both = geometry.diagonal[:, None] + geometry.train_diagonal[None, begin:end]
        yield begin, _clean(both - 2.0 * geometry.train_block(begin, end), both)


def _clean(squared: FloatArray, both: FloatArray) -> FloatArray:
    squared[squared <= _SAME * both] = 0.0
    return squared


class Embedded:
    """Rows of a feature matrix with the linear kernel, so that distances are Euclidean."""

    def __init__(self, features: FloatArray, train: Array | None, *, centre: bool) -> None:
        """Take the features over.

        Args:
            features: shape `(m, f)`, finite; may be changed.
            train: shape `(t, f)`, finite, or None.
            centre: subtract the members' mean from both.

        Raises:
            ValueError: a feature is not finite, or the two widths differ.
        """
        self.features = np.ascontiguousarray(features, dtype=np.float64)
        m, width = self.features.shape
        self.train = np.zeros((0, width)) if train is None else np.array(train, dtype=np.float64)
        if self.train.shape[1] != width:
            raise ValueError(
                f"Candidates and measured objects need features of one width; got {width} and {self.train.shape[1]}."
            )
        if not (np.isfinite(self.features).all() and np.isfinite(self.train).all()):
            raise ValueError("Features to take distances in must be finite; look at what the proxy or featuriser gave.")
        if centre and m:
            middle = self.features.mean(0)
            self.features -= middle
            self.train -= middle
        self.diagonal: FloatArray = np.einsum("ij,ij->i", self.features, self.features)
        self.train_diagonal: FloatArray = np.einsum("ij,ij->i", self.train, self.train)

    def row(self, i: int) -> FloatArray:
        """Return the kernel of all members with member i, shape `(m,)`."""
        return np.asarray(self.features @ self.features[i])

    def train_block(self, begin: int, end: int) -> FloatArray:
        """Return the kernel of all members with measured objects `begin` to `end`, shape `(m, end - begin)`."""
        return np.asarray(self.features @ self.train[begin:end].T)

    def train_kernel(self) -> FloatArray:
        """Return the kernel of the measured objects, shape `(t, t)`."""
        return np.asarray(self.train @ self.train.T)


class Fingerprinted:
    """Counts with the min-max (count Tanimoto) kernel, so that the squared distance is 2 (1 - similarity).

    Counts are coded by levels, one binary column per level that a count reaches: the shared part of two molecules is
    then a sparse inner product, exact, and a row of similarities costs what the molecules have in features.

    Reference: Ralaivola et al., Graph kernels for chemical informatics, Neural Networks 18, 1093 (2005).
    """

    def __init__(self, counts: Array, train: Array | None) -> None:
        """Code the counts.

        Args:
            counts: shape `(m, d)`, non-negative integers.
            train: shape `(t, d)`, or None.
        """
        known = np.zeros((0, counts.shape[1]), dtype=counts.dtype) if train is None else train
        levels = int(max(counts.max(initial=0), known.max(initial=0)))
        self.coded, self.train = _by_levels(counts, levels), _by_levels(known, levels)
        self.size, self.train_size = (side.sum(1, dtype=np.float64) for side in (counts, known))
        self.diagonal: FloatArray = np.ones(len(counts))
        self.train_diagonal: FloatArray = np.ones(len(known))

    def row(self, i: int) -> FloatArray:
        """Return the similarity of all members to member i, shape `(m,)`."""
        one = self.coded[i : i + 1].toarray()[0]
        return _similarity(self.coded @ one, self.size, self.size[i])

    def train_block(self, begin: int, end: int) -> FloatArray:
        """Return the similarity of all members to measured objects `begin` to `end`, shape `(m, end - begin)`."""
        shared = self.coded @ self.train[begin:end].toarray().T
        return _similarity(shared, self.size[:, None], self.train_size[None, begin:end])

    def train_kernel(self) -> FloatArray:
        """Return the similarities of the measured objects, shape `(t, t)`."""
        return _similarity((self.train @ self.train.T).toarray(), self.train_size[:, None], self.train_size[None, :])


def _similarity(shared: FloatArray, a: FloatArray, b: FloatArray | float) -> FloatArray:
    union = a + b - shared
    similarity: FloatArray = np.divide(shared, union, out=np.ones(union.shape), where=union > 0)
    return similarity


def _by_levels(counts: Array, levels: int) -> sparse.csr_array:
    if levels == 0 or not len(counts):
        return sparse.csr_array((len(counts), max(levels, 1) * counts.shape[1]))
    rows, columns = np.nonzero(counts)
    reached = counts[rows, columns].astype(np.intp)
    level = np.arange(reached.sum()) - np.repeat(np.cumsum(reached) - reached, reached)
    rows, columns = np.repeat(rows, reached), np.repeat(columns, reached) + counts.shape[1] * level
    shape = (len(counts), levels * counts.shape[1])
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)
