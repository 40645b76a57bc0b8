"""One process runs a campaign at a time: a lock row with owner and heartbeat.

The lock is taken over only from an owner that is provably dead: see `data/ledger/processes.py`. Each taking of the
lock has a token of its own. A run whose token is gone from the ledger has lost the campaign: it buys nothing more and
ends.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from data.ledger.campaigns import Campaign, CampaignState, LedgerError, now
from data.ledger.engine import patient
from data.ledger.ledger import Ledger
from data.ledger.processes import ProcessIdentity, is_dead
from data.ledger.schema import campaigns, locks

HEARTBEAT_SECONDS = 5.0

_HELD: dict[tuple[str, int], str] = {}
"""Tokens that this process holds, by URL of the ledger and campaign."""


class CampaignLocked(LedgerError):
    """Another process is running this campaign."""


class LockLost(LedgerError):
    """This run's lock is gone from the ledger: somebody removed it, or another process runs the campaign now."""

    exit_code = 3
    """Of the command: stopped, not refused."""

    def __init__(self, name: str = "") -> None:
        super().__init__(
            f"The lock of {f'campaign {name!r}' if name else 'the campaign'} was removed from the ledger while this "
            "process ran it (`discover unlock`, or another process took it over). This process stopped and bought "
            "nothing more; what was measured is kept. Look with `discover status` whether another process runs it; if "
            "none does, the same command goes on."
        )


@contextmanager
def campaign_lock(ledger: Ledger, campaign: Campaign) -> Iterator[None]:
    """Hold the campaign for a block; a thread keeps the heartbeat and adds up the running time.

    Raises:
        CampaignLocked: a living process, or one that cannot be seen from here, holds it; the message names it.
        LockLost: in the block, if the lock was removed meanwhile.
    """
    token = _acquire(ledger, campaign)
    watch = _Watch()
    beat = threading.Thread(target=_beat, args=(ledger, campaign.id, token, watch), daemon=True)
    beat.start()
    try:
        try:
            yield
        finally:
            watch.end()  # from here on the heartbeat interrupts nobody
            beat.join()
            _HELD.pop((ledger.url, campaign.id), None)
            with suppress(LedgerError), ledger.write() as connection:  # what stays is the lock of a dead process
                connection.execute(sa.delete(locks).where(locks.c.campaign_id == campaign.id, locks.c.token == token))
    except KeyboardInterrupt as interrupt:  # it may have come while the block was being left
        if watch.lost:
            raise LockLost(campaign.name) from interrupt
        raise


class _Watch:
    """What the heartbeat and the run tell each other."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.lost = False
        self._turn = threading.Lock()

    def end(self) -> None:
        """Say that the run is over."""
        with self._turn:
            self.ended.set()

    def lose(self) -> None:
        """Say that the lock is gone, and wake the run if it is not over."""
        with self._turn:
            self.lost = True
            if not self.ended.is_set():
                _interrupt_main_thread()


def refuse_if_running(ledger: Ledger, name: str) -> None:
    """Refuse to touch a campaign that another process is running: not its budget, and no new generation beside it.

    Raises:
        CampaignLocked: a living process, or one that cannot be seen from here, holds it; the message names it.
    """
    if name not in {campaign.name for campaign in ledger.campaigns()}:
        return
    campaign = ledger.campaign(name)
    with ledger.read() as connection:
        refuse_if_held(connection, campaign)


def refuse_if_lost(connection: sa.Connection, url: str, campaign_id: int) -> None:
    """Refuse, as part of a transaction, to go on in a campaign whose lock this process held and lost.

    A process that never held it is not concerned: settling a call by hand needs no lock.

    Raises:
        LockLost: the row is gone or another's.
    """
    token = _HELD.get((url, campaign_id))
    if token is not None and connection.scalar(_token_of(campaign_id)) != token:
        raise LockLost()


def has_lost(ledger: Ledger, campaign_id: int) -> bool:
    """Return whether this process held the campaign's lock and lost it."""
    try:
        with ledger.read() as connection:
            refuse_if_lost(connection, ledger.url, campaign_id)
    except LockLost:
        return True
    return False


@patient
def release_lock(ledger: Ledger, campaign: Campaign) -> None:
    """Remove the lock whoever holds it: for an owner on another host that a person knows to be dead."""
    with ledger.write() as connection:
        connection.execute(sa.delete(locks).where(locks.c.campaign_id == campaign.id))


@patient
def _acquire(ledger: Ledger, campaign: Campaign) -> str:
    token = uuid4().hex
    with ledger.write() as connection:
        refuse_if_held(connection, campaign)
        _refuse_if_deleted(connection, campaign)
        connection.execute(sa.delete(locks).where(locks.c.campaign_id == campaign.id))
        connection.execute(
            sa.insert(locks).values(
                campaign_id=campaign.id, heartbeat=now(), token=token, **ProcessIdentity.of_this_process().row()
            )
        )
    _HELD[ledger.url, campaign.id] = token
    return token


def refuse_if_held(connection: sa.Connection, campaign: Campaign) -> None:
    """Refuse, as part of a transaction, to touch a campaign that a process may be running.

    Raises:
        CampaignLocked: its owner is not provably dead.
    """
    row = connection.execute(sa.select(locks).where(locks.c.campaign_id == campaign.id)).mappings().first()
    if row is not None and not is_dead(dict(row)):
        raise CampaignLocked(_held(campaign, row))


def _refuse_if_deleted(connection: sa.Connection, campaign: Campaign) -> None:
    """Refuse to run a campaign that was deleted since it was looked up."""
    state = connection.scalar(sa.select(campaigns.c.state).where(campaigns.c.id == campaign.id))
    if state in (None, CampaignState.DELETED):
        raise LedgerError(
            f"Campaign {campaign.name!r} was deleted meanwhile. The same command begins it anew; what it measured is "
            "taken over."
        )


def _held(campaign: Campaign, row: sa.RowMapping) -> str:
    return (
        f"Campaign {campaign.name!r} is being run by process {row['pid']} on {row['host']} (since "
        f"{datetime.fromtimestamp(row['started'], UTC):%Y-%m-%d %H:%M} UTC, last heartbeat {row['heartbeat']}); one "
        f"process runs a campaign at a time. Wait for it, or end it and give the same "
        f"command again. If that host or container is gone for good: `discover unlock {campaign.name}`."
    )


def _token_of(campaign_id: int) -> sa.Select[Any]:
    return sa.select(locks.c.token).where(locks.c.campaign_id == campaign_id)


def _beat(ledger: Ledger, campaign_id: int, token: str, watch: _Watch) -> None:
    last = time.monotonic()
    over = False
    while not over:
        over = watch.ended.wait(HEARTBEAT_SECONDS)
        present = time.monotonic()
        try:
            beaten = _keep(ledger, campaign_id, token, present - last)
        except LedgerError:
            continue  # it is away for a while: the campaign itself waits for it, and says so
        last = present
        if not beaten:
            watch.lose()
            return


def _keep(ledger: Ledger, campaign_id: int, token: str, seconds: float) -> bool:
    """Beat once and add the running time; return whether the lock is still ours."""
    with ledger.write() as connection:
        mine = sa.update(locks).where(locks.c.campaign_id == campaign_id, locks.c.token == token)
        if connection.execute(mine.values(heartbeat=now())).rowcount == 0:
            return False
        spent = sa.update(campaigns).where(campaigns.c.id == campaign_id)
        connection.execute(spent.values(seconds=campaigns.c.seconds + seconds))
    return True


def _interrupt_main_thread() -> None:
    """Wake the main thread out of whatever it waits for, as Ctrl-C would; a shell may have had SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        handler: Callable[..., Any] | int | None = signal.getsignal(number)
        if callable(handler):
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            return
