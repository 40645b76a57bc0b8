"""A ledger as it was at one moment, in a file of SQLite, and back: whatever database it is in, and while it is used."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from data.ledger.campaigns import LedgerError
from data.ledger.ledger import Ledger
from data.ledger.schema import campaigns, candidates, oracle_calls, revisions, stages

_ORDER = (campaigns, oracle_calls, candidates, revisions, stages)
"""Tables in the order in which their rows may be written; locks are of processes, and are not carried over."""
_ROWS = 2000


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database of SQLite as it is at one moment, also while others write to it, into a new file of mode 600."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(source, timeout=60)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it


def copy_ledger(ledger: Ledger, target: Path) -> None:
    """Copy a ledger as it is at one moment into a new file of SQLite.

    Raises:
        LedgerError: it cannot be read.
    """
    url = ledger.engine.url
    if ledger.engine.dialect.name == "sqlite":
        copy_sqlite(Path(str(url.database)), target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        made = Ledger.at(target)
        try:
            with (
                ledger.engine.connect().execution_options(
                    isolation_level="REPEATABLE READ", ledger_read=True
                ) as source,
                made.write() as connection,
            ):
                _copy_rows(source, connection)
        finally:
            made.close()
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("DELETE FROM locks")
        connection.commit()
        connection.execute("PRAGMA journal_mode=DELETE")


def fill_ledger(source: Path, ledger: Ledger) -> None:
    """Fill an empty ledger with what `copy_ledger` wrote, all or nothing.

    Raises:
        LedgerError: it has campaigns.
    """
    old = Ledger.at(source, migrating=False)
    try:
        with ledger.write() as connection, old.read() as found:
            if connection.scalar(sa.select(sa.func.count()).select_from(campaigns)):
                raise LedgerError(
                    f"The ledger {ledger.engine.url.render_as_string()} has campaigns; expected an empty database, "
                    "since what is there would be mixed with what is restored. Name another one."
                )
            _copy_rows(found, connection)
            if connection.dialect.name == "postgresql":
                for table in _ORDER:
                    if table.primary_key.columns.keys() == ["id"]:
                        _follow_ids(connection, table)
    finally:
        old.close()


def _copy_rows(source: sa.Connection, target: sa.Connection) -> None:
    for table in _ORDER:
        rows = source.execution_options(yield_per=_ROWS).execute(sa.select(table).order_by(*table.primary_key))
        for part in rows.mappings().partitions():
            target.execute(sa.insert(table), [dict(row) for row in part])


def _follow_ids(connection: sa.Connection, table: sa.Table) -> None:
    """Have a sequence of PostgreSQL go on behind the ids that were written."""
    last = connection.scalar(sa.select(sa.func.max(table.c.id)))
    if last is not None:
        connection.execute(sa.select(sa.func.setval(sa.func.pg_get_serial_sequence(table.name, "id"), last)))
