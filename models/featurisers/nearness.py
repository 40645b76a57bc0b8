"""How alike two objects are: the share of common counts, or nearness of coordinates where nothing is counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray
from models.featurisers.base import Features, Featuriser


def min_max(a: NDArray[Any], b: NDArray[Any]) -> FloatArray:
    """Return the min-max similarity (count Tanimoto) of all pairs: shared counts by counts of either.

    Args:
        a: shape `(n, d)`, non-negative counts.
        b: shape `(m, d)`, non-negative counts.

    Returns:
        Shape `(n, m)`, in [0, 1]; two empty rows have similarity 1. What is shared is sum_l [x >= l][y >= l]: one
        matrix product over the pairs of a column and a level that some row on either side reaches, exact up to 2^24.

    Reference: Ralaivola et al., Neural Networks 18, 1093 (2005).
    """
    reached = np.minimum(a.max(0, initial=0), b.max(0, initial=0))
    levels = [(level, np.flatnonzero(reached >= level)) for level in range(1, int(reached.max(initial=0)) + 1)]
    left, right = (
        np.hstack(
            [np.zeros((len(x), 0), np.float32), *(np.float32(x[:, columns] >= level) for level, columns in levels)]
        )
        for x in (a, b)
    )
    shared = (left @ right.T).astype(np.float64)
    sizes_a, sizes_b = a.sum(1, dtype=np.float64), b.sum(1, dtype=np.float64)
    union = sizes_a[:, None] + sizes_b[None, :]
    union -= shared
    nothing = np.ix_(sizes_a == 0, sizes_b == 0)
    shared[nothing] = union[nothing] = 1.0
    similarity: FloatArray = np.divide(shared, union, out=shared)
    return similarity


class Nearness:
    """Similarity of objects in [0, 1], one exactly for objects of equal features.

    Min-max similarity of the featuriser's counts where it makes counts, else 1 / (1 + d) with d the Euclidean distance
    of its dense rows.
    """

    def __init__(self, featuriser: Featuriser) -> None:
        self.features = featuriser

    def __call__(self, a: Sequence[str], b: Sequence[str]) -> FloatArray:
        """Return the similarity of n to m objects, shape `(n, m)`, symmetric."""
        return self.of(self.features(a), self.features(b))

    def of(self, a: Features, b: Features) -> FloatArray:
        """Return the similarity of n to m objects by their features, shape `(n, m)`."""
        if a.counts.shape[1]:
            return min_max(a.counts, b.counts)
        from scipy.spatial.distance import cdist  # half a second, which counts never need

        nearness: FloatArray = 1.0 / (1.0 + cdist(a.dense, b.dense))
        return nearness

    def nearest(self, objects: Sequence[str], known: Features) -> FloatArray:
        """Return the similarity of each of n objects to the nearest of the known ones, shape `(n,)`; 0 without any.

        Args:
            objects: n objects.
            known: features of the known ones, as `features` makes them.
        """
        parts = [self.of(self.features(objects[at : at + _CHUNK]), known) for at in range(0, len(objects), _CHUNK)]
        return np.concatenate([np.zeros(0), *(part.max(1, initial=0.0) for part in parts)])

    def nearest_outside(self, objects: Sequence[str], *folds: Sequence[int]) -> list[FloatArray]:
        """Return, per division into folds, the similarity of each of n objects to the nearest outside its own fold.

        Args:
            objects: n objects.
            folds: divisions, n numbers of folds each; all of them from one pass over the pairs.

        Returns:
            One array of shape `(n,)` per division; 0 where there is no other fold.
        """
        features, divisions = self.features(objects), [np.asarray(fold) for fold in folds]
        nearest = [np.zeros(len(objects)) for _ in divisions]
        for at in range(0, len(objects), _CHUNK):
            rows, rest = slice(at, at + _CHUNK), np.arange(at, len(objects))
            similarity = self.of(features[rest[:_CHUNK]], features[rest])  # symmetric: pairs before are done
            for division, found in zip(divisions, nearest, strict=True):
                outside = division[rows, None] != division[None, at:]
                found[rows] = np.maximum(found[rows], similarity.max(1, initial=0.0, where=outside))
                found[at:] = np.maximum(found[at:], similarity.max(0, initial=0.0, where=outside))
        return nearest


_CHUNK = 1024
