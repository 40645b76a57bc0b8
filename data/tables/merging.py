"""Rows of one structure become one: which of their values stays, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal

import numpy as np

from data.records import Refusal

Replicates = Literal["mean", "median", "geometric_mean", "first"]
"""What several values of one structure become."""

FAR_APART = 10.0
"""Ratio of replicates from which on it is said that they differ."""

FEWEST = 5
"""Values whose deviation from their mean is known well enough to say the same by it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A row that is in order."""

    text: str
    """Standard form of its object: rows of one text are one object."""
    value: float
    """NaN where unmeasured."""
    line: int


@dataclass(frozen=True, slots=True)
class Merged:
    """What the rows became, one per structure, in the order of their first lines."""

    rows: list[Kept]
    refused: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Sentences on all of them."""
    merged: int = 0
    """Rows that went into an earlier one."""


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return math.fsum(values) / len(values)


def geometric_mean(values: Sequence[float]) -> float:
    """Return the mean on the scale of logarithms; the values are positive."""
    return values[0] if len(set(values)) == 1 else math.exp(math.fsum(map(math.log, values)) / len(values))


RULES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": mean,
    "median": median,
    "geometric_mean": geometric_mean,
    "first": lambda values: values[0],
}
"""Name of a rule -> what it makes of the values in the order of the file."""


OPTION = "The option `replicates` chooses mean, median, geometric_mean or first."


def merge(
    kept: Iterable[Kept], rule: Replicates, noun: str = "object", *, what: str | None = None, option: str = OPTION
) -> Merged:
    """Make one row of all rows of one structure; the first line stays.

    Args:
        kept: rows that are in order.
        rule: what several values become.
        noun: what a structure is called.
        what: the rule gives, in words; None: as it is called.
        option: sentence on the option that chooses the rule.

    A structure whose replicates have no geometric mean (one is not positive) is refused, all its lines.
    """
    groups: dict[str, list[Kept]] = {}
    for row in kept:
        groups.setdefault(row.text, []).append(row)
    spread = _spread([row.value for rows in groups.values() for row in rows[:1] if math.isfinite(row.value)])
    result = Merged([], merged=sum(len(rows) - 1 for rows in groups.values()))
    apart = refused = 0
    for rows in groups.values():
        values = [row.value for row in rows if math.isfinite(row.value)]
        if len(values) > 1 and rule == "geometric_mean" and min(values) <= 0:
            reason = "replicates of which one is not positive have no geometric mean"
            result.refused.extend(Refusal(row.line, row.text, reason) for row in rows)
            refused += len(rows) - 1
            continue
        value = RULES[rule](values) if values else math.nan
        result.rows.append(Kept(rows[0].text, value, rows[0].line))
        if len(rows) > 1:
            result.notes.append(_note(rows, values, rule, noun))
            apart += _far_apart(values, spread)
    if apart:
        result.warnings.append(
            f"The replicates of {apart} {noun}(s) differ more than {FAR_APART:g}-fold, or by more than the values of "
            f"all {noun}s deviate from their mean; their {what or _words(rule)} was kept. {option}"
        )
    return replace(result, merged=result.merged - refused)


def _spread(values: Sequence[float]) -> float:
    """Return the standard deviation of values, infinity where they are too few to say."""
    return float(np.std(values)) if len(values) >= FEWEST and min(values) < max(values) else math.inf


def _far_apart(values: Sequence[float], spread: float) -> bool:
    if not values or min(values) == max(values):
        return False
    if max(values) - min(values) > spread:
        return True
    low, high = sorted((abs(min(values)), abs(max(values))))
    return min(values) * max(values) <= 0 or high > FAR_APART * low


def _words(rule: str) -> str:
    return "first value" if rule == "first" else rule.replace("_", " ")


def _note(rows: Sequence[Kept], values: Sequence[float], rule: str, noun: str) -> str:
    lines = ", ".join(str(row.line) for row in rows)
    spread = f", from {min(values)} to {max(values)}" if len(set(values)) > 1 else ""
    outcome = f"kept the {_words(rule)} of {len(values)} values{spread}" if values else "no value"
    outcome = "kept the only value" if len(values) == 1 else outcome
    return f"Lines {lines} are one {noun}, {rows[0].text}: {outcome}."
