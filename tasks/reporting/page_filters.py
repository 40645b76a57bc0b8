"""Filters of the page of candidates: choices, ranges of numbers, and what objects have in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.goals import Goals
from data.records import JsonDict
from data.wording import figure, shown_unit
from models.spaces.base import BaseSpace, Fact
from tasks.reporting.objectives import column_of
from tasks.reporting.page_cells import finite, heading

FAMILY = "family"
"""Key of the choice among families."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A filter of one value among several.

    Attributes:
        key: of what rows have, as `data-KEY`.
        label: before the list.
        options: what rows have, and how it is shown.
    """

    key: str
    label: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Range:
    """A filter of numbers.

    Attributes:
        label: of the two fields.
        texts: the number of each row as it is shown, so that one who types what is read finds it; empty: it has none.
        low, high: ends of what there is, as they are shown.
    """

    label: str
    texts: tuple[str, ...]
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Motifs:
    """A filter of what objects have in them.

    Attributes:
        found: name and in how many rows, of those that any row has; the order is that of the bits.
        bits: of each row, hexadecimal, the first motif being the lowest bit.
    """

    found: tuple[tuple[str, int], ...]
    bits: tuple[str, ...]


def choices(rows: Sequence[JsonDict], labels: Mapping[str, str]) -> list[Choice]:
    """Return a choice for each key of rows that has several values."""
    found = []
    for key, label in labels.items():
        present = {row.get(key) for row in rows} - {None, ""}
        if len(present) > 1:
            told = [str(value) for value in sorted(present, key=lambda v: (isinstance(v, str), v))]
            found.append(Choice(key, label, tuple((text, text) for text in told)))
    return found


def families(rows: Sequence[JsonDict], space: BaseSpace[Any]) -> tuple[Choice | None, tuple[str, ...]]:
    """Return the choice among families, the largest first, and the number of each row's; None where there is none."""
    own = [_family(str(row["object"]), space) for row in rows]
    counts = Counter(family for family in own if family)
    if len(set(own)) < 2 or not counts:
        return None, ()
    order = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    place = {name: str(number) for number, name in enumerate(order)} | {"": "none"}
    options = [(place[name], f"{name} ({counts[name]})") for name in order]
    options += [("none", f"none ({own.count('')})")] if "" in own else []
    name = space.family_name[:1].upper() + space.family_name[1:]
    return Choice(FAMILY, name, tuple(options)), tuple(place[family] for family in own)


def _family(obj: str, space: BaseSpace[Any]) -> str:
    try:
        return space.family(obj)
    except ValueError:  # what is no object has none, and keeps its row
        return ""


def motifs(rows: Sequence[JsonDict], space: BaseSpace[Any]) -> Motifs:
    """Return which motifs of the space rows have."""
    own = [frozenset(space.motifs_in(str(row["object"]))) for row in rows]
    counts = Counter(name for names in own for name in names)
    there = [name for name in space.motifs if counts[name]]
    bits = tuple(f"{sum(1 << place for place, name in enumerate(there) if name in names):x}" for names in own)
    return Motifs(tuple((name, counts[name]) for name in there), bits if there else ())


def ranges(rows: Sequence[JsonDict], goals: Goals, facts: Mapping[str, Fact]) -> list[Range]:
    """Return a filter for each number of rows that is not the same in all."""
    labels: dict[str, tuple[str, int | None]] = {}
    for goal in goals:
        unit = f" / {shown_unit(goal.unit)}" if shown_unit(goal.unit) else ""
        alone = len(goals) == 1
        labels["value" if alone else column_of(goal, "value")] = (f"{heading(goal)}{unit}", None)
        key = "predicted_mean" if alone else column_of(goal, "predicted_mean")
        labels[key] = (f"{heading(goal)}, predicted{unit}", None)
        prefix = f"{goal.name}.level_"
        cheaper = sorted({key for row in rows for key in row if key.startswith(prefix) and not key.endswith(".calls")})
        labels |= {key: (f"{heading(goal)}, level {key.rpartition('_')[2]}{unit}", None) for key in cheaper}
    labels |= {"score": ("Score of the acquisition", None), "novelty": ("Novelty", 2)}
    labels |= {key: (fact.label, fact.digits) for key, fact in facts.items()}
    found = []
    for key, (label, digits) in labels.items():
        numbers = [row.get(key) for row in rows]
        seen = [number for number in numbers if finite(number)]
        if seen and min(seen) < max(seen):
            texts = tuple(_typed(number, digits) if finite(number) else "" for number in numbers)
            found.append(Range(label, texts, _typed(min(seen), digits), _typed(max(seen), digits)))
    return found


def _typed(value: float, digits: int | None) -> str:
    return figure(value) if digits is None else f"{value:.{digits}f}"
