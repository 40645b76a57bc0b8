"""The candidates as one HTML file that needs nothing else: structures, figures and plots inside.

The page carries its style, script and pictures, and forbids itself every request by its content security policy; so it
reads the same from disk, in a mail, and in the sandboxed frame of MLflow's artifact view.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from data.goals import Goal, Goals
from data.ledger.summary import place_told, source_told
from data.records import JsonDict
from data.wording import figure, shown_unit
from models.spaces.base import BaseSpace, Fact
from tasks.reporting.nearest import Nearest
from tasks.reporting.page_cells import (
    Cell,
    Column,
    Objective,
    Scale,
    finite,
    first_click,
    heading,
    level_cell,
    missing,
    number_cell,
    predicted_cell,
    strip,
    value_cell,
)
from tasks.reporting.page_exports import Parts, packed
from tasks.reporting.page_filters import FAMILY, choices, families, motifs, ranges
from tasks.reporting.page_tiles import tiles
from tasks.reporting.page_verdict import Verdict
from tasks.reporting.templates import resource, template

_FILTERS = {"round": "Round", "arm": "Arm", "source": "Source", "state": "State"}
_ALSO = {"front": "Front", "limits": "Limits"}

QUESTIONS = {
    "graph": "What acts on what?",
    "control": "Did it beat the control?",
    "trust": "Can the predictions be trusted?",
    "origin": "Where do candidates come from?",
}
"""What the folded sections answer, by key."""

PLAIN = Goals([Goal("value")])
"""What is wanted where nothing more is known."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture of the page.

    Attributes:
        caption: below it.
        drawing: path of a PNG or SVG file, the text of an SVG, or markup that is put into the page as it is.
        question: key of the section that it belongs to.
    """

    caption: str
    drawing: str | Path | Markup
    question: str = "control"


def candidates_page(
    rows: Sequence[JsonDict],
    *,
    space: BaseSpace[Any],
    title: str,
    subtitle: str = "",
    verdict: Verdict | None = None,
    total: int | None = None,
    summary: Mapping[str, Any] | None = None,
    goals: Goals = PLAIN,
    plots: Sequence[Plot] = (),
    findings: Sequence[tuple[str, str]] = (),
    sources: Sequence[Sequence[str]] = (),
    said: Sequence[str] = (),
    lineages: Sequence[Markup] = (),
    levels: Sequence[Column] = (),
    nearest: Mapping[str, Nearest] | None = None,
    parts: Parts | None = None,
    made_by: Sequence[tuple[str, str]] = (),
    settings: str = "",
) -> str:
    """Return the page as text; the same arguments give the same bytes.

    Args:
        rows: candidates, the best first: their order is the rank. Keys: `id`, `object`, `value` (None while
            unmeasured), `round`, `arm`, `source`, `predicted_mean`, `predicted_std`, `novelty`, `state`, `error`;
            optional `message`, `unit`, `score`, `since` (when an answer that is waited for was asked) and the facts of
            the space, shown where any row has them. Of several objectives or limits also the columns of
            `tasks.reporting.objectives`.
        space: of the candidates: draws them and says what its facts are called.
        title: heading, usually the campaign's name.
        subtitle: one sentence below it.
        verdict: what is said first.
        total: candidates of the campaign; None: all are on the page.
        summary: figures by name: `best`, `top10_mean`, `initial_best`, `acquisition_mean`,
            `control_mean` (of the main objective), `calls` and `budget` (shown as one), `failed`, `rounds`; of several
            objectives `best_of` (a mapping) and what else `RoundSummary` has of them; any other name is shown as it is
            called. None is left out.
        goals: of the campaign, with units: names of the values, and which way is better.
        plots: pictures, each in the section of its question.
        findings: (`good`, `unknown` or `warning`; what was found and what to do) of the campaign's health.
        sources: a row of texts per generator: name, proposed, passed, bought, mean, best, hits, families of hits.
        said: sentences on what was bought and what screens refused, below that table.
        lineages: how candidates came to be, as `tasks.reporting.page_lineage` makes them.
        levels: columns of the values at cheaper levels, named as the keys of rows that have them.
        nearest: id of a candidate -> the known object that its novelty is measured from.
        parts: of the files that the page can make of its rows; None: it makes none.
        made_by: name and text of what the campaign was made with, such as its seed and versions.
        settings: the campaign's configuration as text.

    Raises:
        ValueError: a plot is neither PNG nor SVG.
    """
    rows = [{**row, "source": source_told(row.get("source"), row.get("origin"))} for row in rows]
    facts = {key: fact for key, fact in space.facts.items() if any(finite(row.get(key)) for row in rows)}
    if not goals.plain:
        rows = [{**row, **_standing(row, goals)} for row in rows]
    several = Objective.all(goals, rows) if len(goals) > 1 else []
    scale = Scale.of(rows)
    filters = _FILTERS if goals.plain else _FILTERS | _ALSO
    script = Markup(resource("candidates.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    family, own_families = families(rows, space)
    numbers, contained = ranges(rows, goals, facts), motifs(rows, space)
    figures = tiles(summary or {}, goals)
    known = _Known.of(rows, nearest or {}, space)
    written = [
        _row(rank, row, goals, scale, several, facts, space, [key for key in filters if key != "state"], known, levels)
        for rank, row in enumerate(rows, start=1)
    ]
    for at, row in enumerate(written):
        row["facets"] |= {FAMILY: own_families[at]} if own_families else {}
        row["facets"] |= {"motifs": contained.bits[at]} if contained.bits else {}
        row["facets"] |= {"numbers": ";".join(one.texts[at] for one in numbers)} if numbers else {}
    return template("candidates.html").render(
        title=title,
        subtitle=subtitle,
        verdict=verdict,
        first=[*figures["first"], *(verdict.tiles if verdict else ())],
        figures=figures,
        questions=_asked(figures, plots, findings, [*sources, *said, *lineages]),
        lineages=lineages,
        sources=sources,
        measured_of=f" {goals.main.name.replace('_', ' ')}" if several else "",
        said=said,
        findings=findings,
        columns=_columns(goals, several, facts, space, levels),
        rows=written,
        counted=_counted(len(rows), max(total or 0, len(rows)), space),
        filters=[*choices(rows, filters), *([family] if family else [])],
        ranges=numbers,
        motifs=contained.found,
        motifs_told=space.motifs_told,
        known=known.drawn,
        files=[(ending, ending.upper()) for ending in parts or {}],
        parts=packed(parts) if parts else "",
        notes=_notes(goals, space),
        made_by=made_by,
        settings=settings,
        text_name=space.text_name,
        family_name=space.family_name,
        style=Markup(resource("candidates.css") + ("" if goals.plain else resource("objectives.css"))),
        script=script,
        script_hash=f"sha256-{digest}",
    )


def _asked(
    figures: Mapping[str, Sequence[Any]],
    plots: Sequence[Plot],
    findings: Sequence[Any],
    origins: Sequence[Any],
) -> list[dict[str, Any]]:
    """Return the questions that the page has something to say on, each with its pictures."""
    drawn: dict[str, list[dict[str, Any]]] = {key: [] for key in QUESTIONS}
    for plot in plots:
        drawn[plot.question].append({"caption": plot.caption, "html": _picture(plot)})
    there = {"graph": False, "control": False, "trust": bool(findings), "origin": bool(origins)}
    return [
        {"key": key, "text": text, "plots": drawn[key]}
        for key, text in QUESTIONS.items()
        if there[key] or figures[key] or drawn[key]
    ]


def _counted(shown: int, total: int, space: BaseSpace[Any]) -> str:
    part = f" {LISTED} are listed at first, scrolling, “Show more” and printing list all." if shown > LISTED else ""
    if shown == total:
        return f"All {total:,} candidates are on this page.{part}" if total > 1 else ""
    return f"{shown:,} of {total:,} candidates are on this page, the best first; `discover candidates` has all.{part}"


LISTED = 100
"""Rows that the page lists at first: `STEP` of its script."""


@dataclass(frozen=True, slots=True)
class _Known:
    """The nearest known objects of the rows of a page.

    Attributes:
        nearest: by the id of a row.
        places: id of a known object -> the element that has its drawing.
        drawn: element and drawing of those that are no rows of the page.
    """

    nearest: Mapping[str, Nearest]
    places: Mapping[str, str]
    drawn: tuple[tuple[str, Markup], ...]

    @staticmethod
    def of(rows: Sequence[JsonDict], nearest: Mapping[str, Nearest], space: BaseSpace[Any]) -> _Known:
        places = {str(row["id"]): f"c{rank}" for rank, row in enumerate(rows, start=1)}
        drawn: list[tuple[str, Markup]] = []
        for row in rows:
            near = nearest.get(row["id"])
            if near is not None and near.row.id not in places:
                picture = picture_of(near.row.object, space)
                places[near.row.id] = f"k{len(drawn) + 1}" if picture else ""
                drawn += [(places[near.row.id], picture)] if picture else []
        return _Known(nearest, places, tuple(drawn))

    def cell(self, row: JsonDict, unit: str, family: str) -> Cell:
        """Return the novelty of a row, and in it the known object that it is measured from."""
        plain = number_cell(row.get("novelty"), "{:.2f}".format)
        near = self.nearest.get(str(row.get("id")))
        if near is None:
            return plain
        where = place_told(near.row)
        value = "" if near.row.value is None else f"{figure(near.row.value)} {unit}".strip().replace("-", "−") + ", "
        same = (f", same {family}" if near.same_family else "") + (", the common part marked" if near.core else "")
        places = " ".join(f"{x:.0f},{y:.0f}" for x, y in near.core)
        core = Markup(' data-core="{}"').format(places) if places else ""
        html = Markup(
            '<details class="near" data-like="{}"{}><summary>{}</summary><div><span>Nearest then known, similarity '
            "{:.2f}{}</span><code>{}</code><span>{}{}</span></div></details>"
        ).format(
            self.places.get(near.row.id, ""), core, plain.html, near.similarity, same, near.row.object, value, where
        )
        return Cell(plain.sort, html)


def _standing(row: JsonDict, goals: Goals) -> JsonDict:
    """Return whether a candidate keeps to the limits and is on the front, in the words of the filters."""
    feasible, front = row.get("feasible"), row.get("front")
    limits = "" if feasible is None else "kept" if feasible else "broken"
    place = "" if front is None else "on it" if front else "behind it"
    return ({"limits": limits} if goals.limited else {}) | ({"front": place} if goals.several else {})


def _columns(
    goals: Goals,
    several: Sequence[Objective],
    facts: Mapping[str, Fact],
    space: BaseSpace[Any],
    levels: Sequence[Column],
) -> list[Column]:
    main, unit = goals.main, shown_unit(goals.main.unit)
    measured = [column for one in several for column in one.columns()] or [
        Column("value", heading(main), first_click(main), unit),
        Column("predicted", "Predicted", first_click(main), unit),
        Column("strip-cell", "Measured on predicted", ""),
    ]
    return [
        Column("rank", "#", "ascending"),
        *([Column("structure", "Structure", "")] if space.draws() else []),
        *measured,
        *levels,
        *([Column("front", "Front")] if goals.several else []),
        Column("novelty", "Novelty"),
        *[Column(key, fact.label, "ascending") for key, fact in facts.items()],
        Column("round", "Round"),
        Column("arm", "Arm", "ascending"),
        Column("source", "Source", "ascending"),
        Column("smiles", f"{space.text_name} and id", "ascending"),
    ]


def _row(
    rank: int,
    row: JsonDict,
    goals: Goals,
    scale: Scale,
    several: Sequence[Objective],
    facts: Mapping[str, Fact],
    space: BaseSpace[Any],
    facets: Sequence[str],
    known: _Known,
    levels: Sequence[Column],
) -> dict[str, Any]:
    obj = str(row["object"])
    picture = picture_of(obj, space) or missing("not drawable")
    arm = str(row.get("arm") or "")
    unit = shown_unit(str(row.get("unit") or goals.main.unit))
    cells = {
        "rank": Cell(None, Markup(str(rank))),
        "structure": Cell("", picture),
        "value": value_cell(row, unit, goals.main),
        "predicted": predicted_cell(row, goals.main),
        "strip-cell": Cell("", strip(row, scale)),
        **{name: cell for one in several for name, cell in one.cells(row).items()},
        "front": _on_front(str(row.get("front") or "")),
        "novelty": known.cell(row, unit, space.family_name),
        "round": number_cell(row.get("round"), "{:.0f}".format),
        "arm": Cell(None, Markup('<span class="arm-{0}">{0}</span>').format(arm)) if arm else Cell("", missing("–")),
        "source": Cell(None, Markup("{}").format(row["source"])) if row.get("source") else Cell("", missing("–")),
        "smiles": Cell(None, _identity(row, space)),
        **{column.name: level_cell(row, column.name) for column in levels},
        **{key: number_cell(row.get(key), f"{{:.{fact.digits}f}}".format) for key, fact in facts.items()},
    }
    told = {key: "" if row.get(key) is None else str(row[key]) for key in facets}
    return {"rank": rank, "state": str(row.get("state") or ""), "facets": told, "cells": cells}


def picture_of(obj: str, space: BaseSpace[Any]) -> Markup:
    """Return the drawing of an object without what the page or its style sheet says; empty where there is none."""
    drawn = space.draw(obj) or ""
    for said in (' xmlns="http://www.w3.org/2000/svg"', ' stroke-width="1.5" stroke-linecap="round"'):
        drawn = drawn.replace(said, "", 1)
    return Markup(_COLOUR.sub(r"\1", drawn))


_COLOUR = re.compile(r'(<path class="mol-\w+") (?:stroke|fill)="#[0-9A-F]{6}"')
"""Colour of a line or a letter whose class says it."""


def _on_front(told: str) -> Cell:
    if told == "on it":
        return Cell("1", Markup('<span class="on-front">front</span>'))
    return Cell("0" if told else "", missing("–"))


def _identity(row: JsonDict, space: BaseSpace[Any]) -> Markup:
    """Return text and id, the compound where the space names it, and which other rows are the same compound."""
    parts = Markup("<code>{}</code><code>{}</code>").format(row["object"], row.get("id") or "")
    if space.compound_column and row.get("compound") and row["compound"] != row.get("id"):
        parts += Markup("<code>{}</code>").format(row["compound"])
    if row.get("never_learnt"):
        parts += Markup('<span class="odd">Never learnt: {} what the others alone predict</span>').format(
            row["never_learnt"]
        )
    if row.get("same_compound"):
        parts += Markup('<span class="same">Same {} as {}</span>').format(space.compound_name, row["same_compound"])
    return parts


def _notes(goals: Goals, space: BaseSpace[Any]) -> str:
    unit = shown_unit(goals.main.unit) if len(goals) == 1 else ""
    notes = [fact.note for fact in space.facts.values() if fact.note]
    if goals.several:
        notes.append(_RANKS)
    if goals.limited:
        notes.append("What breaks a limit ranks behind all that keep to them, and is in no figure of the best.")
    return (
        "Measured: the oracle's answer, the mean where it was asked several times. Predicted: mean and, in brackets, "
        "the ends of the 90 % interval of a new measurement, by the proxy that the candidate was chosen with"
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


def _picture(plot: Plot) -> Markup:
    if isinstance(plot.drawing, Markup):
        return plot.drawing
    return Markup('<img src="{}" alt="{}">').format(_data_uri(plot.caption, plot.drawing), plot.caption)


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
