"""Oracle calls in the ledger: booked before the call, counted once, never lost.

A row stands for one purchase: (campaign, identity of the oracle, object, replicate). Its life is
reserved -> submitted -> done | failed, with in_doubt for a call that was in flight when the process died and that the
oracle forbids to repeat, and abandoned for what a person gave up.

Nothing is bought twice, by whatever campaign of the ledger. A row that another campaign is buying is `awaited`: booked
with its cost, but not made; in the end it takes the value over, or it is made here when the other call failed or its
campaign has died (`claim`). An awaited row is no purchase, so two campaigns that wait for each other do not lock: each
makes its own calls before it waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from data.config import digest
from data.ledger.campaigns import LedgerError, Spent, now, slug_of
from data.ledger.engine import clean_text, patient, repeatedly
from data.ledger.ledger import Ledger, spent_of
from data.ledger.lock import refuse_if_lost
from data.ledger.processes import described_owner
from data.ledger.schema import campaigns, candidates, locks, oracle_calls
from data.readings import LABORATORY
from data.records import CallState, JsonDict, Measurement

Semantics = Literal["pure", "idempotent", "unsafe"]
"""`pure`: call again freely, count once; `idempotent`: resend with the same key; `unsafe`: never call twice."""

_CHUNK = 500
"""Ids in one question to the database."""
_NO: JsonDict = {}
_OPEN = (CallState.RESERVED, CallState.SUBMITTED, CallState.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A purchase that another campaign has under way, and that this one therefore does not make.

    Attributes:
        object_id: of what.
        campaign: the other one, by its folder's name.
        in_doubt: whether a person must say what became of the call; else its campaign is at it.
    """

    object_id: str
    campaign: str
    in_doubt: bool


class OracleBook:
    """The calls of one campaign to one oracle.

    Args:
        ledger: open.
        campaign_id: whose calls.
        oracle: its name, for people.
        version: its version, for people.
        identity: hash of all that decides its values; None: of name and version, for oracles that are no component.
        semantics: whether a call that nobody answered may be made again.
        part: which of the campaign's oracles it is, as `data.readings` names them.
        replicate: which repetition of a measurement, from 0.
        later: whether people bring the answers, so that calls stay sent while no process lives.
    """

    def __init__(
        self,
        ledger: Ledger,
        campaign_id: int,
        oracle: str,
        version: str,
        identity: str | None = None,
        semantics: Semantics = "pure",
        part: str = "",
        replicate: int = 0,
        later: bool = False,
    ) -> None:
        self.ledger = ledger
        self.campaign_id = campaign_id
        self.oracle = _cut(oracle, 128)
        self.version = _cut(version, 255)
        self.identity = identity or digest([oracle, version])
        self.semantics = semantics
        self.part = part
        self.replicate = replicate
        self.later = later

    @property
    def mine(self) -> sa.ColumnElement[bool]:
        """What tells these calls in the ledger."""
        return sa.and_(
            oracle_calls.c.campaign_id == self.campaign_id,
            oracle_calls.c.identity == self.identity,
            oracle_calls.c.replicate == self.replicate,
        )

    def reserve(
        self,
        round: int,
        objects: Sequence[tuple[str, str]],
        *,
        cost: float,
        max_calls: int | None = None,
        max_cost: float | None = None,
    ) -> int:
        """Book calls to this oracle; see `reserve`."""
        purchases = [Purchase(key, obj, ((self, cost),)) for key, obj in objects]
        return reserve(purchases, round, max_calls=max_calls, max_cost=max_cost)

    @patient
    def claim(self, round: int) -> list[Elsewhere]:
        """Decide anew who makes each call of a round that is booked and not sent; return what is left to others.

        Call it before calls are made and whenever something may have changed elsewhere: values that were bought take
        their place, calls that another campaign has under way are awaited, and what nobody makes is made here.
        """
        with self.ledger.write() as connection:
            query = sa.select(
                oracle_calls.c.id, oracle_calls.c.object_id, oracle_calls.c.origin, oracle_calls.c.cost
            ).where(self.mine, oracle_calls.c.round == round, oracle_calls.c.state == CallState.RESERVED)
            rows = connection.execute(query.order_by(oracle_calls.c.id)).all()
            others = self._others(connection, [row.object_id for row in rows])
            left = []
            saved = 0.0
            for row in rows:
                other = others.get(row.object_id)
                values: JsonDict = {"origin": "called"}
                if isinstance(other, Elsewhere):
                    values = {"origin": "awaited"}
                    left.append(other)
                elif other is not None:
                    values = _reused(other)
                    saved += row.cost
                if values["origin"] != row.origin:
                    connection.execute(sa.update(oracle_calls).where(oracle_calls.c.id == row.id).values(values))
            if saved:
                self._book(connection, cost=campaigns.c.cost - saved)
            return left

    @patient
    def import_values(
        self, round: int, rows: Sequence[tuple[str, str, float]], output: str | None = None, notes: JsonDict = _NO
    ) -> None:
        """Record values that came with the data: known, never bought, not counted.

        Args:
            round: whose data they belong to.
            rows: (object id, standard text, value).
            output: the name of the value, of an oracle that answers with several; None: it has none.
            notes: text -> what is to be known of its value, such as of how many it is the mean.
        """
        with self.ledger.write() as connection:
            booked = self._booked(connection, [row[0] for row in rows])
            fresh: list[JsonDict] = []
            for object_id, obj, value in rows:
                if object_id not in booked:
                    booked.add(object_id)
                    answer = _Bought(value) if output is None else _Bought(None, json.dumps({output: value}))
                    values = {**_reused(answer), "origin": "imported", "entered": round, "message": notes.get(obj, "")}
                    fresh.append({**self.row(round, object_id, obj, 0.0, None), **values})
            if fresh:
                connection.execute(sa.insert(oracle_calls), fresh)

    def submit(self, object_ids: Sequence[str]) -> None:
        """Mark calls as sent. Must be committed before the oracle is asked.

        Raises:
            LockLost: this process ran the campaign and its lock was removed meanwhile; nothing is sent.
            LedgerError: one of the calls is not booked.
        """
        repeatedly(lambda again: self._submit(object_ids, again=again))

    def _submit(self, object_ids: Sequence[str], *, again: bool) -> None:
        these = sa.and_(self.mine, oracle_calls.c.object_id.in_(object_ids))
        with self.ledger.write() as connection:
            refuse_if_lost(connection, self.ledger.url, self.campaign_id)
            if again:  # the database may have taken the first attempt and lost the connection before it could say so
                sent = sa.select(sa.func.count()).where(these, oracle_calls.c.state == CallState.SUBMITTED)
                if connection.scalar(sent) == len(object_ids):
                    return
            changed = connection.execute(
                sa.update(oracle_calls)
                .where(these, oracle_calls.c.state == CallState.RESERVED, oracle_calls.c.origin == "called")
                .values(state=CallState.SUBMITTED, attempts=oracle_calls.c.attempts + 1)
            )
            if changed.rowcount != len(object_ids):
                raise LedgerError(
                    f"{len(object_ids)} calls were to be sent but {changed.rowcount} of them are reserved in the "
                    "ledger; another process may have taken them. Look with `discover status`."
                )

    @patient
    def complete(self, object_id: str, measurement: Measurement) -> None:
        """Record an answer. An answer that is already recorded stays."""
        self.deliver({object_id: measurement})

    def deliver(self, answers: Mapping[str, Measurement]) -> int:
        """Record answers by object id, all or none; return how many calls waited for theirs. The others stay.

        Raises:
            LedgerUnavailable: the database is busy or away; it is not waited for.
        """
        waiting = oracle_calls.c.state.in_([CallState.SUBMITTED, CallState.IN_DOUBT])
        taken = 0
        with self.ledger.write() as connection:
            for object_id, measurement in answers.items():
                values: dict[str, Any] = {
                    "state": CallState.DONE if measurement.error is None else CallState.FAILED,
                    **_columns(measurement.value, measurement.outputs),
                    "error": measurement.error,
                    "message": clean_text(measurement.message),
                    "seconds": measurement.seconds,
                    "completed_at": now(),
                }
                this = sa.and_(self.mine, oracle_calls.c.object_id == object_id, waiting)
                taken += connection.execute(sa.update(oracle_calls).where(this).values(values)).rowcount
        return taken

    @patient
    def doubt(self, object_id: str, message: str) -> None:
        """Record that nobody knows whether a sent call was made: it timed out, or the oracle's process died."""
        with self.ledger.write() as connection:
            connection.execute(
                sa.update(oracle_calls)
                .where(self.mine, oracle_calls.c.object_id == object_id, oracle_calls.c.state == CallState.SUBMITTED)
                .values(state=CallState.IN_DOUBT, message=clean_text(message))
            )

    @patient
    def in_doubt(self) -> list[str]:
        """Return the ids of the calls that wait for a person, in the order in which they were booked."""
        with self.ledger.read() as connection:
            return list(
                connection.scalars(
                    sa.select(oracle_calls.c.object_id)
                    .where(self.mine, oracle_calls.c.state == CallState.IN_DOUBT)
                    .order_by(oracle_calls.c.id)
                )
            )

    @patient
    def recover(self, semantics: Semantics) -> list[str]:
        """Deal with calls that were in flight when a process died: call once at the start, holding the lock.

        Returns:
            The ids that are in doubt: with an `unsafe` oracle nobody knows if these were made. The others are
            reserved again, at no further cost.
        """
        after = CallState.IN_DOUBT if semantics == "unsafe" else CallState.RESERVED
        with self.ledger.write() as connection:
            connection.execute(
                sa.update(oracle_calls)
                .where(self.mine, oracle_calls.c.state == CallState.SUBMITTED)
                .values(state=after)
            )
        return self.in_doubt()

    @patient
    def retry_failed(self, round: int) -> int:
        """Reserve a round's failed calls again, at no further count; return how many."""
        with self.ledger.write() as connection:
            return connection.execute(
                sa.update(oracle_calls)
                .where(self.mine, oracle_calls.c.round == round, oracle_calls.c.state == CallState.FAILED)
                .values(state=CallState.RESERVED, origin="called", error=None, message="", completed_at=None)
            ).rowcount

    @patient
    def settle(self, object_id: str, value: float | None) -> None:
        """Settle a call in doubt: with its value, or as abandoned.

        Raises:
            LedgerError: no such call is in doubt.
        """
        _settle(self.ledger, [self.campaign_id], object_id, value)

    def spent(self) -> Spent:
        """Return what the campaign has booked; imported values are not counted."""
        return self.ledger.spent(self.campaign_id)

    def reserved(self, round: int) -> list[tuple[str, str]]:
        """Return (object id, object) of the round's booked calls that are still to be made, in batch order."""
        return [
            (row["object_id"], row["object"])
            for row in self.rows(round)
            if row["state"] == CallState.RESERVED and row["origin"] == "called"
        ]

    @patient
    def rows(self, round: int | None = None) -> list[JsonDict]:
        """Return the calls in batch order, of one round or of all."""
        order = (oracle_calls.c.round, candidates.c.position, oracle_calls.c.id)
        query = placed_calls().where(self.mine).order_by(*order)
        if round is not None:
            query = query.where(oracle_calls.c.round == round)
        with self.ledger.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _book(self, connection: sa.Connection, **spent: Any) -> None:
        """Write what the campaign has booked with all its oracles, in the transaction that books."""
        connection.execute(sa.update(campaigns).where(campaigns.c.id == self.campaign_id).values(spent))

    def _booked(self, connection: sa.Connection, object_ids: Sequence[str]) -> set[str]:
        """Return which of these objects have a row."""
        return {
            key
            for part in _chunks(object_ids)
            for key in connection.scalars(
                sa.select(oracle_calls.c.object_id).where(self.mine, oracle_calls.c.object_id.in_(part))
            )
        }

    def _others(self, connection: sa.Connection, object_ids: Sequence[str]) -> dict[str, _Bought | Elsewhere]:
        """Return, for each object that other campaigns have to do with, its value or who is buying it.

        The oldest purchase wins. A call that failed or was given up elsewhere is nobody's, and so is one that was
        booked, or may be repeated, by a campaign that nobody runs.
        """
        query = (
            sa.select(oracle_calls, campaigns.c.name, campaigns.c.generation)
            .join(campaigns, campaigns.c.id == oracle_calls.c.campaign_id)
            .where(
                oracle_calls.c.identity == self.identity,
                oracle_calls.c.replicate == self.replicate,
                oracle_calls.c.campaign_id != self.campaign_id,
                oracle_calls.c.origin == "called",
                oracle_calls.c.state.in_([CallState.DONE, *_OPEN]),
            )
            .order_by(oracle_calls.c.id)
        )
        mine = connection.execute(
            sa.select(campaigns.c.name, campaigns.c.generation).where(campaigns.c.id == self.campaign_id)
        ).one()
        found: dict[str, _Bought | Elsewhere] = {}
        alive: dict[int, bool] = {}
        for part in _chunks(object_ids):
            for row in connection.execute(query.where(oracle_calls.c.object_id.in_(part))):
                known = found.get(row.object_id)
                if row.state == CallState.DONE:
                    if not isinstance(known, _Bought):
                        found[row.object_id] = _Bought(row.value, row.outputs)
                    continue
                if row.campaign_id not in alive:
                    alive[row.campaign_id] = _is_run(connection, row.campaign_id)
                doubtful = row.state == CallState.IN_DOUBT or (
                    row.state == CallState.SUBMITTED and self.semantics == "unsafe" and not alive[row.campaign_id]
                )
                asked = self.later and row.state == CallState.SUBMITTED
                doubtful &= not asked
                # What an earlier generation of this campaign has asked, this one asks: it is who is told.
                asked &= not (row.name == mine.name and row.generation < mine.generation)
                if known is None and (doubtful or asked or alive[row.campaign_id]):
                    found[row.object_id] = Elsewhere(row.object_id, slug_of(row.name, row.generation), doubtful)
        return found

    def row(
        self, round: int, object_id: str, obj: str, cost: float, other: _Bought | Elsewhere | None = None
    ) -> JsonDict:
        """Return the columns of a call that is booked; `other` says what other campaigns have to do with it."""
        row: JsonDict = {
            "campaign_id": self.campaign_id,
            "round": round,
            "oracle": self.oracle,
            "version": self.version,
            "identity": self.identity,
            "part": self.part,
            "replicate": self.replicate,
            "object_id": object_id,
            "object": obj,
            "origin": "awaited" if isinstance(other, Elsewhere) else "called",
            "state": CallState.RESERVED,
            "attempts": 0,
            "cost": cost,
            "value": None,
            "outputs": None,
            "message": "",
            "seconds": 0.0,
            "reserved_at": now(),
            "completed_at": None,
        }
        return row if other is None or isinstance(other, Elsewhere) else {**row, **_reused(other)}


@dataclass(frozen=True, slots=True)
class _Bought:
    """An answer as the columns of a row have it: a value, or several as JSON."""

    value: float | None
    outputs: str | None = None


def _columns(value: float | None, outputs: Mapping[str, float | None] | None) -> JsonDict:
    """Return the columns of an answer."""
    return {"value": value, "outputs": None if outputs is None else json.dumps(dict(outputs))}


def _reused(answer: _Bought) -> JsonDict:
    """Return the columns of a row that takes over an answer."""
    taken = {"value": answer.value, "outputs": answer.outputs}
    return {"origin": "reused", "state": CallState.DONE, "cost": 0.0, **taken, "completed_at": now()}


def _is_run(connection: sa.Connection, campaign_id: int) -> bool:
    """Return whether a process runs a campaign that is not provably dead."""
    row = connection.execute(sa.select(locks).where(locks.c.campaign_id == campaign_id)).mappings().first()
    return row is not None and described_owner(dict(row)) is not None


def placed_calls() -> sa.Select[Any]:
    """Return the question for calls with the place of their candidates in the batch."""
    same = sa.and_(
        candidates.c.campaign_id == oracle_calls.c.campaign_id, candidates.c.object_id == oracle_calls.c.object_id
    )
    return sa.select(oracle_calls, candidates.c.position).select_from(oracle_calls.outerjoin(candidates, same))


@dataclass(frozen=True, slots=True)
class Purchase:
    """What is to be bought of one object, all of it or nothing.

    Attributes:
        object_id: of what.
        object: its text, in standard form.
        calls: the campaign's calls to each oracle that is asked, with the cost of one.
    """

    object_id: str
    object: str
    calls: tuple[tuple[OracleBook, float], ...]


@patient
def reserve(
    purchases: Sequence[Purchase], round: int, *, max_calls: int | None = None, max_cost: float | None = None
) -> int:
    """Book calls before they are made, as many as the budget allows, in order; return how many purchases fitted.

    A purchase is booked whole or not at all: a budget that ends leaves nothing half measured. What has a row is not
    booked again. What any campaign of this ledger already bought from an oracle of the same identity is taken over: it
    counts as a call, so that a campaign's course does not depend on its neighbours, but costs nothing and is not made.
    What another campaign is buying is awaited.

    Args:
        purchases: of one campaign.
        round: which round buys.
        max_calls: limit of the campaign's calls, None for no limit.
        max_cost: limit of the campaign's cost, None for no limit.
    """
    wanted: dict[OracleBook, list[str]] = {}
    for purchase in purchases:
        for book, _ in purchase.calls:
            wanted.setdefault(book, []).append(purchase.object_id)
    if not wanted:
        return len(purchases)
    one = next(iter(wanted))
    with one.ledger.write() as connection:
        refuse_if_lost(connection, one.ledger.url, one.campaign_id)
        spent = spent_of(connection, one.campaign_id)
        calls, total = spent.calls, spent.cost
        booked = {book: book._booked(connection, ids) for book, ids in wanted.items()}
        others = {
            book: book._others(connection, [key for key in ids if key not in booked[book]])
            for book, ids in wanted.items()
        }
        rows: list[JsonDict] = []
        fitted = 0
        for purchase in purchases:
            key = purchase.object_id
            new = [
                book.row(round, key, purchase.object, cost, others[book].get(key))
                for book, cost in purchase.calls
                if key not in booked[book]
            ]
            added = sum(row["cost"] for row in new)
            if new and max_calls is not None and calls + len(new) > max_calls:
                break
            if new and max_cost is not None and total + added > max_cost * (1 + 1e-12):
                break
            calls, total = calls + len(new), total + added
            for book, _ in purchase.calls:
                booked[book].add(key)
            rows += new
            fitted += 1
        if rows:
            connection.execute(sa.insert(oracle_calls), rows)
            one._book(connection, calls=calls, cost=total)
        return fitted


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _chunks(ids: Iterable[str]) -> Iterator[Sequence[str]]:
    items = list(dict.fromkeys(ids))
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))


Answer = float | Mapping[str, float | None] | None
"""A value, several by name, or None for a call that is given up."""


def settle(ledger: Ledger, name: str, object_id: str, answer: Answer, part: str | None = None) -> None:
    """Settle a call in doubt of any generation of a campaign: with its answer, or as abandoned.

    Args:
        ledger: open.
        name: of the campaign.
        object_id: of what was asked.
        answer: of the oracle.
        part: which of the campaign's oracles was asked; None: it has one only.

    Raises:
        LedgerError: no such campaign, or no such call is in doubt.
    """
    generations = [campaign.id for campaign in ledger.campaigns() if campaign.name == name]
    if not generations:
        ledger.campaign(name)  # says which there are
    _settle(ledger, generations, object_id, answer, part)


def _settle(
    ledger: Ledger, campaign_ids: Sequence[int], object_id: str, answer: Answer, part: str | None = None
) -> None:
    state = CallState.ABANDONED if answer is None else CallState.DONE
    columns = _columns(None, answer) if isinstance(answer, Mapping) else _columns(answer, None)
    with ledger.write() as connection:
        # A call that was in flight when its process died is in doubt, whether that campaign has noticed it or not.
        dead = [campaign_id for campaign_id in campaign_ids if not _is_run(connection, campaign_id)]
        lost = sa.and_(oracle_calls.c.state == CallState.SUBMITTED, oracle_calls.c.campaign_id.in_(dead))
        query = sa.select(
            oracle_calls.c.id, oracle_calls.c.oracle, oracle_calls.c.part, oracle_calls.c.replicate
        ).where(
            oracle_calls.c.campaign_id.in_(campaign_ids),
            oracle_calls.c.object_id == object_id,
            sa.or_(oracle_calls.c.state == CallState.IN_DOUBT, lost),
        )
        # What a laboratory was asked is not in doubt: it is told.
        rows = [
            row
            for row in connection.execute(query.order_by(oracle_calls.c.replicate, oracle_calls.c.id))
            if row.oracle.partition(":")[0] != LABORATORY and part in (None, row.part)
        ]
        if rows:
            first = rows[0].replicate  # repetitions are settled one by one
            ids = [row.id for row in rows if row.replicate == first]
            told = {"state": state, **columns, "completed_at": now()}
            connection.execute(sa.update(oracle_calls).where(oracle_calls.c.id.in_(ids)).values(told))
    if not rows:
        raise LedgerError(f"No call for {object_id!r} is in doubt. `discover candidates` shows the state of each one.")
