"""Answers that come over HTTP, told with the checks and refusals of `discover tell`."""

from __future__ import annotations

from collections.abc import Sequence

from data.tables.results import Result, same_unit
from data.wording import counted
from models.parts import space_of
from pipelines.asking import enter_sorted
from pipelines.rest.access import Holder
from pipelines.rest.bodies import AnswerBody, AnswersBody, ReceiptBody
from pipelines.rest.problems import MOST, Fault, Problem, worded
from pipelines.rest.views import asking_context, ledger_of
from tasks.oracles.asking import Column, columns_of
from tasks.oracles.sorting import Sorting
from tasks.workspace import Workspace

NO_REASON = "failed, without a reason"


def take_answers(workspace: Workspace, name: str, body: AnswersBody, holder: Holder) -> ReceiptBody:
    """Take answers into a campaign: all of them, or none.

    Args:
        workspace: of the campaign.
        name: of the campaign.
        body: what is told.
        holder: who tells.

    Raises:
        Problem: something is refused; nothing was taken.
        LedgerError: somebody has told another answer meanwhile; nothing was taken.
    """
    with ledger_of(workspace) as ledger, asking_context(workspace, ledger, name) as context:
        columns, space = columns_of(context), space_of(context.config)
        options = {name: getattr(body, name) for name in ("correct", "reinstate", "replicate", "unasked")}
        sorting = Sorting(context, columns, space, present=(), **options)
        _refuse_unknown(body.answers, columns)
        rows = []
        for place, answer in enumerate(body.answers):
            for part, row in _results(place, answer, columns):
                sorting.take(row, part, _teller(answer.told_by or body.told_by, holder))
                rows.append(row)
        _refuse(sorting, body.answers)
        receipt = enter_sorted(context, sorting, rows, _teller(body.told_by, holder))
    counts = {key: getattr(receipt, key) for key in ReceiptBody.model_fields if key not in ("told", "notes")}
    return ReceiptBody(told=receipt.told(), notes=[worded(note) for note in receipt.notes], **counts)


def _teller(told_by: str, holder: Holder) -> str:
    """Return who is noted: the token's holder in any case, so that nobody tells in another's name unseen."""
    return holder.name if told_by in ("", holder.name) else f"{told_by} (token of {holder.name})"


def _results(place: int, answer: AnswerBody, columns: Sequence[Column]) -> list[tuple[str | None, Result]]:
    """Return an answer as lines of results, each of one of the campaign's oracles; None: of those that wait."""
    line = place + 1
    told = (answer.id or "", answer.object or "", answer.replicate)
    reason = answer.message or NO_REASON
    if answer.failed:
        return [(None, Result(line, *told, {}, reason))]
    found: list[tuple[str | None, Result]] = []
    for part in dict.fromkeys(column.part for column in columns):
        mine = {k: column.name for k, column in enumerate(columns) if column.part == part}
        values = {k: answer.values[one] for k, one in mine.items() if one in answer.values}
        lost = len(values) == len(mine) and all(value is None for value in values.values())
        if values:
            found.append((part, Result(line, *told, {} if lost else values, reason if lost else "")))
    return found


def _refuse_unknown(answers: Sequence[AnswerBody], columns: Sequence[Column]) -> None:
    """Refuse values that nobody measures here, and those in another unit.

    Raises:
        Problem: there are some.
    """
    units = {column.name: column.unit for column in columns}
    faults = []
    for place, answer in enumerate(answers):
        for key, named in (("values", answer.values), ("units", answer.units)):
            faults += [
                Fault(
                    where=f"answers[{place}].{key}.{one}",
                    message=f"No value has this name; expected {', '.join(map(repr, units))}.",
                )
                for one in named
                if one not in units
            ]
        faults += [
            Fault(
                where=f"answers[{place}].units.{one}",
                message=f"Got {unit!r}; {one} is measured in {units[one] or 'no unit'}. Convert the value.",
            )
            for one, unit in answer.units.items()
            if one in units and not same_unit(unit, units[one])
        ]
    if faults:
        told = f"{counted(len(faults), 'name or unit', 'names or units')} {'is' if len(faults) == 1 else 'are'}"
        raise Problem(
            422,
            "unknown-values",
            f"Nothing was taken: {told} not of the campaign. {faults[0].where}: "
            f"{faults[0].message} GET the campaign to see its `outputs`.",
            faults[:MOST],
        )


def _refuse(sorting: Sorting, answers: Sequence[AnswerBody]) -> None:
    """Refuse all answers where one is refused.

    Raises:
        Problem: one is.
    """
    if not sorting.refused:
        return
    faults = [
        Fault(where=f"answers[{line - 1}]", message=f"{text}: {worded(reason).rstrip('.')}.")
        for line, text, reason in sorted(sorting.refused)
    ]
    lines = {line for line, *_ in sorting.refused}
    raise Problem(
        409,
        "answers-refused",
        f"Nothing was taken: {len(lines)} of {len(answers)} answers {'is' if len(lines) == 1 else 'are'} refused. "
        f"{faults[0].where}: {faults[0].message} Mend or remove what `errors` lists, and send the request again.",
        faults,
    )
