"""A word where positive values span so many decades that a model of the plain values sees the largest ones only."""

from __future__ import annotations

import math
from collections.abc import Sequence

FEWEST = 3.0
"""Decades from which it is said: below, the smallest value is still a thousandth of the range."""


def decades(values: Sequence[float]) -> float:
    """Return the decades from the smallest to the largest of n values; 0 unless there are some and all are positive."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    return math.log10(high) - math.log10(low) if low > 0 else 0.0


def wide_span(values: Sequence[float]) -> str | None:
    """Return the warning for values that span at least `FEWEST` decades, None for others."""
    span = decades(values)
    if span < FEWEST:
        return None
    return (
        f"The {len(values)} measured values span {span:.1f} decades, from {min(values):.3g} to {max(values):.3g}: a "
        "proxy of the plain values learns the largest ones and hardly tells the small ones apart. If they are "
        "concentrations, constants or rates, measure their logarithm: -log10, as in pIC50 = -log10(IC50 in mol/l), "
        "with the goal turned round."
    )
