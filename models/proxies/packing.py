"""Matrices that are mostly zeros, as they stand in a state: a campaign keeps the state of each of its rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray


def triangle(lower: FloatArray) -> FloatArray:
    """Return the lower triangle of a matrix `(n, n)` row by row, shape `(n (n + 1) / 2,)`."""
    return np.asarray(lower[np.tril_indices(len(lower))])


def square(stored: FloatArray) -> FloatArray:
    """Return the matrix of which `triangle` took the lower half, the upper one zero; a whole matrix stays as it is."""
    if stored.ndim == 2:  # states of before were whole
        return np.asfortranarray(stored)
    n = int((np.sqrt(8 * len(stored) + 1) - 1) / 2)
    lower = np.zeros((n, n), order="F")
    lower[np.tril_indices(n)] = stored
    return lower


def sparse_counts(counts: NDArray[np.int32]) -> dict[str, NDArray[Any]]:
    """Return the counts that are not zero, of a table `(n, d)`, their places in it and its shape."""
    at = np.flatnonzero(counts)
    return {
        "counts": counts.ravel()[at].astype(np.int16),
        "counts_at": at.astype(np.int32 if counts.size < 2**31 else np.int64),
        "counts_shape": np.array(counts.shape),
    }


def dense_counts(stored: Mapping[str, NDArray[Any]]) -> NDArray[np.int32]:
    """Return the table `(n, d)` that `sparse_counts` told; a whole one, as in states of before, as it is."""
    if stored["counts"].ndim == 2:
        return stored["counts"].astype(np.int32)
    counts = np.zeros(int(stored["counts_shape"].prod()), dtype=np.int32)
    counts[stored["counts_at"]] = stored["counts"]
    return counts.reshape(stored["counts_shape"].tolist())
