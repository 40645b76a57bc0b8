"""The batch that a laboratory is asked for: as a file for people, and how far its answers are."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from data.config import CampaignConfig, ConfigError, due
from data.ledger.telling import ENDED, askers, calls_of
from data.objects import split
from data.records import CallState, JsonDict
from data.tables.results import Wanted, read_results
from data.tables.rows import SourceError
from data.tables.spreadsheets import csv_bytes
from data.wording import counted
from models.oracles.laboratory import answers_later
from models.parts import oracle_of, outputs_of, space_of
from models.proxies.checks import MINIMUM_LABELS
from models.spaces.base import BaseSpace
from tasks.oracles.asked_file import AskedTables, changed_tables, remove_tables, tables_in, write_table
from tasks.stages import CampaignContext

FAILED_COLUMN = "failed"
REPLICATE_COLUMN = "replicate"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of results: of which oracle, and which of its values.

    Attributes:
        part: the campaign's oracle.
        output: its value's name; empty: it has one without a name.
        name: what people call it.
        unit: of the value.
    """

    part: str
    output: str
    name: str
    unit: str

    @property
    def heading(self) -> str:
        """The column's heading."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


def columns_of(context: CampaignContext) -> list[Column]:
    """Return the columns that a laboratory fills in, in the order of the campaign's oracles and their outputs."""
    return laboratory_columns(context.config, context.campaign.base)


def laboratory_columns(config: CampaignConfig, base: Path) -> list[Column]:
    """Return the same of a campaign's file in the folder `base`."""
    found = []
    for part in config.readings.parts:
        oracle = oracle_of(config, base, part)
        if not answers_later(oracle):
            continue
        objective = config.objectives[config.readings.first_of(part)].name
        named = outputs_of(oracle)
        found += [Column(part, name, name, unit) for name, unit in named.items()]
        found += [] if named else [Column(part, "", objective, oracle.unit)]
    return found


def refuse_confusable_columns(config: CampaignConfig, base: Path) -> None:
    """Refuse columns of results that could be taken for one another, or for what tells the objects.

    Raises:
        ConfigError: there are some.
    """
    space = space_of(config)
    known = {_plain(name): "tells the objects" for name in ("id", *(space.fields or (space.column,)))}
    known |= {_plain(name): "is a column of its own" for name in (REPLICATE_COLUMN, FAILED_COLUMN)}
    for column in laboratory_columns(config, base):
        before = known.get(_plain(column.name))
        if before is not None:
            raise ConfigError(
                f"A laboratory's value is called {column.name!r}, and in a table of results that {before}: a result "
                "could be taken for another. Give the oracle `outputs: {NAME: UNIT}` with a name of its own, and the "
                "objective that reads it `output: NAME` where there are several."
            )
        reader = config.objectives[config.readings.first_of(column.part)].name
        known[_plain(column.name)] = f"is a value of another laboratory, which {reader!r} reads"


def _plain(name: str) -> str:
    """Return a name as headings are compared."""
    return " ".join(name.replace("_", " ").split()).casefold()


def open_calls(context: CampaignContext) -> list[JsonDict]:
    """Return what is asked and not answered, in the order in which it was asked."""
    later = {column.part for column in columns_of(context)}
    return [
        row
        for row in calls_of(context.ledger, context.campaign.id)
        if row["part"] in later and row["state"] == CallState.SUBMITTED
    ]


def waiting_since(context: CampaignContext) -> dict[str, datetime]:
    """Return when each candidate that is asked and not answered was asked first, by its id; in UTC."""
    found: dict[str, datetime] = {}
    for call in open_calls(context):
        asked = datetime.fromisoformat(call["reserved_at"]).astimezone(UTC)
        found[call["object_id"]] = min(asked, found.get(call["object_id"], asked))
    return found


def sheet(context: CampaignContext, calls: list[JsonDict]) -> pd.DataFrame:
    """Return a table to be filled in: a row per object and replicate, an empty column per value.

    Columns: id, the object, replicate where there are several, facts of the space, the values, and `failed`.
    """
    space, columns = space_of(context.config), columns_of(context)
    several = context.config.readings.replicates > 1 or any(call["replicate"] for call in calls)
    rows: dict[tuple[str, int], dict[str, object]] = {}
    for call in calls:
        row = rows.setdefault((call["object_id"], call["replicate"]), {})
        if not row:
            row |= {"id": call["object_id"], **_cells(call["object"], space)}
            row |= {REPLICATE_COLUMN: call["replicate"] + 1} if several else {}
            told = space.facts_of(call["object"])
            row |= {fact.label: round(told[key], fact.digits) for key, fact in space.facts.items() if key in told}
            row |= {column.heading: "" if column.part == call["part"] else "-" for column in columns}
        told = json.loads(call["outputs"]) if call["outputs"] else {}
        row |= {column.heading: told.get(column.output, "") for column in columns if column.part == call["part"]}
    heads = ["id", *(space.fields or (space.column,)), *([REPLICATE_COLUMN] if several else [])]
    heads += [fact.label for fact in space.facts.values()]
    frame = pd.DataFrame(list(rows.values()), columns=[*heads, *(column.heading for column in columns)])
    return frame.assign(**{FAILED_COLUMN: ""})


def _cells(obj: str, space: BaseSpace[Any]) -> dict[str, str]:
    """Return what tells an object by column: its text, or a cell per field."""
    return split(obj) if space.fields else {space.column: obj}


def tables_of(context: CampaignContext, round: int) -> AskedTables:
    """Return the tables in which the batch of a round is written for people."""
    return tables_in(context.round_folder(round))


def write_asked(context: CampaignContext, round: int) -> None:
    """Write what is open, of this round and of earlier ones, to the table of the round; without any it goes.

    A table that people have changed stays as it is.
    """
    calls, folder = open_calls(context), context.round_folder(round)
    if not calls:
        remove_tables(folder)
        return
    table = sheet(context, calls)
    write_table(folder, csv_bytes(table), Counter(map(str, table["id"])))


def changed_told(context: CampaignContext, round: int | None = None) -> list[str]:
    """Return sentences on tables of any round that people have changed: that they stay, and how what is in them counts.

    Args:
        context: the campaign.
        round: whose tables are told of in any case; those of the others only where values in them were not told yet.
    """
    waiting = {call["object_id"] for call in open_calls(context)}
    here = None if round is None else context.round_folder(round)
    told = []
    for file in changed_tables(context.folder):
        values, unread = _untold_values(context, file, waiting)
        if not values and file.parent != here:
            continue
        command = f"`discover tell {context.campaign.name} {shlex.quote(str(file))}`"
        told.append(f"{file} was changed since it was written, so it stays as it is.")
        if values:
            lines = "1 line of it has a value" if values == 1 else f"{values} lines of it have values"
            told[-1] += f" {lines} that nobody has told yet: {command} takes them."
        if unread:
            told[-1] += f" {counted(unread, 'line')} of it cannot be read: {command} says why."
    return told


def _untold_values(context: CampaignContext, file: Path, waiting: Collection[str]) -> tuple[int, int]:
    """Return how many lines of a table have an answer to what is still waited for, and how many cannot be read."""
    space, columns = space_of(context.config), columns_of(context)
    try:
        wanted = [Wanted(one.name, one.unit) for one in columns]
        read = read_results(file, wanted, space.fields or (space.column,))
    except SourceError:
        return 0, 0
    return sum(row.id in waiting for row in read.rows), len(read.refused)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the answers to a round are.

    Attributes:
        enough: whether the round goes on with what is there.
        short: whether the share that is waited for is there, but fewer are measured than a proxy needs.
        open: calls of the round that are not answered.
        message: what is waited for and what to do, sentences.
        summary: the first of them.
    """

    enough: bool
    short: bool
    open: int
    message: str
    summary: str


def standing_of(context: CampaignContext, round: int) -> Standing:
    """Return how far the answers to a round are: all, the share that is waited for, or its deadline.

    With what this says a campaign goes on or waits (`tasks/measure.py`); whoever shows it shows the same.
    """
    config = context.config
    later = {column.part for column in columns_of(context)}
    mine = [
        row
        for row in calls_of(context.ledger, context.campaign.id)
        # What was told without having been asked for, here or elsewhere, is no answer to the round.
        if row["part"] in later
        and row["round"] == round
        and (row["attempts"] or row["origin"] != "called")
        and not (row["origin"] == "reused" and (row["replicate"] >= config.readings.replicates))
    ]
    answered = sum(row["state"] in ENDED for row in mine)
    left = len(mine) - answered
    enough = not mine or answered >= config.wait_for * len(mine) - 1e-9
    until = ""
    if config.deadline is not None and left:
        end = due(config.deadline, max(datetime.fromisoformat(row["reserved_at"]) for row in mine))
        enough = enough or (answered > 0 and datetime.now(UTC) >= end)  # without any answer nothing was learnt
        until = f", or until {end:%Y-%m-%d %H:%M} UTC"
    if not left:
        told = f"Round {round}: all {answered} results are there. `discover run` goes on."
        return Standing(enough, False, left, told, told)
    noun, name = space_of(config).nouns[1], context.campaign.name
    measured = sum(row.value is not None for row in context.ledger.candidates(context.campaign.id, last=round))
    short = enough and measured < MINIMUM_LABELS and config.rounds > 0
    share = "" if config.wait_for == 1 else f" (it goes on with {config.wait_for:.0%})"
    next_ = f"it waits for the others{until}"
    if short:
        next_ = (
            f"{measured} are measured so far and a proxy needs at least {MINIMUM_LABELS}, so it waits for the others"
        )
    elif enough:
        next_ = "`discover run` goes on without the others"
    sentences = [f"Round {round}: {answered} of {len(mine)} results are there{share}; {next_}."]
    awaited = sum(row["origin"] == "awaited" and row["state"] == CallState.RESERVED for row in mine)
    if left > awaited:
        tables = tables_of(context, round)
        # The campaign may be in another workspace of the ledger: its table is not where this one has it.
        where = f"are in {tables.current}" if tables.exist else f"are listed by `discover ask {name}`"
        sentences.append(
            f"The {noun} to measure {where}. Fill in the values, give `discover tell {name} FILE`, and then the same "
            "`discover run` again."
        )
        sentences += changed_told(context, round)
    sentences += awaited_told(context, awaited)
    return Standing(enough and not short, short, left, " ".join(sentences), sentences[0])


def awaited_told(context: CampaignContext, awaited: int) -> list[str]:
    """Return the sentence on results that other campaigns have asked for, none where there are none."""
    if not awaited:
        return []
    names = askers(context.ledger, context.campaign.id)
    of = f"campaign {' and '.join(names)}" if names else "another campaign"
    return [
        f"{awaited} of them {'is' if awaited == 1 else 'are'} asked for by {of}: told there, they are taken over here."
    ]
