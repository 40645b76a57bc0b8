"""What every proxy asks of its labels, said in the same words by all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray

FEWEST_LABELS = 5
MINIMUM_LABELS = FEWEST_LABELS + 1
"""Measured objects without which a campaign trains no proxy: those that it needs, and one to hold out."""


def checked_labels(kind: str, objects: Sequence[Any], values: FloatArray) -> FloatArray:
    """Return the labels as float64, shape `(n,)`.

    Repeated objects with different values are replicates and stay; constant labels pass too.

    Raises:
        ValueError: lengths that differ, fewer than 5 labels, or a value that is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (len(objects),):
        raise ValueError(
            f"A {kind} is trained on one value per object; got {len(objects)} objects and values of shape "
            f"{values.shape}."
        )
    _enough(kind, len(values), "")
    _no_bad(kind, objects, values, ~np.isfinite(values))
    return values


def checked_targets(kind: str, objects: Sequence[Any], values: FloatArray) -> FloatArray:
    """Return the labels of K targets as float64, shape `(n, K)`; NaN stands for a target that was not measured.

    Raises:
        ValueError: another shape, an object without any value, a target with fewer than 5 values, or an infinite one.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or len(values) != len(objects) or values.shape[1] == 0:
        raise ValueError(
            f"A {kind} is trained on a table of values, one row per object and one column per target; got "
            f"{len(objects)} objects and values of shape {values.shape}."
        )
    for column in range(values.shape[1]):
        _enough(kind, int((~np.isnan(values[:, column])).sum()), f" with a value of target {column}")
        _no_bad(kind, objects, values[:, column], np.isinf(values[:, column]))
    empty = np.flatnonzero(np.isnan(values).all(1))
    if len(empty):
        raise ValueError(
            f"{len(empty)} of {len(values)} objects have no value of any target, the first is {objects[empty[0]]}. "
            "Leave failed measurements out."
        )
    return values


def _enough(kind: str, n: int, which: str) -> None:
    if n < FEWEST_LABELS:
        raise ValueError(
            f"A {kind} needs at least {FEWEST_LABELS} measured objects; got {n}{which}. Enlarge the initial design."
        )


def _no_bad(kind: str, objects: Sequence[Any], values: FloatArray, bad: NDArray[np.bool_]) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        named = ", ".join(f"{objects[i]} ({values[i]})" for i in rows[:3])
        raise ValueError(
            f"A {kind} is trained on finite values; {len(rows)} of {len(values)} are not: {named}"
            f"{' ...' if len(rows) > 3 else ''}. Leave failed measurements out."
        )


def checked_state(kind: str, state: Mapping[str, Any], expected: set[str]) -> None:
    """Refuse a state that lacks one of the expected entries.

    Raises:
        ValueError: something is missing.
    """
    missing = sorted(expected - state.keys())
    if missing:
        raise ValueError(
            f"The state of a {kind} lacks {', '.join(missing)}; it has {', '.join(sorted(map(str, state)))}. "
            "Was it saved by another kind of proxy? Train again."
        )


def digests(objects: Sequence[Any]) -> list[bytes]:
    """Return 16 bytes for each object: of its text, or of its row of numbers; equal objects, equal bytes."""
    return [
        hashlib.blake2b(
            one.encode() if isinstance(one, str) else np.asarray(one, dtype=np.float64).tobytes(), digest_size=16
        ).digest()
        for one in objects
    ]


def canonical_order(objects: Sequence[Any], values: FloatArray) -> NDArray[np.intp]:
    """Return the order of n labelled objects that does not depend on the order in which they came.

    Args:
        objects: texts or rows of numbers.
        values: shape `(n,)` or `(n, K)`; replicates are ordered by value.
    """
    keys = [one if isinstance(one, str) else key for one, key in zip(objects, digests(objects), strict=True)]
    table = np.nan_to_num(np.asarray(values).reshape(len(keys), -1), nan=np.inf)
    return np.array(sorted(range(len(keys)), key=lambda i: (keys[i], table[i].tolist())), dtype=np.intp)
