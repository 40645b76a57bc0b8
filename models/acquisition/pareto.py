"""Domination between vectors of objectives: fronts, and boxes of what no front member dominates. Larger is better."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray


def pareto_fronts(values: FloatArray) -> Iterator[NDArray[np.intp]]:
    """Yield the indices of each front, the first being undominated, the next undominated once that is gone, and so on.

    Two equal vectors do not dominate each other. A front of f of m points in K dimensions takes O(m f K).

    Args:
        values: shape `(m, K)`, no NaN.
    """
    left = _promising_first(values)
    while len(left):
        inside = _undominated_sorted(values[left])
        yield np.sort(left[inside])
        left = left[~inside]


def undominated(values: FloatArray) -> NDArray[np.bool_]:
    """Return which of m points no other dominates, shape `(m,)`.

    Args:
        values: shape `(m, K)`, no NaN.
    """
    order = _promising_first(values)
    keep = np.empty(len(values), dtype=bool)
    keep[order] = _undominated_sorted(values[order])
    return keep


def _promising_first(values: FloatArray) -> NDArray[np.intp]:
    """Order by the sum of ranks: who dominates comes earlier. Ranks, since the sum of 1e300 and 1 has lost the 1."""
    total = np.zeros(len(values), dtype=np.intp)
    for k in range(values.shape[1]):
        total += np.unique(values[:, k], return_inverse=True)[1]
    return np.argsort(-total, kind="stable")


def _undominated_sorted(values: FloatArray) -> NDArray[np.bool_]:
    if values.shape[1] == 2:
        return _undominated_pairs(values)
    keep = np.ones(len(values), dtype=bool)
    left = np.arange(len(values))
    while len(left):
        one, left = values[left[0]], left[1:]
        rest = values[left]
        beaten = (one >= rest).all(1) & (one > rest).any(1)
        keep[left[beaten]] = False
        left = left[~beaten]
    return keep


def _undominated_pairs(values: FloatArray) -> NDArray[np.bool_]:
    """Of two objectives it takes a sort: no other is larger in one and as large in the other."""
    order = np.lexsort((-values[:, 1], -values[:, 0]))
    first, second = values[order].T
    # Best second value of those with a larger first one; of equal first ones the largest second leads.
    begins = np.concatenate([[True], first[1:] != first[:-1]]) if len(first) else np.zeros(0, dtype=bool)
    group = np.cumsum(begins) - 1
    leaders = second[begins]
    before = np.concatenate([[-np.inf], np.maximum.accumulate(leaders)[:-1]])[: len(leaders)]
    keep = np.empty(len(values), dtype=bool)
    keep[order] = (second == leaders[group]) & ((group == 0) | (second > before[group]))
    return keep


def undominated_boxes(front: FloatArray, reference: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return disjoint boxes that fill what lies above the reference point and is dominated by no front member.

    Slabs between successive values of the last objective; in each slab the problem of one objective less. A box that
    the next slab has too goes on into it: a front member changes few boxes, so that two and three objectives give some
    boxes per member, and K about f^(K-2) where slabs alone would give f^(K-1).

    Args:
        front: shape `(f, K)`; dominated members and those not above the reference do no harm.
        reference: shape `(K,)`.

    Returns:
        Lower and upper corners, each `(b, K)`; an upper corner may be infinite.
    """
    front = front[(front > reference).all(1)]
    k = front.shape[1]
    if k == 1:
        return np.array([[front.max(initial=float(reference[0]))]]), np.array([[np.inf]])
    if k == 2:
        return _steps(front, reference)
    return _Slabs(front, reference).corners()


class _Slabs:
    """The boxes of a front in the first k objectives, for every k and all the members that slabs leave.

    Far apart slabs often leave the same members, whose boxes are made once. A box is known by the bytes of its corners,
    lower ones first.

    Args:
        front: shape `(f, K)`, above the reference.
        reference: shape `(K,)`.
    """

    def __init__(self, front: FloatArray, reference: FloatArray) -> None:
        self.front, self.reference = front, reference
        self._known: dict[tuple[int, bytes], dict[bytes, None]] = {}
        self._beaten: dict[int, NDArray[np.bool_]] = {}

    def corners(self) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper corners of the boxes in all objectives, each `(b, K)`."""
        k = self.front.shape[1]
        boxes = self._slabs(np.arange(len(self.front)), k)
        return boxes[:, :k].copy(), boxes[:, k:].copy()

    def _slabs(self, members: NDArray[np.intp], k: int) -> FloatArray:
        heights = self.front[members, k - 1]
        below: dict[bytes, float] = {}
        closed: list[bytes] = []
        begins: list[float] = []
        ends: list[float] = []
        for low in [float(self.reference[k - 1]), *np.unique(heights).tolist()]:
            here = self._boxes(self._undominated(members[heights > low], k - 1), k - 1)
            gone = [box for box in below if box not in here]
            closed += gone
            begins += [below[box] for box in gone]
            ends += [low] * len(gone)
            below = {box: below.get(box, low) for box in here}
        closed += below
        begins += below.values()
        ends += [np.inf] * len(below)
        boxes = np.frombuffer(b"".join(closed), dtype=np.float64).reshape(len(closed), -1)
        return np.column_stack([boxes[:, : k - 1], begins, boxes[:, k - 1 :], ends])

    def _boxes(self, members: NDArray[np.intp], k: int) -> dict[bytes, None]:
        key = (k, members.tobytes())
        if key not in self._known:
            front, reference = self.front[members, :k], self.reference[:k]
            boxes = np.hstack(_steps(front, reference)) if k == 2 else self._slabs(members, k)
            raw, width = boxes.tobytes(), boxes.itemsize * 2 * k
            self._known[key] = dict.fromkeys(raw[at : at + width] for at in range(0, len(raw), width))
        return self._known[key]

    def _undominated(self, members: NDArray[np.intp], k: int) -> NDArray[np.intp]:
        """Return the members that no other of them dominates in the first k objectives."""
        if k == 2:
            return members[undominated(self.front[members, :2])]
        if k not in self._beaten:
            left, right = self.front[:, None, :k], self.front[None, :, :k]
            self._beaten[k] = np.asarray((left >= right).all(2) & (left > right).any(2))
        return members[~self._beaten[k][np.ix_(members, members)].any(0)]


def _steps(front: FloatArray, reference: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The boxes of two objectives: under the stairs nothing, one box above each step."""
    levels, at = np.unique(front[:, 1], return_inverse=True)
    tops = np.full(len(levels), reference[0])
    np.maximum.at(tops, at, front[:, 0])
    # In the slab that ends at a level, all members at that level or above it reach up.
    reach = np.append(np.maximum.accumulate(tops[::-1])[::-1], reference[0])
    edges = np.concatenate([[reference[1]], levels, [np.inf]])
    low, high = np.column_stack([reach, edges[:-1]]), np.column_stack([np.full(len(reach), np.inf), edges[1:]])
    return low, high
