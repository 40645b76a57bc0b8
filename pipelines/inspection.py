"""Reading a campaign: status, candidates, and the small repairs a person may have to make."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.ledger.book import settle
from data.ledger.campaigns import Campaign
from data.ledger.summary import ranked
from data.records import JsonDict
from data.wording import figure, labelled, spread
from models.parts import space_of
from models.spaces.base import BaseSpace
from models.spaces.columns import COLUMNS, compound_of, with_compounds
from models.spaces.columns import exported as exported_row
from pipelines.exports import format_of, written
from pipelines.terminal import Terminal
from tasks.workspace import Workspace, WorkspaceError, writing


def exported(workspace: Workspace, name: str, top: int | None = None) -> list[JsonDict]:
    """Return a campaign's candidates best first, with the columns of its space."""
    ledger = workspace.ledger()
    campaign = ledger.campaign(name)
    unit, space = unit_of(workspace, campaign), space_of(campaign.config)
    if top is None:
        rows = ranked(ledger.candidates(campaign.id), maximise=campaign.maximise)
        told = with_compounds(rows, space)
    else:
        rows = ledger.top(campaign.id, top, maximise=campaign.maximise)
        same = ledger.same_compounds(campaign.id, {compound_of(row, space) for row in rows} - {""})
        told = with_compounds(rows, space, ranked(same, maximise=campaign.maximise))
    return [exported_row({**row._asdict(), "unit": unit}, COLUMNS, space) for row in told]


def unit_of(workspace: Workspace, campaign: Campaign) -> str:
    """Return the unit of the campaign's values."""
    from models.registry import build  # imports the oracles, not torch

    return str(build("oracle", campaign.config.objective.oracle).unit)


def export_candidates(
    workspace: Workspace, name: str, top: int | None, format: str, out: Path | None, console: Terminal
) -> None:
    """Print or write a campaign's candidates; a file is of the format that is asked for, else of its name's ending.

    Raises:
        ConfigError: `top` is not positive, or the campaign's objects are not written in the format that is asked for.
        LedgerError: no such campaign.
        WorkspaceError: the file cannot be written, or is one that must not be overwritten.
    """
    if top is not None and top < 1:
        from data.config import ConfigError

        raise ConfigError(f"--top is {top}; expected at least 1, or leave it out to have all candidates.")
    if out is not None:
        _refuse_precious(workspace, name, out)
    space = space_of(workspace.ledger().campaign(name).config)
    form = format_of(None if format == "table" else format, None if out is None else str(out), space)
    rows = exported(workspace, name, top)
    if out is not None:
        with writing(out):
            out.write_text(written(rows, form, space), encoding="utf-8", newline="")
        console.say(f"{len(rows)} candidates written to {out}")
    elif format == "table":
        show_candidates(rows, console, space)
    else:
        console.raw(written(rows, form, space))


def _refuse_precious(workspace: Workspace, name: str, out: Path) -> None:
    """Refuse to write candidates over what they were made from.

    Raises:
        WorkspaceError: the file is in the workspace, is a folder, or is one of the campaign's own files.
    """
    file = out.expanduser().resolve()
    campaign = workspace.ledger().campaign(name)
    what = ""
    if file.is_dir():
        what = "a folder"
    elif file.is_relative_to(workspace.home.resolve()):
        what = f"in the workspace {workspace.home}, whose files are the program's"
    elif file.exists() and (file in _named_files(campaign) or _is_of_campaign(file, campaign)):
        what = f"a file of campaign {name} itself"
    if what:
        raise WorkspaceError(f"--out is {out}, which is {what}. Nothing was written; name another file.")


def _named_files(campaign: Campaign) -> set[Path]:
    """Return what the texts of a campaign's configuration would be as files."""
    found: set[Path] = set()
    open_values: list[object] = [json.loads(campaign.stored)]
    while open_values:
        value = open_values.pop()
        if isinstance(value, dict):
            open_values += value.values()
        elif isinstance(value, list):
            open_values += value
        elif isinstance(value, str) and value and "\0" not in value:
            found.add((campaign.base / value).resolve())
    return found


def _is_of_campaign(file: Path, campaign: Campaign) -> bool:
    """Return whether a file is a campaign file or a program in the campaign's folder, such as its oracle."""
    sources = {".py", ".yaml", ".yml"}
    return file.suffix.lower() in sources and file.is_relative_to(campaign.base.resolve())


def show_candidates(rows: list[JsonDict], console: Terminal, space: BaseSpace[Any]) -> None:
    """Print candidates as a table, or as blocks of lines where a table does not fit; ids where there is room."""
    unit = rows[0]["unit"] if rows else ""
    ranks = {row["id"]: rank for rank, row in enumerate(rows, start=1)}
    headers = ["", labelled("value", unit), "predicted", "round", "arm", "source", "id", space.text_name, "note"]
    lines = []
    for rank, row in enumerate(rows, start=1):
        value = row["state"].replace("_", " ") if row["value"] is None else figure(row["value"])
        predicted = spread(row["predicted_mean"], row["predicted_std"])
        note = "; ".join(filter(None, (_reason(row), _same_compound(row, ranks))))
        text = row[space.column]
        lines.append([str(rank), value, predicted, str(row["round"]), row["arm"], row["source"], row["id"], text, note])
    left_out = set() if any(line[_NOTE] for line in lines) else {_NOTE}
    columns = _columns(headers, lines, left_out | {_ID})
    every = _columns(headers, lines, left_out)
    # Ids have their place where there is room, and where there is no room for a table at all.
    if not console.fits(*every) and console.fits(*columns):
        every = columns
    console.records(*every, numbers=(0, 1, 2, 3))


_ID, _TEXT, _NOTE = 6, 7, 8


def _columns(
    headers: list[str], lines: list[list[str]], left_out: set[int]
) -> tuple[list[str], list[list[str]], list[int]]:
    """Return headers and rows without some columns, and the positions of the columns that may wrap."""
    kept = [position for position in range(len(headers)) if position not in left_out]
    long = [place for place, position in enumerate(kept) if position in (_TEXT, _NOTE)]
    return [headers[i] for i in kept], [[line[i] for i in kept] for line in lines], long


def _reason(row: JsonDict) -> str:
    """Return why a candidate has no value, as far as somebody said so."""
    return "" if row["value"] is not None else ": ".join(filter(None, (row["error"], row["message"])))


def _same_compound(row: JsonDict, ranks: Mapping[str, int]) -> str:
    others = row["same_compound"].split()
    told = [f"#{ranks[other]}" if other in ranks else other for other in others]
    return f"same compound as {', '.join(told)}" if told else ""


def settle_call(
    workspace: Workspace, name: str, candidate: str, value: float | None, abandon: bool, console: Terminal
) -> None:
    """Settle a call that is in doubt.

    Raises:
        BadInput: neither or both of value and abandon are given, or the value is no number to learn from.
        BadInput: the oracle's answer is known, and waits for the next run.
        LedgerError: no such call is in doubt.
    """
    from data.records import LARGEST_VALUE
    from tasks.oracles.undelivered import answer_for
    from tasks.stages import BadInput

    if (value is None) == (not abandon):
        raise BadInput("Say what became of the call: --value X with what was measured, or --abandon. Not both.")
    if value is not None and not abs(value) <= LARGEST_VALUE:
        raise BadInput(
            f"--value is {value}; expected a finite number of at most {LARGEST_VALUE:g}, or --abandon for a call "
            "without one."
        )
    kept = answer_for(workspace, name, candidate)
    if kept is not None:
        answer, file = kept
        raise BadInput(
            f"The oracle answered for {candidate}: {answer.error or figure(answer.value)}. The ledger did not take it "
            f"at that time, and {file} keeps it: `discover run` enters it, and nothing is to be settled. If you know "
            "better, move that file away and give the same command again."
        )
    ledger = workspace.ledger()
    settle(ledger, name, candidate, value)
    console.say(f"{candidate} is settled. `discover run` goes on.")
