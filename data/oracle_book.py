"""Oracle calls in the ledger: booked before the call, counted once, never lost.

A row stands for one purchase: (campaign, oracle@version, object, fidelity, replicate). Its life is
reserved -> submitted -> done | failed, with in_doubt for a call that was in flight when the process died and that the
oracle forbids to repeat, and abandoned for what a person gave up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from data.campaign_lock import refuse_if_lost
from data.campaigns import LedgerError, Spent, now
from data.ledger import Ledger, spent_of
from data.ledger_engine import clean_text, patient, repeatedly
from data.ledger_schema import candidates, oracle_calls
from data.records import CallState, JsonDict, Measurement

Semantics = Literal["pure", "idempotent", "unsafe"]
"""`pure`: call again freely, count once; `idempotent`: resend with the same key; `unsafe`: never call twice."""


class OracleBook:
    """The calls of one campaign to one oracle at one version."""

    def __init__(self, ledger: Ledger, campaign_id: int, oracle: str, version: str) -> None:
        self.ledger = ledger
        self.campaign_id = campaign_id
        self.oracle = oracle
        self.version = version

    @property
    def _mine(self) -> sa.ColumnElement[bool]:
        return sa.and_(
            oracle_calls.c.campaign_id == self.campaign_id,
            oracle_calls.c.oracle == self.oracle,
            oracle_calls.c.version == self.version,
        )

    @patient
    def reserve(
        self,
        round: int,
        molecules: Sequence[tuple[str, str]],
        *,
        cost: float,
        max_calls: int | None = None,
        max_cost: float | None = None,
    ) -> int:
        """Book calls before they are made, as many as the budget allows, in order; return how many fitted.

        A molecule that has a row is not booked again. One that any campaign of this ledger already bought from the
        same oracle and version takes over that value: it counts as a call, so that a campaign's course does not
        depend on its neighbours, but costs nothing and is not made.

        Args:
            round: which round buys.
            molecules: (object id, canonical SMILES).
            cost: of one call.
            max_calls: limit of the campaign's calls, None for no limit.
            max_cost: limit of the campaign's cost, None for no limit.
        """
        with self.ledger.write() as connection:
            refuse_if_lost(connection, self.ledger.url, self.campaign_id)
            spent = spent_of(connection, self.campaign_id)
            calls, total = spent.calls, spent.cost
            booked = set(connection.scalars(sa.select(oracle_calls.c.object_id).where(self._mine)))
            known = self._known_values(connection, [key for key, _ in molecules])
            fitted = 0
            for object_id, smiles in molecules:
                if object_id not in booked:
                    price = 0.0 if object_id in known else cost
                    if max_calls is not None and calls + 1 > max_calls:
                        break
                    if max_cost is not None and total + price > max_cost * (1 + 1e-12):
                        break
                    calls, total = calls + 1, total + price
                    self._insert(connection, round, object_id, smiles, price, known.get(object_id))
                fitted += 1
            return fitted

    @patient
    def import_values(self, round: int, rows: Sequence[tuple[str, str, float]]) -> None:
        """Record values that came with the data: known, never bought, not counted."""
        with self.ledger.write() as connection:
            booked = set(connection.scalars(sa.select(oracle_calls.c.object_id).where(self._mine)))
            for object_id, smiles, value in rows:
                if object_id not in booked:
                    self._insert(connection, round, object_id, smiles, 0.0, value, origin="imported")

    def submit(self, object_ids: Sequence[str]) -> None:
        """Mark calls as sent. Must be committed before the oracle is asked.

        Raises:
            LockLost: this process ran the campaign and its lock was removed meanwhile; nothing is sent.
            LedgerError: one of the calls is not booked.
        """
        repeatedly(lambda again: self._submit(object_ids, again=again))

    def _submit(self, object_ids: Sequence[str], *, again: bool) -> None:
        these = sa.and_(self._mine, oracle_calls.c.object_id.in_(object_ids))
        with self.ledger.write() as connection:
            refuse_if_lost(connection, self.ledger.url, self.campaign_id)
            if again:  # the database may have taken the first attempt and lost the connection before it could say so
                sent = sa.select(sa.func.count()).where(these, oracle_calls.c.state == CallState.SUBMITTED)
                if connection.scalar(sent) == len(object_ids):
                    return
            changed = connection.execute(
                sa.update(oracle_calls)
                .where(these, oracle_calls.c.state == CallState.RESERVED)
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
        values: dict[str, Any] = {
            "state": CallState.DONE if measurement.error is None else CallState.FAILED,
            "value": measurement.value,
            "error": measurement.error,
            "message": clean_text(measurement.message),
            "seconds": measurement.seconds,
            "completed_at": now(),
        }
        with self.ledger.write() as connection:
            connection.execute(
                sa.update(oracle_calls)
                .where(
                    self._mine,
                    oracle_calls.c.object_id == object_id,
                    oracle_calls.c.state.in_([CallState.SUBMITTED, CallState.IN_DOUBT]),
                )
                .values(values)
            )

    @patient
    def doubt(self, object_id: str, message: str) -> None:
        """Record that nobody knows whether a sent call was made: it timed out, or the oracle's process died."""
        with self.ledger.write() as connection:
            connection.execute(
                sa.update(oracle_calls)
                .where(self._mine, oracle_calls.c.object_id == object_id, oracle_calls.c.state == CallState.SUBMITTED)
                .values(state=CallState.IN_DOUBT, message=clean_text(message))
            )

    @patient
    def in_doubt(self) -> list[str]:
        """Return the ids of the calls that wait for a person, in the order in which they were booked."""
        with self.ledger.read() as connection:
            return list(
                connection.scalars(
                    sa.select(oracle_calls.c.object_id)
                    .where(self._mine, oracle_calls.c.state == CallState.IN_DOUBT)
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
                .where(self._mine, oracle_calls.c.state == CallState.SUBMITTED)
                .values(state=after)
            )
        return self.in_doubt()

    @patient
    def retry_failed(self, round: int) -> int:
        """Reserve a round's failed calls again, at no further count; return how many."""
        with self.ledger.write() as connection:
            return connection.execute(
                sa.update(oracle_calls)
                .where(self._mine, oracle_calls.c.round == round, oracle_calls.c.state == CallState.FAILED)
                .values(state=CallState.RESERVED, error=None, message="", completed_at=None)
            ).rowcount

    @patient
    def settle(self, object_id: str, value: float | None) -> None:
        """Settle a call in doubt: with its value, or as abandoned.

        Raises:
            LedgerError: no such call is in doubt.
        """
        state = CallState.ABANDONED if value is None else CallState.DONE
        with self.ledger.write() as connection:
            changed = connection.execute(
                sa.update(oracle_calls)
                .where(self._mine, oracle_calls.c.object_id == object_id, oracle_calls.c.state == CallState.IN_DOUBT)
                .values(state=state, value=value, completed_at=now())
            )
        if changed.rowcount == 0:
            raise LedgerError(
                f"No call for {object_id!r} is in doubt. `discover candidates` shows the state of each one."
            )

    def spent(self) -> Spent:
        """Return what the campaign has booked; imported values are not counted."""
        return self.ledger.spent(self.campaign_id)

    def reserved(self, round: int) -> list[tuple[str, str]]:
        """Return (object id, SMILES) of the round's booked calls that are still to be made, in batch order."""
        return [(row["object_id"], row["smiles"]) for row in self.rows(round) if row["state"] == CallState.RESERVED]

    @patient
    def rows(self, round: int | None = None) -> list[JsonDict]:
        """Return the calls in batch order, of one round or of all."""
        query = (
            sa.select(oracle_calls, candidates.c.position)
            .select_from(
                oracle_calls.outerjoin(
                    candidates,
                    sa.and_(
                        candidates.c.campaign_id == oracle_calls.c.campaign_id,
                        candidates.c.object_id == oracle_calls.c.object_id,
                    ),
                )
            )
            .where(self._mine)
            .order_by(oracle_calls.c.round, candidates.c.position, oracle_calls.c.id)
        )
        if round is not None:
            query = query.where(oracle_calls.c.round == round)
        with self.ledger.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _known_values(self, connection: sa.Connection, object_ids: Sequence[str]) -> Mapping[str, float]:
        rows = connection.execute(
            sa.select(oracle_calls.c.object_id, oracle_calls.c.value)
            .where(
                oracle_calls.c.oracle == self.oracle,
                oracle_calls.c.version == self.version,
                oracle_calls.c.origin != "imported",
                oracle_calls.c.state == CallState.DONE,
                oracle_calls.c.object_id.in_(object_ids),
            )
            .order_by(oracle_calls.c.id.desc())  # the oldest purchase wins
        )
        return {row.object_id: row.value for row in rows}

    def _insert(
        self,
        connection: sa.Connection,
        round: int,
        object_id: str,
        smiles: str,
        cost: float,
        value: float | None,
        origin: str | None = None,
    ) -> None:
        connection.execute(
            sa.insert(oracle_calls).values(
                campaign_id=self.campaign_id,
                round=round,
                oracle=self.oracle,
                version=self.version,
                object_id=object_id,
                smiles=smiles,
                origin=origin or ("called" if value is None else "reused"),
                state=CallState.RESERVED if value is None else CallState.DONE,
                attempts=0,
                cost=cost,
                value=value,
                message="",
                seconds=0.0,
                reserved_at=now(),
                completed_at=None if value is None else now(),
            )
        )


@patient
def measurements(ledger: Ledger, oracle: str, version: str) -> list[JsonDict]:
    """Return every measured (object_id, smiles, value, completed_at, campaign_id) of an oracle in the whole ledger.

    Each object stands once, with its first value, ordered by object id.
    """
    with ledger.read() as connection:
        rows = connection.execute(
            sa.select(
                oracle_calls.c.object_id,
                oracle_calls.c.smiles,
                oracle_calls.c.value,
                oracle_calls.c.completed_at,
                oracle_calls.c.campaign_id,
            )
            .where(
                oracle_calls.c.oracle == oracle,
                oracle_calls.c.version == version,
                oracle_calls.c.state == CallState.DONE,
            )
            .order_by(oracle_calls.c.id)
        ).mappings()
        first: dict[str, JsonDict] = {}
        for row in rows:
            first.setdefault(row["object_id"], dict(row))
    return [first[key] for key in sorted(first)]
