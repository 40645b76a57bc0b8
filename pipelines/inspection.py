"""Reading a campaign: status, candidates, and the small repairs a person may have to make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from data.goals import Goals
from data.ledger.book import settle
from data.ledger.campaigns import Campaign
from data.ledger.health import Z90
from data.ledger.ledger import Ledger
from data.ledger.summary import source_told
from data.never_learnt import never_of, residual_told
from data.readings import Reading, oracles_of
from data.records import CallState, JsonDict
from data.wording import counted, figure, interval, labelled
from models.parts import space_of
from models.spaces.base import BaseSpace
from models.spaces.columns import COLUMNS, columns_of, compound_of, with_compounds
from models.spaces.columns import exported as exported_row
from pipelines.conditions import Kind, chosen_columns, conditions_of, kinds_of, selected, shown
from pipelines.exports import FORMS, format_of, written
from pipelines.terminal import Terminal
from tasks.reporting.objectives import (
    cells_of,
    column_of,
    columns_with,
    front_of,
    goals_with_units,
    lacking,
    limits_broken,
    reason_told,
)
from tasks.workspace import Workspace, WorkspaceError, writing


def exported(workspace: Workspace, name: str, top: int | None = None, *, pareto: bool = False) -> list[JsonDict]:
    """Return a campaign's candidates best first, with the columns of its space and of its objectives.

    Args:
        workspace: where the campaign is.
        name: of the campaign.
        top: only the first so many.
        pareto: only those that no other dominates.
    """
    ledger = workspace.ledger()
    return exported_of(ledger, ledger.campaign_of(name), top, pareto=pareto)


def exported_of(ledger: Ledger, campaign: Campaign, top: int | None = None, *, pareto: bool = False) -> list[JsonDict]:
    """Return the candidates of a campaign, or of an earlier generation of it, as `exported` does."""
    goals, space = goals_with_units(campaign.config), space_of(campaign.config)
    front: frozenset[str] = frozenset()
    if top is None or not goals.plain:
        rows = every = goals.ranked(ledger.candidates(campaign.id))
        front = front_of(rows, goals)
        rows = [row for row in rows if row.id in front or not pareto][:top]
    else:
        rows = ledger.top(campaign.id, top, goals)
        every = goals.ranked(ledger.same_compounds(campaign.id, {compound_of(row, space) for row in rows} - {""}))
    told = with_compounds(rows, space, every)
    columns = columns_with(COLUMNS, goals, campaign.readings)
    return [exported_row(cells_of(row, goals, front), columns, space) for row in told]


def export_candidates(
    workspace: Workspace,
    name: str,
    top: int | None,
    format: str,
    out: Path | None,
    console: Terminal,
    *,
    pareto: bool = False,
    named: str | None = None,
    where: Sequence[str] = (),
) -> None:
    """Print or write a campaign's candidates; a file is of the format that is asked for, else of its name's ending.

    Args:
        workspace: where the campaign is.
        name: of the campaign.
        top: only the first so many, of those that meet all conditions.
        format: of a file, or `table`.
        out: file to write; None: it is printed.
        console: where it is printed.
        pareto: only those that no other dominates.
        named: columns with commas between; None: all.
        where: conditions; how many candidates do not meet them is said on standard error.

    Raises:
        ConfigError: `top` is not positive, the campaign's objects are not written in the format that is asked for, or
            its front is asked for and it improves one objective only; or there is no such column, or no such condition.
        LedgerError: no such campaign.
        WorkspaceError: the file cannot be written, or is one that must not be overwritten.
    """
    from data.config import ConfigError

    if top is not None and top < 1:
        raise ConfigError(f"--top is {top}; expected at least 1, or leave it out to have all candidates.")
    if out is not None:
        _refuse_precious(workspace, name, out)
    config = workspace.ledger().campaign_of(name).config
    space, goals = space_of(config), goals_with_units(config)
    if pareto and not goals.several:
        _refuse_front(name, goals)
    form = format_of(None if format == "table" else format, None if out is None else str(out), space)
    columns = columns_with(COLUMNS, goals, config.readings)
    every = columns_of(columns, space)
    chosen = None if named is None else chosen_columns(named, every)
    if chosen is not None and form not in FORMS:
        raise ConfigError(
            f"--columns is for {', '.join(['the table', *FORMS])}; {form} has a fixed form. Leave it out."
        )
    rows = exported(workspace, name, None if where else top, pareto=pareto)
    if where:
        rows, told = selected(rows, conditions_of(where, kinds_of(every, rows, space)))
        rows = rows[:top]
        Terminal(stderr=True).say(told)
    shown_rows = rows if chosen is None else [{column: row[column] for column in chosen} for row in rows]
    if format == "table" and out is None:
        if chosen is None:
            ledger = workspace.ledger()
            show_candidates(rows, console, space, goals, never_of(ledger.stages(ledger.campaign_of(name).id)))
        else:
            _show_columns(shown_rows, chosen, console, space)
        return
    text = written(rows, form, space, columns) if chosen is None else FORMS[form](shown_rows, chosen)
    if out is None:
        console.raw(text)
        return
    with writing(out):
        out.write_text(text, encoding="utf-8", newline="")
    console.say(f"{counted(len(rows), 'candidate')} written to {out}")


def _show_columns(rows: Sequence[JsonDict], columns: Sequence[str], console: Terminal, space: BaseSpace[Any]) -> None:
    kinds = kinds_of(columns, rows, space)
    lines = [[shown(row[column]) for column in columns] for row in rows]
    numbers = [place for place, column in enumerate(columns) if kinds[column] is not Kind.TEXT]
    console.records(columns, lines, [place for place in range(len(columns)) if place not in numbers], numbers=numbers)


def _refuse_front(name: str, goals: Goals) -> None:
    from data.config import ConfigError

    raise ConfigError(
        f"--pareto is for campaigns that improve several objectives; {name} improves one: {goals.main.told}. Leave it "
        "out, and the candidates come best first."
    )


def _refuse_precious(workspace: Workspace, name: str, out: Path) -> None:
    """Refuse to write candidates over what they were made from.

    Raises:
        WorkspaceError: the file is in the workspace, is a folder, or is one of the campaign's own files.
    """
    file = out.expanduser().resolve()
    campaign = workspace.ledger().campaign_of(name)
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


def show_candidates(
    rows: list[JsonDict],
    console: Terminal,
    space: BaseSpace[Any],
    goals: Goals,
    never: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Print candidates as a table, or as blocks of lines where a table does not fit; ids where there is room.

    `never`: id -> residual, of those that the proxy never learnt.
    """
    ranks = {row["id"]: rank for rank, row in enumerate(rows, start=1)}
    measured = [header for one in _objectives(goals) for header in one.headers]
    headers = ["", *measured, "round", "arm", "source", "id", space.text_name, "note"]
    lines = []
    for rank, row in enumerate(rows, start=1):
        figures = [cell for one in _objectives(goals) for cell in one.cells(row)]
        odd = (
            f"never learnt: {residual_told(never[row['id']])} what the others alone predict"
            if row["id"] in never
            else ""
        )
        note = "; ".join(filter(None, (_reason(row, goals), _limits(row, goals), _same_compound(row, ranks), odd)))
        text = row[space.column]
        lines.append(
            [
                str(rank),
                *figures,
                str(row["round"]),
                row["arm"],
                source_told(row["source"], row["origin"]),
                row["id"],
                text,
                note,
            ]
        )
    ids, notes = len(headers) - 3, len(headers) - 1
    left_out = set() if any(line[notes] for line in lines) else {notes}
    columns = _columns(headers, lines, left_out | {ids})
    every = _columns(headers, lines, left_out)
    # Ids have their place where there is room, and where there is no room for a table at all.
    if not console.fits(*every) and console.fits(*columns):
        every = columns
    console.records(*every, numbers=range(headers.index("round") + 1))


_WORDS = {
    "proposed": "not measured",
    CallState.RESERVED: "not sent yet",
    CallState.SUBMITTED: "no answer yet",
    CallState.ABANDONED: "given up",
}
"""What is said of a call without a value, where the ledger's word is not what a chemist would say."""


@dataclass(frozen=True)
class _Objective:
    """Two columns of the table of candidates: what was measured of an objective, and what was predicted."""

    headers: tuple[str, str]
    prefix: str
    main: bool
    """Says what became of a call without a value."""

    def cells(self, row: JsonDict) -> list[str]:
        value, mean, std = (row[f"{self.prefix}{name}"] for name in ("value", "predicted_mean", "predicted_std"))
        missing = _word(row) if self.main else "-"
        predicted = "" if mean is None else interval(mean, None if std is None else Z90 * std)
        return [missing if value is None else figure(value), predicted]


def _objectives(goals: Goals) -> list[_Objective]:
    if len(goals) == 1:
        return [_Objective((labelled("value", goals.main.unit), "predicted (90 %)"), "", main=True)]
    return [
        _Objective(
            (labelled(goal.name, goal.unit), f"{goal.name} predicted (90 %)"), column_of(goal, ""), goal is goals.main
        )
        for goal in goals
    ]


def _columns(
    headers: list[str], lines: list[list[str]], left_out: set[int]
) -> tuple[list[str], list[list[str]], list[int]]:
    """Return headers and rows without some columns, and the positions of the columns that may wrap."""
    kept = [position for position in range(len(headers)) if position not in left_out]
    wrapping = (len(headers) - 2, len(headers) - 1)
    long = [place for place, position in enumerate(kept) if position in wrapping]
    return [headers[i] for i in kept], [[line[i] for i in kept] for line in lines], long


def _limits(row: JsonDict, goals: Goals) -> str:
    """Return which limits a candidate breaks."""
    if row.get("feasible") is not False:
        return ""
    single = len(goals) == 1
    values = {goal.name: row["value" if single else column_of(goal, "value")] for goal in goals}
    return f"outside the limits: {', '.join(limits_broken(values, goals))}"


def _word(row: JsonDict) -> str:
    """Return what became of the calls of a candidate."""
    return str(_WORDS.get(row["state"], row["state"].replace("_", " ")))


def _reason(row: JsonDict, goals: Goals) -> str:
    """Return why a candidate has no value, or not all, as far as somebody said so."""
    if row["value"] is None:
        return reason_told(row)
    names, reason = lacking(row, goals), reason_told(row, lacks=True)
    return f"{_word(row)}: no value of {', '.join(names)}" + (f" ({reason})" if reason else "") if names else ""


def _same_compound(row: JsonDict, ranks: Mapping[str, int]) -> str:
    others = row["same_compound"].split()
    told = [f"#{ranks[other]}" if other in ranks else other for other in others]
    return f"same compound as {', '.join(told)}" if told else ""


def settle_call(
    workspace: Workspace,
    name: str,
    candidate: str,
    values: Sequence[str],
    abandon: bool,
    console: Terminal,
    *,
    objective: str | None = None,
    level: int | None = None,
) -> None:
    """Settle a call that is in doubt.

    Raises:
        BadInput: neither or both of a value and abandon are given, or a value is no number to learn from.
        BadInput: the oracle's answer is known, and waits for the next run.
        LedgerError: no such call is in doubt.
    """
    from tasks.oracles.undelivered import answer_for
    from tasks.stages import BadInput

    if bool(values) == abandon:
        raise BadInput("Say what became of the call: --value X with what was measured, or --abandon. Not both.")
    ledger = workspace.ledger()
    campaign = ledger.campaign(name)
    part, outputs = _settled_oracle(ledger, campaign, candidate, objective, level)
    answer = None if abandon else _settled_answer(values, outputs)
    kept = answer_for(workspace, name, candidate)
    if kept is not None:
        told, file = kept
        raise BadInput(
            f"The oracle answered for {candidate}: {told.error or figure(told.value)}. The ledger did not take it "
            f"at that time, and {file} keeps it: `discover run` enters it, and nothing is to be settled. If you know "
            "better, move that file away and give the same command again."
        )
    settle(ledger, name, candidate, answer, part)
    console.say(f"{candidate} is settled. `discover run` goes on.")


def _settled_oracle(
    ledger: Ledger, campaign: Campaign, candidate: str, objective: str | None, level: int | None
) -> tuple[str | None, list[str]]:
    """Return which oracle was asked, None where the campaign has one only, and the names of its several values.

    Raises:
        BadInput: it is not said which of several.
    """
    from tasks.stages import BadInput

    readings, objectives = campaign.readings, json.loads(campaign.stored)["objectives"]
    names = [one.objective for one in readings]
    if objective is not None and objective not in names:
        raise BadInput(f"Campaign {campaign.name} has no objective {objective!r}; it has {', '.join(names)}.")
    if objective is None and len(names) > 1 and len(readings.parts) > 1:
        raise BadInput(
            f"Campaign {campaign.name} asks {len(readings.parts)} oracles. Say whose answer it is with --objective, "
            f"one of {', '.join(names)}."
        )
    place = 0 if objective is None else names.index(objective)
    reading = readings[place]
    chosen = _settled_level(ledger, campaign, candidate, reading, level)
    outputs = list(oracles_of(objectives[place])[chosen].get("outputs") or ())
    return (None if len(readings.parts) == 1 else reading.levels[chosen][0]), outputs


def _settled_level(ledger: Ledger, campaign: Campaign, candidate: str, reading: Reading, level: int | None) -> int:
    """Return at which level of an objective a call is in doubt, from 0, the cheapest; 0 where it has one level.

    Raises:
        BadInput: there is no such level, or calls at several levels are in doubt.
    """
    from data.ledger.telling import calls_of
    from tasks.stages import BadInput

    places = {part: place for place, (part, _) in enumerate(reading.levels)}
    if level is not None and not 0 <= level < len(places):
        raise BadInput(f"--level is {level}; {reading.objective} has levels 0 to {len(places) - 1}.")
    if level is not None or len(places) == 1:
        return level or 0
    doubtful = sorted(
        places[call["part"]]
        for call in calls_of(ledger, campaign.id)
        if call["object_id"] == candidate and call["part"] in places and call["state"] in ("in_doubt", "submitted")
    )
    if len(set(doubtful)) > 1:
        told = ", ".join(map(str, sorted(set(doubtful))))
        raise BadInput(
            f"Calls for {candidate} are in doubt at levels {told}. Say which with --level, 0 being the cheapest."
        )
    return doubtful[0] if doubtful else len(places) - 1


def _settled_answer(values: Sequence[str], outputs: Sequence[str]) -> float | dict[str, float | None]:
    """Return what was measured: a number, or several by name.

    Raises:
        BadInput: it is none, or not what the oracle answers with.
    """
    from data.records import LARGEST_VALUE
    from tasks.stages import BadInput

    told: dict[str, float | None] = {}
    for text in values:
        name, named, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not abs(value) <= LARGEST_VALUE:
            raise BadInput(
                f"--value is {text}; expected a finite number of at most {LARGEST_VALUE:g}, or --abandon for a call "
                "without one."
            )
        told[name if named else ""] = value
    wanted = set(outputs) or {""}
    if set(told) - wanted or (not outputs and len(values) > 1):
        shape = " and ".join(f"--value {name}=X" for name in outputs) or "--value X"
        raise BadInput(f"The oracle answers {', '.join(outputs) or 'one value without a name'}; give {shape}.")
    if not outputs:
        return float(told[""] or 0.0)
    return {name: told.get(name) for name in outputs}
