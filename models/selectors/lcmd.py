"""Largest-cluster maximum-distance selection: representative and diverse at once."""

from __future__ import annotations

import numpy as np

from data.records import FloatArray
from models.protocols import Pool
from models.selectors.base import DistanceSelector, Indices
from models.selectors.geometry import Geometry, squared_distances, train_distances


class LargestClusterMaximumDistance(DistanceSelector):
    """In the cluster with the largest sum of squared distances to its centre, the member farthest from that centre.

    Every candidate belongs to the nearest centre; the centres are the measured objects and what is chosen already.
    Where nothing is measured the first choice is the best score. Time is O(m (b + t) d) for m candidates, a batch of b
    and t measured objects, memory O(m) beside the pool.

    Reference: Holzmüller, Zaverkin, Kästner and Steinwart, A Framework and Benchmark for Deep Batch Active Learning for
    Regression, JMLR 24 (2023), section 5.7.
    """

    kind = "lcmd"
    cites = ("holzmuller2023framework",)
    wants_train = True

    def _pick(self, pool: Pool, n: int) -> list[int]:
        geometry = self.geometry(pool, train=True)
        centre, squared = nearest_train(geometry)
        centres = len(geometry.train_diagonal)
        chosen: list[int] = []
        free = np.ones(len(pool), dtype=bool)
        while len(chosen) < n:
            at = 0 if centres + len(chosen) == 0 else _next(centre, squared, free, centres + len(chosen))
            new = squared_distances(geometry, at)
            closer = new < squared
            centre[closer], squared[closer] = centres + len(chosen), new[closer]
            centre[at], squared[at] = centres + len(chosen), 0.0
            chosen.append(at)
            free[at] = False
        return chosen


def nearest_train(geometry: Geometry) -> tuple[Indices, FloatArray]:
    """Return, per member, the nearest measured object and the squared distance; 0 and infinity where there is none."""
    m = len(geometry.diagonal)
    centre, squared = np.zeros(m, dtype=np.intp), np.full(m, np.inf)
    for begin, distances in train_distances(geometry):
        at = distances.argmin(1)
        nearest = distances[np.arange(m), at]
        closer = nearest < squared
        centre[closer], squared[closer] = begin + at[closer], nearest[closer]
    return centre, squared


def _next(centre: Indices, squared: FloatArray, free: np.ndarray[tuple[int], np.dtype[np.bool_]], centres: int) -> int:
    largest = int(np.argmax(np.bincount(centre, weights=squared, minlength=centres)))
    inside = free & (centre == largest)
    # A largest cluster without free members has sum 0: all that is left are copies of centres.
    members = np.flatnonzero(inside if inside.any() else free)
    return int(members[np.argmax(squared[members])])
