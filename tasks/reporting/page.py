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

from data.ledger.summary import FEWEST
from data.records import Arm, CallState, JsonDict
from data.wording import DIGITS, figure, shown_unit
from models.spaces.base import BaseSpace, Fact

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
_ARMS = frozenset(str(arm) for arm in Arm)
_VALUES = frozenset({"best", "top10_mean", "initial_best", "acquisition_mean", "control_mean"})
_FILTERS = {"round": "Round", "arm": "Arm", "source": "Source", "state": "State"}
_ENDED = {CallState.FAILED: "failed", CallState.ABANDONED: "abandoned", CallState.IN_DOUBT: "in doubt"}
_WAITING = {CallState.RESERVED: "booked, not sent yet", CallState.SUBMITTED: "sent, no answer yet"}


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    label: str
    sort: str = "descending"
    """Direction of the first click; empty for a column that does not sort."""
    unit: str = ""


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
    def of(rows: Sequence[JsonDict]) -> _Scale:
        seen = [row["value"] for row in rows if _finite(row.get("value"))]
        seen += [row["predicted_mean"] for row in rows if _finite(row.get("predicted_mean"))]
        low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
        span = (high - low) or abs(high) or 1.0
        return _Scale(low - 0.05 * span, high + 0.05 * span)

    def percent(self, value: float) -> float:
        return round(min(max(100.0 * (value - self.low) / (self.high - self.low), 0.0), 100.0), 1)


def candidates_page(
    rows: Sequence[JsonDict],
    *,
    space: BaseSpace[Any],
    title: str,
    subtitle: str = "",
    summary: Mapping[str, Any] | None = None,
    unit: str = "",
    objective: str = "value",
    maximise: bool = True,
    plots: Mapping[str, str | Path] | None = None,
    findings: Sequence[tuple[str, str]] = (),
    sources: Sequence[Sequence[str]] = (),
    screened: Sequence[str] = (),
) -> str:
    """Return the page as text; the same arguments give the same bytes.

    Args:
        rows: candidates, the best first: their order is the rank. Keys: `id`, `object`, `value` (None while
            unmeasured), `round`, `arm`, `source`, `predicted_mean`, `predicted_std`, `novelty`, `state`, `error`;
            optional `message`, `unit` and the facts of the space, shown where any row has
            them.
        space: of the candidates: draws them and says what its facts are called.
        title: heading, usually the campaign's name.
        subtitle: one sentence below it.
        summary: figures of the heading by name: `best`, `top10_mean`, `initial_best`, `acquisition_mean`,
            `control_mean` (in `unit`), `calls` and `budget` (shown as one), `failed`, `rounds`; any other name is shown
            as it is called. None is left out.
        unit: of the values.
        objective: name of the measured property, the heading of its column.
        maximise: whether larger is better: the direction of the first click on the value.
        plots: caption -> path of a PNG or SVG file, or the text of an SVG.
        findings: (`good`, `unknown` or `warning`; what was found and what to do) of the campaign's health.
        sources: a row of texts per generator: name, proposed, passed, bought, mean, best, hits, families of hits.
        screened: sentences on what screens refused, below that table.

    Raises:
        ValueError: a plot is neither PNG nor SVG.
    """
    facts = {key: fact for key, fact in space.facts.items() if any(_finite(row.get(key)) for row in rows)}
    scale, unit = _Scale.of(rows), shown_unit(unit)
    script = Markup(_resource("candidates.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        title=title,
        subtitle=subtitle,
        figures=_figures(summary or {}, unit),
        sources=sources,
        screened=screened,
        findings=findings,
        plots=[{"caption": caption, "uri": _data_uri(caption, plot)} for caption, plot in (plots or {}).items()],
        columns=_columns(objective.replace("_", " "), unit, maximise, facts, space),
        rows=[_row(rank, row, scale, unit, facts, space) for rank, row in enumerate(rows, start=1)],
        filters=_filters(rows),
        footer=_footer(unit, space),
        text_name=space.text_name,
        family_name=space.family_name,
        style=Markup(_resource("candidates.css")),
        script=script,
        script_hash=f"sha256-{digest}",
    )


def _columns(
    objective: str, unit: str, maximise: bool, facts: Mapping[str, Fact], space: BaseSpace[Any]
) -> list[_Column]:
    best_first = "descending" if maximise else "ascending"
    return [
        _Column("rank", "#", "ascending"),
        *([_Column("structure", "Structure", "")] if space.draws() else []),
        _Column("value", objective[:1].upper() + objective[1:], best_first, unit),
        _Column("predicted", "Predicted", best_first, unit),
        _Column("strip-cell", "Measured on predicted", ""),
        _Column("novelty", "Novelty"),
        *[_Column(key, fact.label, "ascending") for key, fact in facts.items()],
        _Column("round", "Round"),
        _Column("arm", "Arm", "ascending"),
        _Column("source", "Source", "ascending"),
        _Column("smiles", f"{space.text_name} and id", "ascending"),
    ]


def _row(
    rank: int, row: JsonDict, scale: _Scale, unit: str, facts: Mapping[str, Fact], space: BaseSpace[Any]
) -> dict[str, Any]:
    obj = str(row["object"])
    drawn = space.draw(obj)
    picture = Markup(drawn) if drawn is not None else _missing("not drawable")
    arm = str(row.get("arm") or "")
    cells = {
        "rank": _Cell(str(rank), Markup(str(rank))),
        "structure": _Cell("", picture),
        "value": _value(row, shown_unit(str(row.get("unit") or unit))),
        "predicted": _predicted(row),
        "strip-cell": _Cell("", _strip(row, scale)),
        "novelty": _number(row.get("novelty"), "{:.2f}".format),
        "round": _number(row.get("round"), "{:.0f}".format),
        "arm": _Cell(arm, Markup('<span class="arm-{0}">{0}</span>').format(arm) if arm else _missing("–")),
        "source": _Cell(str(row.get("source") or ""), Markup("{}").format(row.get("source") or "–")),
        "smiles": _Cell(obj, _identity(row, space)),
        **{key: _number(row.get(key), f"{{:.{fact.digits}f}}".format) for key, fact in facts.items()},
    }
    facets = {key: "" if row.get(key) is None else str(row[key]) for key in _FILTERS if key != "state"}
    return {"rank": rank, "state": str(row.get("state") or ""), "facets": facets, "cells": cells}


def _identity(row: JsonDict, space: BaseSpace[Any]) -> Markup:
    """Return text and id, the compound where the space names it, and which other rows are the same compound."""
    parts = Markup("<code>{}</code><code>{}</code>").format(row["object"], row.get("id") or "")
    if space.compound_column and row.get("compound") and row["compound"] != row.get("id"):
        parts += Markup("<code>{}</code>").format(row["compound"])
    if row.get("same_compound"):
        parts += Markup('<span class="same">Same {} as {}</span>').format(space.compound_name, row["same_compound"])
    return parts


def _value(row: JsonDict, unit: str) -> _Cell:
    if _finite(row.get("value")):
        return _Cell(repr(float(row["value"])), Markup("{} <small>{}</small>").format(_shown(row["value"]), unit))
    state = row.get("state")
    if state in _ENDED or row.get("error"):
        reason = ": ".join(str(part) for part in (row.get("error"), row.get("message")) if part)
        label = f"{_ENDED.get(CallState(state), 'failed') if state in _ENDED else 'failed'}" + (
            reason and f" – {reason}"
        )
        return _Cell("", Markup('<span class="failed">{}</span>').format(label))
    waiting = _WAITING.get(CallState(state), "") if state in _WAITING else ""
    return _Cell("", Markup('<span class="none">{}</span>').format(waiting or "not measured"))


def _predicted(row: JsonDict) -> _Cell:
    mean, std = row.get("predicted_mean"), row.get("predicted_std")
    if not _finite(mean):
        return _Cell("", _missing("–"))
    error = Markup(' <span class="pm">± {}</span>').format(_shown(std, 2)) if _finite(std) else Markup("")
    return _Cell(repr(float(mean)), Markup("<span>{}{}</span>").format(_shown(mean), error))


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


def _figures(summary: Mapping[str, Any], unit: str) -> list[dict[str, Any]]:
    found = []
    for name, value in summary.items():
        arm, _, what = name.rpartition("_")
        if value is None or (name == "budget" and "calls" in summary) or (arm in _ARMS and what in ("n", "half")):
            continue
        n, half = (summary.get(f"{arm}_{key}") for key in ("n", "half"))
        half = half if (n or 0) >= FEWEST else None
        about = f"± {_shown(half, 2)} {unit} (95 %), n {n}" if half is not None else f"{unit} (n {n})" if n else unit
        budget = summary.get("budget") if name == "calls" else None
        text = _shown(value) if name in _VALUES and _finite(value) else _plain(value)
        label = _FIGURES.get(name) or (name[:1].upper() + name[1:]).replace("_", " ")
        found.append(
            {
                "label": label,
                "text": text,
                "number": isinstance(value, int | float),
                "unit": about if name in _VALUES else (f"of {budget:,}" if budget else ""),
                "share": round(min(100.0 * value / budget, 100.0), 1) if budget else None,
            }
        )
    return found


def _plain(value: Any) -> str:
    return _shown(value) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _filters(rows: Sequence[JsonDict]) -> list[dict[str, Any]]:
    found = []
    for key, label in _FILTERS.items():
        present = {row.get(key) for row in rows} - {None, ""}
        if len(present) > 1:
            options = [str(value) for value in sorted(present, key=lambda v: (isinstance(v, str), v))]
            found.append({"key": key, "label": label, "options": options})
    return found


def _footer(unit: str, space: BaseSpace[Any]) -> str:
    notes = [fact.note for fact in space.facts.values() if fact.note]
    return (
        "Predicted: mean ± standard deviation of a new measurement, by the proxy that the candidate was chosen with"
        f"{f', in {unit}' if unit else ''}. In the strip the bar is that interval, the tick its mean, the dot the "
        f"measured value. Novelty: 1 − the largest {space.likeness} to what was known when the candidate was proposed. "
        + " ".join(notes)
    ).rstrip()


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
