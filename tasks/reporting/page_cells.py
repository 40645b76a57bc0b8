"""Cells of the page of candidates: how a measured value, a prediction and any other number are written there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from markupsafe import Markup

from data.goals import Goal, Goals
from data.ledger.health import Z90
from data.records import CallState, JsonDict
from data.wording import DIGITS, figure, interval, shown_unit
from tasks.reporting.objectives import column_of, lacking, limits_broken, reason_told

_ENDED = {CallState.FAILED: "failed", CallState.ABANDONED: "abandoned", CallState.IN_DOUBT: "in doubt"}
_WAITING = {CallState.RESERVED: "not sent yet", CallState.SUBMITTED: "no answer yet"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the page.

    Attributes:
        name: key of its cells.
        label: heading.
        sort: direction of the first click; empty for a column that does not sort.
        unit: of its numbers.
        kind: what its style goes by, where other columns are of the same kind; empty: its name.
    """

    name: str
    label: str
    sort: str = "descending"
    unit: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: what it is sorted by, empty where there is nothing, None where it is what is read; and what it shows."""

    sort: str | None
    html: Markup


@dataclass(frozen=True, slots=True)
class Scale:
    """Range of the values of one page."""

    low: float
    high: float

    @staticmethod
    def of(rows: Sequence[JsonDict], prefix: str = "") -> Scale:
        """Return the range of what was measured and predicted in rows."""
        keys = (f"{prefix}value", f"{prefix}predicted_mean")
        seen = [row[key] for key in keys for row in rows if finite(row.get(key))]
        low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
        span = (high - low) or abs(high) or 1.0
        return Scale(low - 0.05 * span, high + 0.05 * span)

    def percent(self, value: float) -> float:
        """Return the place of a value in the range, 0 to 100."""
        return round(min(max(100.0 * (value - self.low) / (self.high - self.low), 0.0), 100.0), 1)


@dataclass(frozen=True, slots=True)
class Objective:
    """Columns of one of several objectives: what was measured, and what was predicted with a strip of both.

    Of more than two objectives each has one column with all of it.
    """

    goal: Goal
    place: int
    scale: Scale
    main: bool
    """Says what became of a call without a value."""
    apart: bool
    """Whether predictions have a column of their own."""
    goals: Goals
    """All of them: the main one says which others lack a value."""

    @staticmethod
    def all(goals: Goals, rows: Sequence[JsonDict]) -> list[Objective]:
        """Return the columns of all objectives."""
        return [
            Objective(goal, place, Scale.of(rows, column_of(goal, "")), goal == goals.main, len(goals) == 2, goals)
            for place, goal in enumerate(goals, start=1)
        ]

    def columns(self) -> list[Column]:
        """Return one column, or two where predictions have their own."""
        label, unit, first = heading(self.goal), shown_unit(self.goal.unit), first_click(self.goal)
        value = Column(f"value-{self.place}", label, first, unit, "value")
        predicted = Column(f"predicted-{self.place}", f"{label}, predicted", first, unit, "predicted")
        return [value, predicted] if self.apart else [value]

    def cells(self, row: JsonDict) -> dict[str, Cell]:
        """Return the cells of a candidate by column."""
        own = {name: row.get(column_of(self.goal, name)) for name in ("value", "predicted_mean", "predicted_std")}
        if self.main or finite(own["value"]):
            value = value_cell({**row, **own}, shown_unit(self.goal.unit), self.goal)
        else:
            value = Cell("", missing("–"))
        if self.main and (names := lacking(row, self.goals)):
            value = Cell(value.sort, value.html + _ended(row, f": no value of {', '.join(names)}"))
        predicted = predicted_cell(own, self.goal)
        drawn = strip(own, self.scale) if predicted.sort else Markup("")
        if not self.apart:
            told = Markup('<span class="also">{}{}</span>').format(predicted.html, drawn) if predicted.sort else ""
            return {f"value-{self.place}": Cell(value.sort, value.html + told)}
        cell = Cell(predicted.sort, predicted.html + drawn)
        return {f"value-{self.place}": value, f"predicted-{self.place}": cell}


def heading(goal: Goal) -> str:
    """Return the name of an objective as headings have it."""
    name = goal.name.replace("_", " ")
    return name[:1].upper() + name[1:]


def first_click(goal: Goal) -> str:
    """Return the direction in which the best come first; a value with a target is sorted by its distance from it."""
    return "ascending" if goal.sign < 0 or goal.target is not None else "descending"


def value_cell(row: JsonDict, unit: str, goal: Goal) -> Cell:
    """Return what was measured and which limits it breaks, or what became of the call."""
    if finite(row.get("value")):
        told = Markup("{} <small>{}</small>").format(shown(row["value"]), unit)
        broken = limits_broken({goal.name: row["value"]}, Goals([goal]))
        for limit in broken:
            told += Markup('<span class="outside">{}</span>').format(limit.removeprefix(goal.name).strip())
        return Cell(_sorted_by(row["value"], goal), told)
    state = row.get("state")
    if state in _ENDED or row.get("error"):
        return Cell("", _ended(row))
    waiting = _WAITING.get(CallState(state), "") if state in _WAITING else ""
    since = f", asked {row['since']}" if waiting and row.get("since") else ""
    return Cell("", Markup('<span class="none">{}{}</span>').format(waiting or "not measured", since))


def _ended(row: JsonDict, of: str = "") -> Markup:
    """Return what became of a call, of what, and why as far as somebody said so."""
    state = row.get("state")
    word = _ENDED[CallState(state)] if state in _ENDED else "failed"
    reason = reason_told(row, lacks=bool(of))
    return Markup('<span class="failed">{}</span>').format(word + of + (reason and f" – {reason}"))


def predicted_cell(row: JsonDict, goal: Goal) -> Cell:
    """Return the predicted mean and the ends of the 90 % interval of a new measurement."""
    mean, std = row.get("predicted_mean"), row.get("predicted_std")
    if not finite(mean):
        return Cell("", missing("–"))
    told, _, ends = interval(mean, Z90 * std if finite(std) else None).replace("-", "−").partition(" ")
    around = Markup(' <span class="pm">{}</span>').format(ends) if ends else Markup("")
    return Cell(_sorted_by(mean, goal), Markup("<span>{}{}</span>").format(told, around))


def _sorted_by(value: float, goal: Goal) -> str:
    return _key(value if goal.target is None else abs(value - goal.target))


def _key(value: float) -> str:
    """Return a number to sort by, in few letters."""
    return f"{value:.9g}"


def strip(row: JsonDict, scale: Scale) -> Markup:
    """Draw the measured value (dot) on the predicted mean (tick) and its 90 % interval (bar)."""
    value, mean, std = row.get("value"), row.get("predicted_mean"), row.get("predicted_std")
    parts = []
    if finite(mean) and finite(std):
        left, right = scale.percent(mean - Z90 * std), scale.percent(mean + Z90 * std)
        parts.append(f'<i style="left:{left}%;width:{round(right - left, 1)}%"></i>')
    if finite(mean):
        parts.append(f'<b style="left:{scale.percent(mean)}%"></b>')
    if finite(value):
        parts.append(f'<em style="left:{scale.percent(value)}%"></em>')
    return Markup(f'<span class="strip" aria-hidden="true">{"".join(parts)}</span>')


def number_cell(value: Any, form: Callable[[float], str]) -> Cell:
    """Return a number in a form, a dash where there is none."""
    return Cell(_key(value), Markup(form(value))) if finite(value) else Cell("", missing("–"))


def level_cell(row: JsonDict, key: str) -> Cell:
    """Return a value at a cheaper level, and how many calls it took where it took several."""
    value, calls = row.get(key), row.get(f"{key}.calls") or 0
    if not finite(value):
        return Cell("", missing("–" if not calls else f"– ({calls} call{'s' if calls > 1 else ''})"))
    several = Markup(" <small>of {} calls</small>").format(calls) if calls > 1 else Markup("")
    return Cell(_key(value), Markup("{}{}").format(shown(value), several))


def missing(text: str) -> Markup:
    """Return what stands where something is not there."""
    return Markup('<span class="missing">{}</span>').format(text)


def shown(value: float, digits: int = DIGITS) -> str:
    """Return a number as it is shown to people, with a typographic minus."""
    return figure(value, digits).replace("-", "−")


def finite(value: Any) -> TypeGuard[float]:
    """Return whether something is a number to show."""
    return isinstance(value, (int, float)) and math.isfinite(value)
