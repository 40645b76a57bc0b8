"""A part of a library: the worse objects, or a random sample; what is left out is counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from data.tables.merging import Kept


@dataclass(frozen=True, slots=True)
class Part:
    """What is taken of a library, in its order."""

    rows: list[Kept]
    left_out: Counter[str] = field(default_factory=Counter)
    """Why objects were left out -> how many."""


def part_of(
    rows: Sequence[Kept], *, below_quantile: float | None, sample: int | None, seed: int, maximise: bool = True
) -> Part:
    """Return the part of a library that two options leave.

    Args:
        rows: one per object.
        below_quantile: objects that are better than this quantile of the values, counted from the worst, are left out;
            None: none is.
        sample: so many objects are drawn at random of those that are left; None, or more than there are: all.
        seed: of the sample.
        maximise: whether larger values are better.
    """
    left, left_out = list(rows), Counter[str]()
    values = [row.value for row in rows if math.isfinite(row.value)]
    if below_quantile is not None and values:
        quantile = below_quantile if maximise else 1.0 - below_quantile
        limit = float(np.quantile(values, quantile))
        left = [row for row in left if not (row.value > limit if maximise else row.value < limit)]
        left_out[f"a value {'above' if maximise else 'below'} the quantile {quantile:g}"] = len(rows) - len(left)
    if sample is not None and sample < len(left):
        drawn = np.sort(np.random.default_rng(seed).permutation(len(left))[:sample])
        left_out["not in the sample"] = len(left) - sample
        left = [left[place] for place in drawn]
    return Part(left, +left_out)
