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
    levels = np.concatenate([[reference[-1]], np.unique(front[:, -1]), [np.inf]])
    below: dict[bytes, tuple[FloatArray, float]] = {}
    closed: list[tuple[FloatArray, float, float]] = []
    for low in levels[:-1]:
        reaching = front[front[:, -1] > low][:, :-1]
        inner = np.hstack(undominated_boxes(reaching[undominated(reaching)], reference[:-1]))
        here = {box.tobytes(): box for box in inner}
        closed += [(box, begin, low) for key, (box, begin) in below.items() if key not in here]
        below = {key: below.get(key, (box, low)) for key, box in here.items()}
    closed += [(box, begin, np.inf) for box, begin in below.values()]
    boxes, begins, ends = (np.array(part) for part in zip(*closed, strict=True))
    return np.column_stack([boxes[:, : k - 1], begins]), np.column_stack([boxes[:, k - 1 :], ends])


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
