"""Calls that were entered as sent and certainly were not made: a worker refused them, or nobody had begun them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from data.ledger.book import OracleBook
from data.ledger.engine import patient
from data.ledger.schema import oracle_calls
from data.records import CallState

_AT_ONCE = 500


@patient
def release(book: OracleBook, object_ids: Sequence[str]) -> None:
    """Book such calls again, at no further count; a call that was answered meanwhile stays.

    Args:
        book: the campaign's calls to the oracle.
        object_ids: of what was not asked.
    """
    with book.ledger.write() as connection:
        for start in range(0, len(object_ids), _AT_ONCE):
            these = oracle_calls.c.object_id.in_(object_ids[start : start + _AT_ONCE])
            connection.execute(
                sa.update(oracle_calls)
                .where(book.mine, these, oracle_calls.c.state == CallState.SUBMITTED)
                .values(state=CallState.RESERVED, attempts=oracle_calls.c.attempts - 1)
            )
