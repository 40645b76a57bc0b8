"""The candidates as one HTML file that needs nothing else: structures, figures and plots inside.

The page carries its style, script and pictures, and forbids itself every request by its content security policy; so it
reads the same from disk, in a mail, and in the sandboxed frame of MLflow's artifact view.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeGuard

import jinja2
from markupsafe import Markup

from data.goals import Goal, Goals
from data.ledger.summary import FEWEST
from data.records import Arm, CallState, JsonDict
from data.wording import DIGITS, figure, shown_unit
from models.spaces.base import BaseSpace, Fact
from tasks.reporting.objectives import column_of, limits_broken

_FIGURES = {
    "best": "Best measured",
    "top10_mean": "Mean of the ten best",
    "initial_best": "Best of the initial design",
    "acquisition_mean": "Mean, acquisition arm",
    "control_mean": "Mean, control arm",
    "calls": "Oracle calls",
    "failed": "Failed calls",
    "rounds": "Rounds",
}
_OF_SEVERAL = {
    "front": "On the front",
    "hypervolume": "Hypervolume",
    "acquisition_hypervolume": "Hypervolume, acquisition arm",
    "control_hypervolume": "Hypervolume, control arm",
}
_SHARES = {
    "feasible": "Within the limits, last round",
    "acquisition_feasible": "Within the limits, acquisition arm",
    "control_feasible": "Within the limits, control arm",
}
_ARMS = frozenset(str(arm) for arm in Arm)
_LABELS = _FIGURES | _OF_SEVERAL | _SHARES
_OF_MAIN = frozenset({"best", "top10_mean", "initial_best"})
"""Figures of the main objective that say little where several are to be improved."""
_VALUES = frozenset({"best", "top10_mean", "initial_best", "acquisition_mean", "control_mean"})
_FILTERS = {"round": "Round", "arm": "Arm", "source": "Source", "state": "State"}
_ALSO = {"front": "Front", "limits": "Limits"}
_ENDED = {CallState.FAILED: "failed", CallState.ABANDONED: "abandoned", CallState.IN_DOUBT: "in doubt"}
_WAITING = {CallState.RESERVED: "booked, not sent yet", CallState.SUBMITTED: "sent, no answer yet"}


PLAIN = Goals([Goal("value")])
"""What is wanted where nothing more is known."""


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    label: str
    sort: str = "descending"
    """Direction of the first click; empty for a column that does not sort."""
    unit: str = ""
    kind: str = ""
    """What its style goes by, where other columns are of the same kind; empty: its name."""


@dataclass(frozen=True, slots=True)
class _Cell:
    sort: str
    html: Markup


@dataclass(frozen=True, slots=True)
class _Scale:
    """Range of the values of one page."""

    low: float
    high: float

    @staticmethod
    def of(rows: Sequence[JsonDict], prefix: str = "") -> _Scale:
        keys = (f"{prefix}value", f"{prefix}predicted_mean")
        seen = [row[key] for key in keys for row in rows if _finite(row.get(key))]
        low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
        span = (high - low) or abs(high) or 1.0
        return _Scale(low - 0.05 * span, high + 0.05 * span)

    def percent(self, value: float) -> float:
        return round(min(max(100.0 * (value - self.low) / (self.high - self.low), 0.0), 100.0), 1)


@dataclass(frozen=True, slots=True)
class _Objective:
    """Columns of one of several objectives: what was measured, and what was predicted with a strip of both.

    Of more than two objectives each has one column with all of it.
    """

    goal: Goal
    place: int
    scale: _Scale
    main: bool
    """Says what became of a call without a value."""
    apart: bool
    """Whether predictions have a column of their own."""

    @staticmethod
    def all(goals: Goals, rows: Sequence[JsonDict]) -> list[_Objective]:
        return [
            _Objective(goal, place, _Scale.of(rows, column_of(goal, "")), goal == goals.main, len(goals) == 2)
            for place, goal in enumerate(goals, start=1)
        ]

    def columns(self) -> list[_Column]:
        label, unit, first = _heading(self.goal), shown_unit(self.goal.unit), _first_click(self.goal)
        value = _Column(f"value-{self.place}", label, first, unit, "value")
        predicted = _Column(f"predicted-{self.place}", f"{label}, predicted", first, unit, "predicted")
        return [value, predicted] if self.apart else [value]

    def cells(self, row: JsonDict) -> dict[str, _Cell]:
        own = {name: row.get(column_of(self.goal, name)) for name in ("value", "predicted_mean", "predicted_std")}
        if self.main or _finite(own["value"]):
            value = _value({**row, **own}, shown_unit(self.goal.unit), self.goal)
        else:
            value = _Cell("", _missing("–"))
        predicted = _predicted(own, self.goal)
        strip = _strip(own, self.scale) if predicted.sort else Markup("")
        if not self.apart:
            told = Markup('<span class="also">{}{}</span>').format(predicted.html, strip) if predicted.sort else ""
            return {f"value-{self.place}": _Cell(value.sort, value.html + told)}
        cell = _Cell(predicted.sort, predicted.html + strip)
        return {f"value-{self.place}": value, f"predicted-{self.place}": cell}


def candidates_page(
    rows: Sequence[JsonDict],
    *,
    space: BaseSpace[Any],
    title: str,
    subtitle: str = "",
    summary: Mapping[str, Any] | None = None,
    goals: Goals = PLAIN,
    plots: Mapping[str, str | Path] | None = None,
    findings: Sequence[tuple[str, str]] = (),
    sources: Sequence[Sequence[str]] = (),
    said: Sequence[str] = (),
) -> str:
    """Return the page as text; the same arguments give the same bytes.

    Args:
        rows: candidates, the best first: their order is the rank. Keys: `id`, `object`, `value` (None while
            unmeasured), `round`, `arm`, `source`, `predicted_mean`, `predicted_std`, `novelty`, `state`, `error`;
            optional `message`, `unit` and the facts of the space, shown where any row has
            them. Of several objectives or limits also the columns of `tasks.reporting.objectives`.
        space: of the candidates: draws them and says what its facts are called.
        title: heading, usually the campaign's name.
        subtitle: one sentence below it.
        summary: figures of the heading by name: `best`, `top10_mean`, `initial_best`, `acquisition_mean`,
            `control_mean` (of the main objective), `calls` and `budget` (shown as one), `failed`, `rounds`; of several
            objectives `best_of` (a mapping) and what else `RoundSummary` has of them; any other name is shown as it is
            called. None is left out.
        goals: of the campaign, with units: names of the values, and which way is better.
        plots: caption -> path of a PNG or SVG file, or the text of an SVG.
        findings: (`good`, `unknown` or `warning`; what was found and what to do) of the campaign's health.
        sources: a row of texts per generator: name, proposed, passed, bought, mean, best, hits, families of hits.
        said: sentences on what was bought and what screens refused, below that table.

    Raises:
        ValueError: a plot is neither PNG nor SVG.
    """
    facts = {key: fact for key, fact in space.facts.items() if any(_finite(row.get(key)) for row in rows)}
    if not goals.plain:
        rows = [{**row, **_standing(row, goals)} for row in rows]
    several = _Objective.all(goals, rows) if len(goals) > 1 else []
    scale = _Scale.of(rows)
    filters = _FILTERS if goals.plain else _FILTERS | _ALSO
    script = Markup(_resource("candidates.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        title=title,
        subtitle=subtitle,
        figures=_figures(summary or {}, goals),
        sources=sources,
        measured_of=f" {goals.main.name.replace('_', ' ')}" if several else "",
        said=said,
        findings=findings,
        plots=[{"caption": caption, "uri": _data_uri(caption, plot)} for caption, plot in (plots or {}).items()],
        columns=_columns(goals, several, facts, space),
        rows=[
            _row(rank, row, goals, scale, several, facts, space, [key for key in filters if key != "state"])
            for rank, row in enumerate(rows, start=1)
        ],
        filters=_filters(rows, filters),
        footer=_footer(goals, space),
        text_name=space.text_name,
        family_name=space.family_name,
        style=Markup(_resource("candidates.css") + ("" if goals.plain else _resource("objectives.css"))),
        script=script,
        script_hash=f"sha256-{digest}",
    )


def _standing(row: JsonDict, goals: Goals) -> JsonDict:
    """Return whether a candidate keeps to the limits and is on the front, in the words of the filters."""
    feasible, front = row.get("feasible"), row.get("front")
    limits = "" if feasible is None else "kept" if feasible else "broken"
    place = "" if front is None else "on it" if front else "behind it"
    return ({"limits": limits} if goals.limited else {}) | ({"front": place} if goals.several else {})


def _heading(goal: Goal) -> str:
    name = goal.name.replace("_", " ")
    return name[:1].upper() + name[1:]


def _first_click(goal: Goal) -> str:
    """Return the direction in which the best come first; a value with a target is sorted by its distance from it."""
    return "ascending" if goal.sign < 0 or goal.target is not None else "descending"


def _columns(
    goals: Goals, several: Sequence[_Objective], facts: Mapping[str, Fact], space: BaseSpace[Any]
) -> list[_Column]:
    main, unit = goals.main, shown_unit(goals.main.unit)
    measured = [column for one in several for column in one.columns()] or [
        _Column("value", _heading(main), _first_click(main), unit),
        _Column("predicted", "Predicted", _first_click(main), unit),
        _Column("strip-cell", "Measured on predicted", ""),
    ]
    return [
        _Column("rank", "#", "ascending"),
        *([_Column("structure", "Structure", "")] if space.draws() else []),
        *measured,
        *([_Column("front", "Front")] if goals.several else []),
        _Column("novelty", "Novelty"),
        *[_Column(key, fact.label, "ascending") for key, fact in facts.items()],
        _Column("round", "Round"),
        _Column("arm", "Arm", "ascending"),
        _Column("source", "Source", "ascending"),
        _Column("smiles", f"{space.text_name} and id", "ascending"),
    ]


def _row(
    rank: int,
    row: JsonDict,
    goals: Goals,
    scale: _Scale,
    several: Sequence[_Objective],
    facts: Mapping[str, Fact],
    space: BaseSpace[Any],
    facets: Sequence[str],
) -> dict[str, Any]:
    obj = str(row["object"])
    drawn = space.draw(obj)
    picture = Markup(drawn) if drawn is not None else _missing("not drawable")
    arm = str(row.get("arm") or "")
    cells = {
        "rank": _Cell(str(rank), Markup(str(rank))),
        "structure": _Cell("", picture),
        "value": _value(row, shown_unit(str(row.get("unit") or goals.main.unit)), goals.main),
        "predicted": _predicted(row, goals.main),
        "strip-cell": _Cell("", _strip(row, scale)),
        **{name: cell for one in several for name, cell in one.cells(row).items()},
        "front": _on_front(str(row.get("front") or "")),
        "novelty": _number(row.get("novelty"), "{:.2f}".format),
        "round": _number(row.get("round"), "{:.0f}".format),
        "arm": _Cell(arm, Markup('<span class="arm-{0}">{0}</span>').format(arm) if arm else _missing("–")),
        "source": _Cell(str(row.get("source") or ""), Markup("{}").format(row.get("source") or "–")),
        "smiles": _Cell(obj, _identity(row, space)),
        **{key: _number(row.get(key), f"{{:.{fact.digits}f}}".format) for key, fact in facts.items()},
    }
    told = {key: "" if row.get(key) is None else str(row[key]) for key in facets}
    return {"rank": rank, "state": str(row.get("state") or ""), "facets": told, "cells": cells}


def _on_front(told: str) -> _Cell:
    if told == "on it":
        return _Cell("1", Markup('<span class="on-front">front</span>'))
    return _Cell("0" if told else "", _missing("–"))


def _identity(row: JsonDict, space: BaseSpace[Any]) -> Markup:
    """Return text and id, the compound where the space names it, and which other rows are the same compound."""
    parts = Markup("<code>{}</code><code>{}</code>").format(row["object"], row.get("id") or "")
    if space.compound_column and row.get("compound") and row["compound"] != row.get("id"):
        parts += Markup("<code>{}</code>").format(row["compound"])
    if row.get("same_compound"):
        parts += Markup('<span class="same">Same {} as {}</span>').format(space.compound_name, row["same_compound"])
    return parts


def _value(row: JsonDict, unit: str, goal: Goal) -> _Cell:
    if _finite(row.get("value")):
        shown = Markup("{} <small>{}</small>").format(_shown(row["value"]), unit)
        broken = limits_broken({goal.name: row["value"]}, Goals([goal]))
        for limit in broken:
            shown += Markup('<span class="outside">{}</span>').format(limit.removeprefix(goal.name).strip())
        return _Cell(_sorted_by(row["value"], goal), shown)
    state = row.get("state")
    if state in _ENDED or row.get("error"):
        reason = ": ".join(str(part) for part in (row.get("error"), row.get("message")) if part)
        label = f"{_ENDED.get(CallState(state), 'failed') if state in _ENDED else 'failed'}" + (
            reason and f" – {reason}"
        )
        return _Cell("", Markup('<span class="failed">{}</span>').format(label))
    waiting = _WAITING.get(CallState(state), "") if state in _WAITING else ""
    return _Cell("", Markup('<span class="none">{}</span>').format(waiting or "not measured"))


def _sorted_by(value: float, goal: Goal) -> str:
    return repr(float(value if goal.target is None else abs(value - goal.target)))


def _predicted(row: JsonDict, goal: Goal) -> _Cell:
    mean, std = row.get("predicted_mean"), row.get("predicted_std")
    if not _finite(mean):
        return _Cell("", _missing("–"))
    error = Markup(' <span class="pm">± {}</span>').format(_shown(std, 2)) if _finite(std) else Markup("")
    return _Cell(_sorted_by(mean, goal), Markup("<span>{}{}</span>").format(_shown(mean), error))


def _strip(row: JsonDict, scale: _Scale) -> Markup:
    """Draw the measured value (dot) on the predicted mean (tick) and standard deviation (bar)."""
    value, mean, std = row.get("value"), row.get("predicted_mean"), row.get("predicted_std")
    parts = []
    if _finite(mean) and _finite(std):
        left, right = scale.percent(mean - std), scale.percent(mean + std)
        parts.append(f'<i style="left:{left}%;width:{round(right - left, 1)}%"></i>')
    if _finite(mean):
        parts.append(f'<b style="left:{scale.percent(mean)}%"></b>')
    if _finite(value):
        parts.append(f'<em style="left:{scale.percent(value)}%"></em>')
    return Markup(f'<span class="strip" aria-hidden="true">{"".join(parts)}</span>')


def _number(value: Any, form: Callable[[float], str]) -> _Cell:
    return _Cell(repr(float(value)), Markup(form(value))) if _finite(value) else _Cell("", _missing("–"))


def _missing(text: str) -> Markup:
    return Markup('<span class="missing">{}</span>').format(text)


def _shown(value: float, digits: int = DIGITS) -> str:
    """Return a number as it is shown to people, with a typographic minus."""
    return figure(value, digits).replace("-", "−")


def _finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _figures(summary: Mapping[str, Any], goals: Goals) -> list[dict[str, Any]]:
    unit, named = shown_unit(goals.main.unit), {}
    if len(goals) > 1:  # whose mean it is
        of = goals.main.name.replace("_", " ")
        named = {name: _FIGURES[name].replace("Mean", f"Mean {of}") for name in _VALUES if "_mean" in name}
        named |= {"best": f"Best {of}", "initial_best": f"Best {of} of the initial design"}
    found = _best_of(summary.get("best_of") or {}, goals)
    for name, value in summary.items():
        arm, _, what = name.rpartition("_")
        if value is None or (name == "budget" and "calls" in summary) or (arm in _ARMS and what in ("n", "half")):
            continue
        if name in ("best_of", "hypervolume_calls") or ("best_of" in summary and name in _OF_MAIN):
            continue
        about, budget, text = "", None, _shown(value) if name in _VALUES and _finite(value) else _plain(value)
        if name in _VALUES:
            n, half = summary.get(f"{arm}_n"), summary.get(f"{arm}_half")
            half = half if n is not None and n >= FEWEST else None
            about = (
                f"± {_shown(half, 2)} {unit} (95 %), n {n}" if half is not None else f"{unit} (n {n})" if n else unit
            )
        elif name == "calls" and summary.get("budget"):
            budget = summary["budget"]
            about = f"of {budget:,}"
        elif name in _SHARES:
            text, about = f"{100 * value:.0f}", "%"
        elif name in _OF_SEVERAL and arm in _ARMS:
            about = f"initial design and {summary.get('hypervolume_calls')} calls"
        label = named.get(name) or _LABELS.get(name) or (name[:1].upper() + name[1:]).replace("_", " ")
        share = round(min(100.0 * value / budget, 100.0), 1) if budget else None
        found.append(_tile(label, text, about, share, number=isinstance(value, int | float)))
    return found


def _best_of(best: Mapping[str, float], goals: Goals) -> list[dict[str, Any]]:
    return [
        _tile(f"Best {goal.name.replace('_', ' ')}", _shown(best[goal.name]), shown_unit(goal.unit))
        for goal in goals
        if goal.name in best
    ]


def _tile(label: str, text: str, unit: str, share: float | None = None, *, number: bool = True) -> dict[str, Any]:
    return {"label": label, "text": text, "number": number, "unit": unit, "share": share}


def _plain(value: Any) -> str:
    return _shown(value) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _filters(rows: Sequence[JsonDict], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    found = []
    for key, label in labels.items():
        present = {row.get(key) for row in rows} - {None, ""}
        if len(present) > 1:
            options = [str(value) for value in sorted(present, key=lambda v: (isinstance(v, str), v))]
            found.append({"key": key, "label": label, "options": options})
    return found


def _footer(goals: Goals, space: BaseSpace[Any]) -> str:
    unit = shown_unit(goals.main.unit) if len(goals) == 1 else ""
    notes = [fact.note for fact in space.facts.values() if fact.note]
    if goals.several:
        notes.append(_RANKS)
    if goals.limited:
        notes.append("What breaks a limit ranks behind all that keep to them, and is in no figure of the best.")
    return (
        "Predicted: mean ± standard deviation of a new measurement, by the proxy that the candidate was chosen with"
        f"{f', in {unit}' if unit else ''}. In the strip the bar is that interval, the tick its mean, the dot the "
        f"measured value. Novelty: 1 − the largest {space.likeness} to what was known when the candidate was proposed. "
        + " ".join(notes)
    ).rstrip()


_RANKS = (
    "Candidates rank front by front: no other one surpasses those of the first front in one objective without being "
    "worse in another. Within a front they rank by the hypervolume that would be lost without them. The hypervolume is "
    "what the front dominates above the worst values of the initial design less a tenth of their range there, in the "
    "product of the units; that of an arm counts the initial design and as many calls as both arms have had."
)


def _data_uri(caption: str, plot: str | Path) -> str:
    content = plot.encode() if isinstance(plot, str) and plot.lstrip().startswith("<") else Path(plot).read_bytes()
    if content.startswith(b"\x89PNG"):
        kind = "image/png"
    elif b"<svg" in content[:2000]:
        kind = "image/svg+xml"
    else:
        raise ValueError(
            f"The plot {caption!r} is neither PNG nor SVG; it begins with {content[:12]!r}. Save it as either."
        )
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@cache
def _resource(name: str) -> str:
    return (files("data.resources") / "report" / name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(_resource("candidates.html"))
