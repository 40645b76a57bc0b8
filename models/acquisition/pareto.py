"""Domination between vectors of objectives: fronts, and boxes of what no front member dominates. Larger is better."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

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
    keep = np.ones(len(values), dtype=bool)
    left = np.arange(len(values))
    while len(left):
        one, left = values[left[0]], left[1:]
        rest = values[left]
        beaten = (one >= rest).all(1) & (one > rest).any(1)
        keep[left[beaten]] = False
        left = left[~beaten]
    return keep


def undominated_boxes(front: FloatArray, reference: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return disjoint boxes that fill what lies above the reference point and is dominated by no front member.

    Slabs between successive values of the last objective; in each slab the problem of one objective less. Two
    objectives give one box per front member and one more; K give O(f^(K-1)).

    Args:
        front: shape `(f, K)`; dominated members and those not above the reference do no harm.
        reference: shape `(K,)`.

    Returns:
        Lower and upper corners, each `(b, K)`; an upper corner may be infinite.
    """
    front = front[(front > reference).all(1)]
    if front.shape[1] == 1:
        return np.array([[front.max(initial=float(reference[0]))]]), np.array([[np.inf]])
    levels = np.concatenate([[reference[-1]], np.unique(front[:, -1]), [np.inf]])
    lows, highs = [], []
    for low, high in pairwise(levels):
        reaching = front[front[:, -1] > low][:, :-1]
        inner_low, inner_high = undominated_boxes(reaching[undominated(reaching)], reference[:-1])
        lows.append(np.column_stack([inner_low, np.full(len(inner_low), low)]))
        highs.append(np.column_stack([inner_high, np.full(len(inner_high), high)]))
    return np.concatenate(lows), np.concatenate(highs)
