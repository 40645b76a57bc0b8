"""Rows of one structure become one: which of their values stays, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal

import numpy as np

from data.records import Refusal
from data.wording import counted

Replicates = Literal["mean", "median", "geometric_mean", "first"]
"""What several values of one structure become."""

FAR_APART = 10.0
"""Ratio of replicates from which on it is said that they differ."""

FIRST = 3
"""Disagreements that a message names."""

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
    written: str = ""
    """Its object as the file writes it, where the row has a value."""
    change: str = ""
    """What reading it changed beside the spelling, a phrase: the value is of another form, such as a salt."""


@dataclass(frozen=True, slots=True)
class MergedRow:
    """A row whose value is one of several of its object, or is that of another form of it."""

    text: str
    """Standard form of its object."""
    kept: float
    """The value of the object."""
    of: int
    """How many values that was made of."""
    line: int
    written: str
    value: float
    unused: str = ""
    """Why its value did not go in, a phrase; empty: it did."""
    form: str = ""
    """Of what other form its value is that went in, a phrase; empty: of the object itself."""


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
    listed: list[MergedRow] = field(default_factory=list)
    """The rows of each structure that has several with a value, or whose value is that of another form."""


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
    kept: Iterable[Kept],
    rule: Replicates,
    noun: str = "object",
    *,
    nouns: str | None = None,
    what: str | None = None,
    option: str = OPTION,
    species: Callable[[str], str] = str,
) -> Merged:
    """Make one row of all rows of one structure; the first line stays.

    Values of different species, such as a salt and its free acid, are no replicates: where they differ, only those of
    one go in, see `one_species`.

    Args:
        kept: rows that are in order.
        rule: what several values become.
        noun: what a structure is called.
        nouns: what several are; None: the same with an s.
        what: the rule gives, in words; None: as it is called.
        option: sentence on the option that chooses the rule.
        species: gives what an object is as it is written, before anything was taken off: equal for one species.

    A structure whose replicates have no geometric mean (one is not positive) is refused, all its lines.
    """
    groups: dict[str, list[Kept]] = {}
    for row in kept:
        groups.setdefault(row.text, []).append(row)
    spread = _spread([row.value for rows in groups.values() for row in rows[:1] if math.isfinite(row.value)])
    result = Merged([], merged=sum(len(rows) - 1 for rows in groups.values()))
    refused = 0
    apart: list[_Disagreement] = []
    others: list[_Disagreement] = []
    for rows in groups.values():
        valued = [row for row in rows if math.isfinite(row.value)]
        used, unused = one_species(valued, species) if len(valued) > 1 else (valued, [])
        values = [row.value for row in used]
        if len(values) > 1 and rule == "geometric_mean" and min(values) <= 0:
            reason = "replicates of which one is not positive have no geometric mean"
            result.refused.extend(Refusal(row.line, row.text, reason) for row in rows)
            refused += len(rows) - 1
            continue
        value = RULES[rule](values) if values else math.nan
        # What the kept value was measured on is what is told of it.
        told = used[0] if used else rows[0]
        result.rows.append(Kept(rows[0].text, value, rows[0].line, told.written, told.change))
        if len(rows) > 1:
            result.notes.append(_note(rows, values, rule, noun))
        if len(valued) > 1 or told.change:
            reasons = {row.line: _other_form(row) for row in unused}
            result.listed.extend(
                MergedRow(row.text, value, len(values), row.line, row.written, row.value, reasons.get(row.line, ""))
                if row.line in reasons or not row.change
                else MergedRow(row.text, value, len(values), row.line, row.written, row.value, form=_other_form(row))
                for row in valued
            )
        if len(set(values)) > 1:
            apart.append(_Disagreement(used, value, _far_apart(values, spread)))
        if unused:
            others.append(_Disagreement(unused, value, True))
    several = nouns or f"{noun}s"
    if apart:
        result.warnings.append(_apart_told(apart, noun, several, what or _words(rule), option))
    if others:
        result.warnings.append(_others_told(others, noun, several))
    return replace(result, merged=result.merged - refused)


def one_species(rows: Sequence[Kept], species: Callable[[str], str]) -> tuple[list[Kept], list[Kept]]:
    """Return the rows of an object whose values are replicates of one another, and those of other species.

    Rows that were written as the object itself go before its other forms; where there are only other forms, that of the
    first line does. Where all values are equal, nothing depends on it and all are taken.

    Args:
        rows: of one object, each with a value.
        species: as `merge`.
    """
    if len({row.value for row in rows}) < 2 or not any(row.change for row in rows):
        return list(rows), []
    forms = [species(row.written) if row.change else "" for row in rows]
    chosen = "" if "" in forms else forms[0]
    used = [row for row, form in zip(rows, forms, strict=True) if form == chosen]
    return used, [row for row, form in zip(rows, forms, strict=True) if form != chosen]


@dataclass(frozen=True, slots=True)
class _Disagreement:
    """Rows of one structure whose values are not all the one that was kept."""

    rows: Sequence[Kept]
    kept: float
    far: bool

    @property
    def size(self) -> float:
        """How far the values are apart, or from what was kept."""
        values = [self.kept, *(row.value for row in self.rows)]
        return max(values) - min(values)


def _other_form(row: Kept) -> str:
    return f"another form, written with {row.change}" if row.change else "another form"


def _largest(found: Sequence[_Disagreement], tell: Callable[[_Disagreement], str]) -> str:
    """Return the first disagreements by their size, and how many others there are."""
    ranked = sorted(found, key=lambda one: (-one.size, one.rows[0].line))
    told = [tell(one) for one in ranked[:FIRST]]
    return "; ".join([*told, f"and {len(found) - FIRST} more"] if len(found) > FIRST else told)


def _lines(rows: Sequence[Kept]) -> str:
    lines = [str(row.line) for row in rows]
    return f"line {lines[0]}" if len(lines) == 1 else f"lines {', '.join(lines[:-1])} and {lines[-1]}"


def _apart_told(found: Sequence[_Disagreement], noun: str, nouns: str, what: str, option: str) -> str:
    def tell(one: _Disagreement) -> str:
        values = [row.value for row in one.rows]
        return f"{_lines(one.rows)}, {one.rows[0].text} ({min(values):g} to {max(values):g}, kept {one.kept:g})"

    n, far = len(found), sum(one.far for one in found)
    told = (
        f"The replicates of {counted(n, noun, nouns)} differ; their {what} was kept. Furthest apart: "
        f"{_largest(found, tell)}."
    )
    if far:
        told += (
            f" Those of {far} differ more than {FAR_APART:g}-fold, or by more than the values of all {nouns} deviate "
            "from their mean."
        )
    return f"{told} {option}"


def _others_told(found: Sequence[_Disagreement], noun: str, nouns: str) -> str:
    def tell(one: _Disagreement) -> str:
        values = ", ".join(f"{row.value:g}" for row in one.rows)
        return f"{_lines(one.rows)}, {one.rows[0].written} ({values}; kept {one.kept:g} for {one.rows[0].text})"

    n = sum(len(one.rows) for one in found)
    return (
        f"{counted(n, 'value')} of other forms (salts, solvates, ions) of {counted(len(found), noun, nouns)} "
        f"{'was' if n == 1 else 'were'} not used, as another species has another value: {_largest(found, tell)}."
    )


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
