"""Bringing a ledger up to date: refused while somebody works with it, copied before, one transaction."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from data.ledger.campaigns import LedgerError
from data.ledger.processes import described_owner
from data.ledger.queries import HEAD
from data.ledger.view import outdated

if TYPE_CHECKING:
    from data.ledger.ledger import Ledger

_SILENT = timedelta(minutes=10)
"""After so long without a heartbeat an owner on another host is no longer waited for."""


def migrate(ledger: Ledger, *, allowed: bool = True) -> None:
    """Make the tables of an empty ledger, or bring older ones up to date.

    An SQLite ledger is copied to `ledger.db.REVISION` before. Several processes may come at once: one does it.

    Args:
        ledger: open.
        allowed: False refuses an older ledger instead of changing it.

    Raises:
        LedgerError: a newer program wrote it, a campaign of it is being run, or it is old and may not be changed.
    """
    with ledger.read() as connection:
        revision = revision_of(connection)
    if revision == HEAD:
        return
    where = ledger.engine.url.render_as_string()
    if revision is not None and revision > HEAD:
        raise LedgerError(
            f"The ledger {where} is at revision {revision}, this program knows up to {HEAD}. Install the newer "
            "discovery-flows that wrote it."
        )
    if not allowed and revision is not None:
        raise LedgerError(outdated(where, revision))
    from alembic import command  # only the first run and upgrades pay for this import
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "data:migrations")
    config.set_main_option("path_separator", "os")
    with ledger.write() as connection:
        revision = revision_of(connection)  # another process may have been quicker
        if revision == HEAD:
            return
        if revision is not None:
            _refuse_while_running(connection, where)
            _copy(ledger.engine.url, revision)
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)


def revision_of(connection: sa.Connection) -> str | None:
    """Return the revision of a ledger's tables, None where there are none."""
    if "alembic_version" not in sa.inspect(connection).get_table_names():
        return None
    revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return revision


def _refuse_while_running(connection: sa.Connection, where: str) -> None:
    """Refuse while a campaign has a living owner; one on another host is living as long as its heart beats."""
    rows = connection.execute(
        sa.text("SELECT locks.*, campaigns.name FROM locks JOIN campaigns ON campaigns.id = locks.campaign_id")
    ).mappings()
    for row in rows:
        owner = described_owner(dict(row))
        if owner and datetime.fromisoformat(row["heartbeat"]) > datetime.now(UTC) - _SILENT:
            raise LedgerError(
                f"The ledger {where} must be brought up to date, but campaign {row['name']!r} is being run by {owner}, "
                "with an earlier discovery-flows. Wait for it, or end it; then give the same command again."
            )


def _copy(url: sa.URL, revision: str) -> None:
    """Copy an SQLite file beside itself; the caller holds the write lock, so nothing is committed meanwhile."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return
    source = Path(url.database)
    target = source.with_name(f"{source.name}.{revision}")
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    old, new = sqlite3.connect(source, timeout=30), sqlite3.connect(partial)
    try:
        old.backup(new)
    finally:
        old.close()
        new.close()
    os.chmod(partial, source.stat().st_mode & 0o777)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    number = 1
    while target.exists():  # an earlier copy may hold what nothing else does
        number += 1
        target = source.with_name(f"{source.name}.{revision}-{number}")
    os.replace(partial, target)
