"""Answers that people bring: asked, told, corrected; and the round whose data they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from data.ledger.book import OracleBook, placed_calls
from data.ledger.campaigns import LedgerError, now
from data.ledger.engine import clean_text, patient
from data.ledger.ledger import Ledger
from data.ledger.schema import campaigns, candidates, oracle_calls, revisions
from data.records import Arm, CallState, JsonDict
from data.wording import figure

ENDED = (CallState.DONE, CallState.FAILED, CallState.ABANDONED)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer that somebody brought.

    Attributes:
        part: of the campaign's oracles.
        object_id: of what was asked.
        object: its text, in standard form.
        replicate: which repetition, from 0.
        outputs: values by name, None where there is none; empty: it failed. One value without a name has the empty one.
        whole: whether every value was told; others are still waited for.
        reason: why it failed.
        unasked: whether nobody asked for it.
        seen: the call as it was when the answer was sorted, one of `calls_of`; None: there was none.
        by: who told it; empty: who tells all of them.
    """

    part: str
    object_id: str
    object: str
    replicate: int
    outputs: Mapping[str, float | None] = field(default_factory=dict)
    whole: bool = True
    reason: str = ""
    unasked: bool = False
    seen: JsonDict | None = None
    by: str = ""


@patient
def ask(book: OracleBook, round: int) -> None:
    """Mark the booked calls of a round as asked; those that another campaign has asked stay with it."""
    with book.ledger.write() as connection:
        connection.execute(
            sa.update(oracle_calls)
            .where(
                book.mine,
                oracle_calls.c.round == round,
                oracle_calls.c.state == CallState.RESERVED,
                oracle_calls.c.origin == "called",
            )
            .values(state=CallState.SUBMITTED, attempts=oracle_calls.c.attempts + 1)
        )


@patient
def enter(ledger: Ledger, campaign_id: int, round: int) -> None:
    """Let the answers that are there, and in no round's data yet, belong to a round."""
    with ledger.write() as connection:
        connection.execute(
            sa.update(oracle_calls)
            .where(
                oracle_calls.c.campaign_id == campaign_id,
                oracle_calls.c.entered.is_(None),
                oracle_calls.c.state.in_(ENDED),
            )
            .values(entered=round)
        )


@patient
def calls_of(ledger: Ledger, campaign_id: int) -> list[JsonDict]:
    """Return the calls of a campaign with the place of their candidates, in the order in which they were asked."""
    order = (oracle_calls.c.round, candidates.c.position, oracle_calls.c.part, oracle_calls.c.replicate)
    query = placed_calls().where(oracle_calls.c.campaign_id == campaign_id).order_by(*order)
    with ledger.read() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


@patient
def askers(ledger: Ledger, campaign_id: int) -> list[str]:
    """Return the campaigns that ask for what a campaign awaits, by name."""
    mine, other = oracle_calls.alias("mine"), oracle_calls.alias("other")
    query = (
        sa.select(campaigns.c.name)
        .distinct()
        .select_from(mine)
        .join(
            other,
            sa.and_(
                other.c.identity == mine.c.identity,
                other.c.object_id == mine.c.object_id,
                other.c.replicate == mine.c.replicate,
                other.c.campaign_id != mine.c.campaign_id,
            ),
        )
        .join(campaigns, campaigns.c.id == other.c.campaign_id)
        .where(
            mine.c.campaign_id == campaign_id,
            mine.c.origin == "awaited",
            mine.c.state == CallState.RESERVED,
            other.c.state == CallState.SUBMITTED,
        )
        .order_by(campaigns.c.name)
    )
    with ledger.read() as connection:
        return list(connection.scalars(query))


@patient
def tell(books: Mapping[str, OracleBook], answers: Sequence[Told], *, round: int, by: str, cost: float = 0.0) -> None:
    """Record answers, all or none. An answer that was there is kept as what it was before; the same again is nothing.

    Args:
        books: the campaign's calls by oracle, for their identity.
        answers: what was told; one of a call that nobody made (`unasked`, or another replicate) makes it.
        round: to which such calls are counted.
        by: who tells.
        cost: of such a call: it was made at the laboratory's own charge.

    Raises:
        LedgerError: somebody has told another answer since; nothing was taken.
    """
    if not answers:
        return
    some = next(iter(books.values()))
    with some.ledger.write() as connection:
        for answer in answers:
            _tell(connection, books[answer.part], answer, round, answer.by or by, cost)


def _tell(connection: sa.Connection, book: OracleBook, answer: Told, round: int, by: str, cost: float) -> None:
    values = _columns(answer)
    query = sa.select(oracle_calls).where(
        oracle_calls.c.campaign_id == book.campaign_id,
        oracle_calls.c.part == answer.part,
        oracle_calls.c.object_id == answer.object_id,
        oracle_calls.c.replicate == answer.replicate,
    )
    row = connection.execute(query.order_by(oracle_calls.c.id.desc())).mappings().first()
    told: JsonDict = {**values, "told_by": by, "completed_at": now(), "entered": None}
    if row is None:
        if answer.unasked:
            _add_candidate(connection, book.campaign_id, answer, round)
        made = book.row(round, answer.object_id, answer.object, cost)
        connection.execute(sa.insert(oracle_calls).values({**made, **told, "replicate": answer.replicate}))
        spent = {"calls": campaigns.c.calls + 1, "cost": campaigns.c.cost + cost}
        connection.execute(sa.update(campaigns).where(campaigns.c.id == book.campaign_id).values(spent))
        return
    if all(row[key] == value for key, value in values.items()):
        return
    _refuse_overtaken(dict(row), answer)
    before, after = json.loads(row["outputs"] or "{}"), json.loads(values["outputs"] or "{}")
    replaced = row["state"] in ENDED or any(name not in after or after[name] != before[name] for name in before)
    _write(connection, dict(row), told, kept=replaced)
    if row["state"] in ENDED:
        # Who shares the answer has the corrected one too, also where the shared answer was a failure.
        taken = sa.select(oracle_calls).where(
            oracle_calls.c.identity == row["identity"],
            oracle_calls.c.object_id == answer.object_id,
            oracle_calls.c.replicate == answer.replicate,
            oracle_calls.c.origin.in_(["called", "reused"]),
            oracle_calls.c.state.in_(ENDED),
            oracle_calls.c.campaign_id != book.campaign_id,
        )
        for other in connection.execute(taken).mappings().all():
            if other["state"] == CallState.DONE or _alike(other, row):
                _write(connection, dict(other), told, kept=True)


def _refuse_overtaken(row: JsonDict, answer: Told) -> None:
    """Refuse an answer whose call has got another since it was looked at: nobody has decided which is right.

    Raises:
        LedgerError: it has.
    """
    seen = answer.seen or {"state": None, "value": None, "outputs": None, "message": None}
    if row["state"] not in ENDED and row["outputs"] == seen["outputs"]:
        return
    if all(row[key] == seen[key] for key in ("state", "value", "outputs", "message")):
        return
    outputs = json.loads(row["outputs"]) if row["outputs"] else {"": row["value"]}
    values = ", ".join(f"{name} {figure(value)}".strip() for name, value in outputs.items())
    values = values if row["state"] == CallState.DONE or row["outputs"] else str(row["state"])
    was = "corrected to" if seen["state"] in ENDED else "told as"
    raise LedgerError(
        f"Nothing was taken: {answer.object} was {was} {values} meanwhile, by {row['told_by'] or 'somebody'}. See "
        "which is right; the same command again, with --correct, replaces it."
    )


def _alike(other: sa.RowMapping, row: sa.RowMapping) -> bool:
    """Return whether two calls have one answer."""
    return all(other[key] == row[key] for key in ("state", "value", "outputs", "message"))


def _write(connection: sa.Connection, row: JsonDict, told: JsonDict, *, kept: bool) -> None:
    """Write an answer into a row; what the row said before is kept where it is replaced."""
    if kept:
        before = {key: row[key] for key in ("state", "value", "outputs", "error", "message", "entered", "told_by")}
        before |= {"call_id": row["id"], "told_at": row["completed_at"], "replaced_at": told["completed_at"]}
        connection.execute(sa.insert(revisions).values(before))
    connection.execute(sa.update(oracle_calls).where(oracle_calls.c.id == row["id"]).values(told))


def _add_candidate(connection: sa.Connection, campaign_id: int, answer: Told, round: int) -> None:
    """Add what was measured without having been asked for, behind the batch of a round; a known object stays."""
    mine = candidates.c.campaign_id == campaign_id
    if connection.scalar(sa.select(sa.exists().where(mine, candidates.c.object_id == answer.object_id))):
        return
    last = connection.scalar(sa.select(sa.func.max(candidates.c.position)).where(mine, candidates.c.round == round))
    connection.execute(
        sa.insert(candidates).values(
            campaign_id=campaign_id,
            round=round,
            position=0 if last is None else last + 1,
            object_id=answer.object_id,
            object=answer.object,
            arm=str(Arm.TOLD),
            source="told",
        )
    )


def _columns(answer: Told) -> dict[str, Any]:
    """Return the columns of an answer."""
    if not any(value is not None for value in answer.outputs.values()) and answer.whole:
        told = {"state": str(CallState.FAILED), "error": "failed", "message": clean_text(answer.reason)}
        return {**told, "value": None, "outputs": None}
    plain = set(answer.outputs) == {""}
    return {
        "state": str(CallState.DONE if answer.whole else CallState.SUBMITTED),
        "value": answer.outputs[""] if plain else None,
        "outputs": None if plain else json.dumps(dict(answer.outputs)),
        "error": None,
        "message": "",
    }
