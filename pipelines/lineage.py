"""`discover lineage`: how a candidate came to be, in the terminal, as a figure or as a table."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.config import ConfigError
from data.goals import Goals
from data.objects import NotStandardError
from data.records import CandidateRow
from models.parts import space_of
from models.spaces.base import BaseSpace
from pipelines.exports import FORMS
from pipelines.terminal import Terminal
from tasks.lineage import Lineage, Lineages
from tasks.reporting.lineage import (
    COLUMNS,
    bought_told,
    columns,
    lineage_told,
    made_told,
    predicted_told,
    table_of,
    value_told,
)
from tasks.reporting.objectives import goals_with_units
from tasks.stages import BadInput, CampaignContext
from tasks.workspace import Workspace, WorkspaceError, writing

PICTURES = (".svg", ".png")
ENDINGS = (*PICTURES, *(f".{form}" for form in FORMS))


def show_lineage(workspace: Workspace, name: str, candidate: str, out: Path | None, console: Terminal) -> None:
    """Print how a candidate came to be, or write it into a file.

    Args:
        workspace: where the campaign is.
        name: of the campaign; NAME~2 is the second of a name that was begun anew.
        candidate: its id or an unambiguous beginning of it, its text in any spelling, or its rank.
        out: a file to write: a figure (SVG, PNG), or a table of all ancestors (CSV, JSON); None: it is printed.
        console: where it is told.

    Raises:
        ConfigError: the file is of no such kind.
        BadInput: there is no such candidate, or there are several.
        LedgerError: there is no such campaign.
        WorkspaceError: the file cannot be written.
    """
    if out is not None:
        refuse_out(out, workspace, COLUMNS)
    ledger = workspace.ledger()
    with CampaignContext(workspace, ledger, ledger.campaign_of(name)) as context:
        goals, space = goals_with_units(context.config), space_of(context.config)
        rows = goals.ranked(ledger.candidates(context.campaign.id))
        found = found_candidate(rows, candidate, space, name)
        lineage = Lineages(context, rows).of(found)
    rank = rows.index(found) + 1
    if out is None:
        _print(lineage, rank, space, goals, console)
        return
    content = _content(lineage, f"{name} #{rank}, {found.id}", space, goals, out.suffix.lower())
    with writing(out):
        out.write_bytes(content)
    console.say(f"Lineage     {out}")


def found_candidate(rows: Sequence[CandidateRow], told: str, space: BaseSpace[Any], name: str) -> CandidateRow:
    """Return the candidate that is meant by a text.

    Args:
        rows: candidates, best first.
        told: its id, its text, its rank with or without `#`, an unambiguous beginning of its id, or another spelling of
            its text; tried in this order.
        space: of the objects.
        name: of the campaign.

    Raises:
        BadInput: it means none, or several.
    """
    for row in rows:
        if told in (row.id, row.object):
            return row
    rank = told.removeprefix("#")
    if rank.isascii() and rank.isdigit():
        return _ranked(rows, int(rank), told, name)
    begun = [row for row in rows if told and row.id.startswith(told)]
    if len(begun) == 1:
        return begun[0]
    try:
        identity = space.identity(space.standard(told))
    except (NotStandardError, ValueError):
        identity = ""
    meant = [row for row in rows if row.id == identity]
    if meant:
        return meant[0]
    if begun:
        ids = ", ".join(row.id for row in begun[:3]) + (" ..." if len(begun) > 3 else "")
        raise BadInput(
            f"The ids of {len(begun)} candidates of {name} begin with {_quoted(told)}: {ids}. Give more of the id."
        )
    what = f"which is a {space.nouns[0]} that was not bought" if identity else f"which is no {space.nouns[0]} and no id"
    raise BadInput(
        f"Campaign {name} has no candidate {_quoted(told)}, {what}. Expected an id or its beginning, the "
        f"{space.text_name} of a candidate, or its rank, such as 1; `discover candidates {name}` lists them."
    )


def _ranked(rows: Sequence[CandidateRow], rank: int, told: str, name: str) -> CandidateRow:
    if not 1 <= rank <= len(rows):
        has = f"ranks 1 to {len(rows)}" if rows else "no candidates yet"
        raise BadInput(
            f"Campaign {name} has no candidate of rank {_quoted(told)}; it has {has}. `discover candidates {name}` "
            "lists them."
        )
    return rows[rank - 1]


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def _print(lineage: Lineage, rank: int, space: BaseSpace[Any], goals: Goals, console: Terminal) -> None:
    candidate = lineage.candidate
    console.say((f"#{rank}  ", "bold"), candidate.id)
    for sentence in lineage_told(lineage, space):
        console.say(sentence, whole=False)
    room = len(str(len(lineage.line)))
    for number, step in enumerate(lineage.line, start=1):
        console.say()
        console.say((f"{number:>{room}}  ", "bold"), step.object)
        facts = [value_told(step, goals), bought_told(step)]
        predicted = predicted_told(step, goals)
        facts += [f"predicted {predicted}"] if predicted else []
        for line in (made_told(step, lineage.partners(step)), ", ".join(filter(None, facts))):
            console.say(f"{'':{room}}  {line}")


def _content(lineage: Lineage, title: str, space: BaseSpace[Any], goals: Goals, ending: str) -> bytes:
    if ending == ".json":
        rows = [{**row, "parents": row["parents"].split()} for row in table_of(lineage, goals)]
        return (json.dumps(rows, indent=1) + "\n").encode()
    if ending == ".csv":
        return FORMS["csv"](table_of(lineage, goals), columns(goals)).encode()
    from tasks.reporting import plots
    from tasks.reporting.lineage_plot import lineage_plot, lineage_svg

    figure = lineage_plot(lineage, space, goals, title)
    return lineage_svg(figure).encode() if ending == ".svg" else plots.png(figure)


def refuse_out(out: Path, workspace: Workspace, columns: Sequence[str]) -> None:
    """Refuse a file that is neither figure nor table, a folder, the program's own, or a table of something else.

    Args:
        out: the file.
        workspace: whose files are the program's.
        columns: of the table that is to be written.

    Raises:
        ConfigError: its name says that it is neither.
        WorkspaceError: it is a folder, inside the workspace, or a table with other columns, which may hold results.
    """
    if out.suffix.lower() not in ENDINGS:
        raise ConfigError(f"--out is {out}; expected a file that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}.")
    file = out.expanduser().resolve()
    if file.is_dir() or file.is_relative_to(workspace.home.resolve()):
        what = "a folder" if file.is_dir() else f"in the workspace {workspace.home}, whose files are the program's"
        raise WorkspaceError(f"--out is {out}, which is {what}. Nothing was written; name another file.")
    if file.is_file() and out.suffix.lower() not in PICTURES and not _begins_with(file, columns):
        raise WorkspaceError(
            f"--out is {out}, which exists and is no table that this command wrote; it may hold results. Nothing was "
            "written; name another file."
        )


def _begins_with(file: Path, columns: Sequence[str]) -> bool:
    with file.open(encoding="utf-8", errors="replace") as opened:
        beginning = opened.read(4096)
    return re.findall(r"\w+", beginning)[: len(columns)] == list(columns) or (
        beginning.startswith("[") and all(f'"{name}":' in beginning for name in columns)
    )
