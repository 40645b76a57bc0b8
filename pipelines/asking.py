"""Ask and tell: what a laboratory is to measure, and what it measured."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data.config import ConfigError
from data.ledger.book import OracleBook
from data.ledger.campaigns import CampaignState
from data.ledger.telling import calls_of, tell
from data.records import CallState, JsonDict
from data.tables.results import Result, Wanted, read_results
from data.tables.rows import SourceError
from models.parts import space_of
from models.spaces.base import BaseSpace
from tasks.oracles.asking import (
    awaited_told,
    changed_told,
    columns_of,
    open_calls,
    sheet,
    standing_of,
    tables_of,
    write_asked,
)
from tasks.oracles.booking import book_of
from tasks.oracles.plausibility import remarks_on
from tasks.oracles.sorting import Receipt, Sorting
from tasks.stages import BadInput, CampaignContext
from tasks.workspace import Workspace, writing

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.terminal import Terminal

MOST_TOLD = 20
"""Refused lines that one message lists."""


def ask(name: str, workspace: Workspace | None = None) -> pd.DataFrame:
    """Return what a campaign has asked for and nobody has answered: a table to be filled in.

    Columns: id, the object, what helps to measure it, an empty one per value, and `failed`.

    Raises:
        LedgerError: no such campaign.
        BadInput: it asks no laboratory.
    """
    with asked_campaign(name, workspace) as context:
        return sheet(context, open_calls(context))


def tell_results(
    name: str,
    results: Path | str | pd.DataFrame,
    *,
    workspace: Workspace | None = None,
    correct: bool = False,
    reinstate: bool = False,
    replicate: bool = False,
    unasked: bool = False,
    decimal: Literal[".", ","] | None = None,
    by: str | None = None,
) -> Receipt:
    """Take the results of a laboratory into a campaign: all of them, or none where a line is refused.

    Args:
        name: of the campaign.
        results: a file, the text of one, or a table.
        workspace: of the campaign; None: the current one.
        correct: whether values may take the place of others that were told before; these are kept.
        reinstate: whether values that were corrected since may take their place again, as right after all.
        replicate: whether other values of what is measured already are repeated measurements.
        unasked: whether objects count that nobody asked for.
        decimal: mark of decimals; None: found.
        by: who tells; None: the user.

    Raises:
        LedgerError: no such campaign.
        BadInput: it asks no laboratory, or lines are refused; nothing was taken.
        SourceError: the results are no table of the campaign's values.
    """
    with asked_campaign(name, workspace) as context:
        columns, space = columns_of(context), space_of(context.config)
        source = results if isinstance(results, Path | str) else results.to_csv(index=False)
        texts = space.fields or (space.column,)
        read = read_results(source, [Wanted(one.name, one.unit) for one in columns], texts, decimal)
        options = {"correct": correct, "reinstate": reinstate, "replicate": replicate, "unasked": unasked}
        sorting = Sorting(context, columns, space, present=read.present, **options)
        for row in read.rows:
            sorting.take(row)
        refused = sorted([(r.line or 0, r.text, r.reason) for r in read.refused] + sorting.refused)
        if refused:
            raise AnswersRefused(refused, len(read.rows) + len(read.refused) + read.empty)
        receipt = enter_sorted(context, sorting, read.rows, by or getpass.getuser())
        receipt.empty, receipt.notes = read.empty, [*read.notes, *receipt.notes]
        return receipt


class AnswersRefused(BadInput):
    """Some answers are refused, so that none was taken.

    Attributes:
        refused: line, what it is of, and why, of each that is refused.
    """

    def __init__(self, refused: Sequence[tuple[int, str, str]], told: int) -> None:
        self.refused = tuple(refused)
        lines = "\n".join(_refusal(*one) for one in refused[:MOST_TOLD])
        lines += f"\n  and {len(refused) - MOST_TOLD} more." if len(refused) > MOST_TOLD else ""
        super().__init__(
            f"Nothing was taken: {len(refused)} of {told} lines {'is' if len(refused) == 1 else 'are'} refused. "
            f"Mend or remove them, and give the same command again.\n{lines}"
        )


def enter_sorted(context: CampaignContext, sorting: Sorting, rows: Sequence[Result], by: str) -> Receipt:
    """Write sorted answers, of which none is refused, into the ledger, all or none; returns what became of them.

    Args:
        context: the campaign that asked.
        sorting: has taken the rows.
        rows: what was told, for remarks on values that look wrong.
        by: who tells what does not say itself by whom it is told.

    Raises:
        LedgerError: somebody has told another answer since; nothing was taken.
    """
    columns, space = columns_of(context), space_of(context.config)
    parts = list(dict.fromkeys(column.part for column in columns))
    books: dict[str, OracleBook] = {part: book_of(context, part) for part in parts}
    rounds = [row["round"] for row in sorting.calls.values()]
    tell(books, sorting.answers, round=max(rounds, default=0), by=by)
    receipt = sorting.receipt
    receipt.notes = [*remarks_on(rows, columns, sorting.calls, space)]
    receipt.open = len(open_calls(context))
    for round in {row["round"] for row in sorting.calls.values()}:
        if tables_of(context, round).exist:
            write_asked(context, round)
    if context.campaign.state is CampaignState.WAITING:  # what it says of the results that are there
        told = standing_of(context, max(rounds, default=0))
        context.ledger.set_state(context.campaign.id, CampaignState.WAITING, told.message)
    receipt.notes = [*receipt.notes, *changed_told(context, max(rounds, default=0))]
    return receipt


def _refusal(line: int, text: str, reason: str) -> str:
    return f"  line {line}: {text}: {reason}{'' if reason.endswith(('.', '?', '!')) else '.'}"


def asked_campaign(name: str, workspace: Workspace | None) -> CampaignContext:
    """Return a campaign that asks a laboratory.

    Raises:
        BadInput: it asks none.
    """
    home = workspace or Workspace.open()
    ledger = home.ledger()
    campaign = ledger.campaign(name)
    context = CampaignContext(home, ledger, campaign)
    if not columns_of(context):
        raise BadInput(
            f"Campaign {name!r} asks no laboratory: its oracles answer by themselves. `oracle: {{kind: laboratory}}` "
            "is one whose answers are told."
        )
    return context


def show_asked(workspace: Workspace, name: str, out: Path | None, console: Terminal) -> int:
    """Print what a campaign asks for, or write it to a file."""
    from pipelines.exports import format_of, written

    with asked_campaign(name, workspace) as context:
        calls = open_calls(context)
        table, space = sheet(context, calls), space_of(context.config)
        every = calls_of(context.ledger, context.campaign.id)
        awaited = sum(row["origin"] == "awaited" and row["state"] == CallState.RESERVED for row in every)
        elsewhere = awaited_told(context, awaited)
    if not calls:
        told = elsewhere or ["`discover run` goes on."]
        console.say(" ".join([f"Campaign {name} asks for nothing itself at the moment.", *told]))
        return 0
    if out is None:
        console.raw(table.to_csv(index=False))
        return 0
    form = format_of(None, str(out), space)
    if out.exists():
        raise ConfigError(f"--out is {out}, which exists and may hold results. Name another file.")
    with writing(out):
        if form == "csv":
            from data.tables.spreadsheets import write_csv

            write_csv(table, out)
        else:
            ids = {call["object_id"]: call["object"] for call in calls}
            rows = [_exportable(key, obj, space) for key, obj in ids.items()]
            out.write_text(written(rows, form, space), encoding="utf-8", newline="")
    console.say(f"{len(table)} to measure, written to {out}. `discover tell {name} FILE` takes the results.")
    return 0


def _exportable(object_id: str, obj: str, space: BaseSpace[Any]) -> JsonDict:
    from data.records import CandidateRow
    from models.spaces.columns import COLUMNS
    from models.spaces.columns import exported as exported_row

    row = CandidateRow(object_id, obj)._asdict()
    return exported_row({**row, "unit": ""}, COLUMNS, space)


def tell_in_terminal(workspace: Workspace, name: str, results: Path, console: Terminal, **options: Any) -> int:
    """Take results into a campaign and say what became of them."""
    if not results.is_file():
        raise SourceError(
            f"There are no results {str(results)!r}; expected a CSV file. `discover ask {name}` writes one."
        )
    receipt = tell_results(name, results, workspace=workspace, **options)
    for note in receipt.notes:
        console.say(note)
    console.say(receipt.told())
    from tasks.reporting.publishing import show_answers

    with asked_campaign(name, workspace) as context:
        show_answers(context)
    return 0
