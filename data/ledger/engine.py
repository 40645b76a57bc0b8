"""Connections of the ledger, and what happens while its database is busy, restarting or broken.

A transaction that the database did not take is repeated, with a pause that grows, for a while; the first repetition is
told on stderr. What no waiting mends (a full disk, a file that cannot be written, a damaged one) is told at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa

from data.ledger.campaigns import LedgerError

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE_SECONDS = 60.0
"""How long a busy or unreachable database is waited for."""
_SHORTER: ContextVar[float | None] = ContextVar("shorter patience", default=None)
CONNECT_SECONDS = 10
"""How long the server of a database is waited for to take a connection."""
_BUSY_MILLISECONDS = 1000
"""How long SQLite itself waits before it reports that it is busy."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_WRITING = 0x646973636F766572
"""The lock that a writing transaction has in a database of PostgreSQL."""
_LOCK_SECONDS, _IDLE_SECONDS = 10, 60
"""How long PostgreSQL itself waits for that lock, and for a writer that says nothing, which may be stopped or gone."""

_FULL = ("the disk is full", "Free space on it and give the same command again.")
_DAMAGED = ("its file is damaged", "Look with `discover doctor`, and restore a copy; keep the damaged file.")
_BROKEN = (
    ("disk is full", *_FULL),
    ("readonly", "it may only be read", "Mend the permissions of the file and of its folder."),
    ("read-only", "it may only be read", "Mend the permissions of the file and of its folder."),
    ("malformed", "its file is damaged", "Look with `discover doctor`, and restore a copy; keep the damaged file."),
    (
        "not a database",
        "its file is damaged",
        "Look with `discover doctor`, and restore a copy; keep the damaged file.",
    ),
    ("unable to open", "it cannot be opened", "See that its folder exists and that you may write there."),
    ("disk i/o error", "the disk reports an error", "Look at the disk and its free space, then run `discover doctor`."),
)
"""What the driver's message holds, what that means, what to do."""


class LedgerUnavailable(LedgerError):
    """The database did not take a transaction now, but may do so later."""


def ledger_engine(url: str) -> sa.Engine:
    """Return the engine of a ledger; `postgresql://` is opened with the driver that we install.

    Raises:
        sqlalchemy.exc.SQLAlchemyError, ImportError: the URL names nothing that can be opened.
    """
    address = sa.make_url(url)
    if address.drivername in ("postgresql", "postgres"):
        address = address.set(drivername="postgresql+psycopg")
    is_postgres = address.drivername == "postgresql+psycopg"
    limited = "connect_timeout" in address.query or "PGCONNECT_TIMEOUT" in os.environ  # the person's own limit
    waiting = {"connect_timeout": CONNECT_SECONDS} if is_postgres and not limited else {}
    engine = sa.create_engine(address, pool_pre_ping=not url.startswith("sqlite"), connect_args=waiting)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.name == "postgresql":
        sa.event.listen(engine, "begin", _begin_postgresql)
    return engine


@contextmanager
def transaction(engine: sa.Engine, *, read_only: bool) -> Iterator[sa.Connection]:
    """Run a block in one transaction: committed whole, or not at all.

    Raises:
        LedgerUnavailable: the database is busy or gone, for now.
        LedgerError: the database cannot be written or is damaged.
    """
    try:
        if read_only:
            with engine.connect().execution_options(ledger_read=True) as connection:
                yield connection
        else:
            with engine.begin() as connection:
                yield connection
    except sa.exc.DBAPIError as error:
        refusal = _told(engine, error)
        if refusal is None:
            raise
        raise refusal from error


def patient(method: Callable[P, T]) -> Callable[P, T]:
    """Repeat a method, which must be one transaction and do no harm twice, while the database is away or busy.

    Raises:
        LedgerError: it still is after `PATIENCE_SECONDS`.
    """

    @wraps(method)
    def repeated(*arguments: P.args, **options: P.kwargs) -> T:
        return patiently(lambda: method(*arguments, **options))

    return repeated


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Have the block wait only so long for a database that is away or busy, as for somebody who waits for an answer."""
    token = _SHORTER.set(seconds)
    try:
        yield
    finally:
        _SHORTER.reset(token)


def patiently(attempt: Callable[[], T]) -> T:
    """Return what an attempt returns, made again while the database is away or busy."""
    shorter = _SHORTER.get()
    limit = PATIENCE_SECONDS if shorter is None else min(shorter, PATIENCE_SECONDS)
    deadline, pause, told = time.monotonic() + limit, _FIRST_PAUSE, False
    while True:
        try:
            return attempt()
        except LedgerUnavailable as error:
            if time.monotonic() + pause > deadline:
                raise LedgerError(
                    f"{error} It was waited for during {limit:.0f} s. End the process that holds it, or "
                    "start its server, and give the same command again."
                ) from error
            if not told:
                print(f"{error} Waiting for it, up to {limit:.0f} s.", file=sys.stderr, flush=True)
                told = True
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def repeatedly(attempt: Callable[[bool], T]) -> T:
    """Return what an attempt returns, which is told whether it is made again: an earlier one may have been taken."""
    attempts = 0

    def once() -> T:
        nonlocal attempts
        attempts += 1
        return attempt(attempts > 1)

    return patiently(once)


def clean_text(text: str, limit: int = 2000) -> str:
    """Return a text that every database takes: no NUL, no lone surrogate, at most `limit` characters."""
    return text[:limit].replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _told(engine: sa.Engine, error: sa.exc.DBAPIError) -> LedgerError | None:
    """Return what to tell of a database's error, None if it is a defect of the program."""
    reason = " ".join(str(error.orig).split())
    where = engine.url.render_as_string()  # without the password
    if engine.dialect.name != "sqlite":
        if error.connection_invalidated or isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
            return LedgerUnavailable(f"The ledger {where} does not answer ({reason}).")
        return None
    if "locked" in reason or "busy" in reason:
        return LedgerUnavailable(f"The ledger is busy: another process is writing {where} ({reason}).")
    for sign, meaning, remedy in _BROKEN:
        if sign in reason.lower():
            return LedgerError(f"The ledger {where} refuses: {meaning} ({reason}). {remedy}")
    return None


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's BEGIN below decides, not the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # IMMEDIATE: a transaction that will write must not find the database changed under it half-way.
    read_only = connection.get_execution_options().get("ledger_read")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: sa.Connection) -> None:
    # One writer at a time, as in SQLite: what a transaction has read must still be so when it writes.
    if not connection.get_execution_options().get("ledger_read"):
        connection.exec_driver_sql(
            f"SELECT set_config('lock_timeout', '{_LOCK_SECONDS}s', true), "
            f"set_config('idle_in_transaction_session_timeout', '{_IDLE_SECONDS}s', true), "
            f"pg_advisory_xact_lock({_WRITING})"
        )
