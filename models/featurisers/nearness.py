"""How alike two objects are: the share of common counts, or nearness of coordinates where nothing is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray
from models.featurisers.base import Features, Featuriser


class Counted:
    """Counts of m objects, made ready to be compared with those of many others.

    What two objects share is sum_l [x >= l][y >= l]: a matrix product over the pairs of a column and a level that
    somebody reaches, exact up to 2^24.

    Args:
        counts: shape `(m, d)`, non-negative.
    """

    def __init__(self, counts: NDArray[Any]) -> None:
        self.counts, self._sizes = counts, counts.sum(1, dtype=np.float64)
        most = counts.max(0, initial=0)
        levels = [(level, np.flatnonzero(most >= level)) for level in range(1, int(most.max(initial=0)) + 1)]
        self._columns = np.concatenate([np.zeros(0, np.intp), *(columns for _, columns in levels)])
        self._levels = np.concatenate([np.zeros(0, np.intp), *(np.full(len(at), level) for level, at in levels)])
        # A row per pair: those that others reach are taken out in one piece.
        self._reached = np.empty((len(self._columns), len(counts)), dtype=bool)
        for rows in _chunks(len(counts)):
            self._reached[:, rows] = (counts[rows][:, self._columns] >= self._levels).T

    def similarity(self, counts: NDArray[Any], begin: int = 0) -> FloatArray:
        """Return the min-max similarity (count Tanimoto) of n others to these: shared counts by counts of either.

        Args:
            counts: of the others, shape `(n, d)`.
            begin: the first of these that is asked for.

        Returns:
            Shape `(n, m - begin)`, in [0, 1]; two without counts have similarity 1.

        Reference: Ralaivola et al., Neural Networks 18, 1093 (2005).
        """
        pairs = np.flatnonzero(counts.max(0, initial=0)[self._columns] >= self._levels)
        columns, levels, right = self._columns[pairs], self._levels[pairs], self._reached[pairs, begin:]
        right = right.astype(np.float32)
        sizes = self._sizes[begin:]
        similarity = np.empty((len(counts), len(sizes)))
        for rows in _chunks(len(counts)):
            others, shared = counts[rows].sum(1, dtype=np.float64), similarity[rows]
            shared[:] = (counts[rows][:, columns] >= levels).astype(np.float32) @ right
            union = others[:, None] + sizes[None, :]
            union -= shared
            nothing = np.ix_(others == 0, sizes == 0)
            shared[nothing] = union[nothing] = 1.0
            np.divide(shared, union, out=shared)
        return similarity


def min_max(a: NDArray[Any], b: NDArray[Any]) -> FloatArray:
    """Return the similarity `(n, m)` of counts `(n, d)` to counts `(m, d)`; see `Counted`."""
    return Counted(b).similarity(a)


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

    def to(self, known: Features) -> Callable[[Features, int], FloatArray]:
        """Return what gives the similarity of features to those of known objects from one of them on."""
        if known.counts.shape[1]:
            counted = Counted(known.counts)
            return lambda features, begin: counted.similarity(features.counts, begin)
        return lambda features, begin: self.of(features, known[np.arange(begin, len(known.dense))])

    def nearest(self, objects: Sequence[str], known: Features) -> FloatArray:
        """Return the similarity of each of n objects to the nearest of the known ones, shape `(n,)`; 0 without any.

        Args:
            objects: n objects.
            known: features of the known ones, as `features` makes them.
        """
        return self.to_nearest(known)(objects)

    def to_nearest(self, known: Features) -> Callable[[Sequence[str]], FloatArray]:
        """Return what gives `nearest` to the same known ones again and again: they are made ready once."""
        similarity = self.to(known)

        def nearest(objects: Sequence[str]) -> FloatArray:
            parts = [similarity(self.features(objects[at : at + _CHUNK]), 0) for at in range(0, len(objects), _CHUNK)]
            return np.concatenate([np.zeros(0), *(part.max(1, initial=0.0) for part in parts)])

        return nearest

    def nearest_outside(self, objects: Sequence[str], *folds: Sequence[int]) -> list[FloatArray]:
        """Return, per division into folds, the similarity of each of n objects to the nearest outside its own fold.

        Args:
            objects: n objects.
            folds: divisions, n numbers of folds each; all of them from one pass over the pairs.

        Returns:
            One array of shape `(n,)` per division; 0 where there is no other fold.
        """
        features, divisions = self.features(objects), [np.asarray(fold) for fold in folds]
        nearest, to_all = [np.zeros(len(objects)) for _ in divisions], self.to(features)
        for at in range(0, len(objects), _CHUNK):
            rows = slice(at, at + _CHUNK)
            similarity = to_all(features[np.arange(len(objects))[rows]], at)  # symmetric: pairs before are done
            for division, found in zip(divisions, nearest, strict=True):
                outside = division[rows, None] != division[None, at:]
                found[rows] = np.maximum(found[rows], similarity.max(1, initial=0.0, where=outside))
                found[at:] = np.maximum(found[at:], similarity.max(0, initial=0.0, where=outside))
        return nearest


_CHUNK = 1024


def _chunks(n: int) -> list[slice]:
    return [slice(at, at + _CHUNK) for at in range(0, n, _CHUNK)]
