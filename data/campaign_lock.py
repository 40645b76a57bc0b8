"""One process runs a campaign at a time: a lock row with owner and heartbeat.

The lock is taken over only from an owner that is provably dead: a process of this host that no longer exists (its
start time is kept too, since a pid can be given out again). An owner on another host cannot be proven dead from here.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import sqlalchemy as sa

from data.campaigns import Campaign, LedgerError, now
from data.ledger import Ledger
from data.ledger_schema import locks
from data.processes import is_dead

HEARTBEAT_SECONDS = 5.0


class CampaignLocked(LedgerError):
    """Another process is running this campaign."""


@contextmanager
def campaign_lock(ledger: Ledger, campaign: Campaign) -> Iterator[None]:
    """Hold the campaign for a block; a thread keeps the heartbeat and adds up the running time.

    Raises:
        CampaignLocked: a living process, or one on another host, holds it; the message names it.
    """
    _acquire(ledger, campaign)
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(ledger, campaign.id, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        with ledger.write() as connection:
            connection.execute(sa.delete(locks).where(locks.c.campaign_id == campaign.id, *_me()))


def refuse_if_running(ledger: Ledger, name: str) -> None:
    """Refuse to touch a campaign that another process is running: not its budget, and no new generation beside it.

    Raises:
        CampaignLocked: a living process, or one on another host, holds it; the message names it.
    """
    if name not in {campaign.name for campaign in ledger.campaigns()}:
        return
    campaign = ledger.campaign(name)
    with ledger.read() as connection:
        row = connection.execute(sa.select(locks).where(locks.c.campaign_id == campaign.id)).first()
    if row is not None and not is_dead(row.host, row.pid, row.started):
        raise CampaignLocked(_held(campaign, row))


def release_lock(ledger: Ledger, campaign: Campaign) -> None:
    """Remove the lock whoever holds it: for an owner on another host that a person knows to be dead."""
    with ledger.write() as connection:
        connection.execute(sa.delete(locks).where(locks.c.campaign_id == campaign.id))


def _acquire(ledger: Ledger, campaign: Campaign) -> None:
    with ledger.write() as connection:
        row = connection.execute(sa.select(locks).where(locks.c.campaign_id == campaign.id)).first()
        if row is not None and not is_dead(row.host, row.pid, row.started):
            raise CampaignLocked(_held(campaign, row))
        connection.execute(sa.delete(locks).where(locks.c.campaign_id == campaign.id))
        connection.execute(
            sa.insert(locks).values(
                campaign_id=campaign.id,
                host=platform.node(),
                pid=os.getpid(),
                started=psutil.Process().create_time(),
                heartbeat=now(),
            )
        )


def _held(campaign: Campaign, row: sa.Row[Any]) -> str:
    return (
        f"Campaign {campaign.name!r} is being run by process {row.pid} on {row.host} (last heartbeat "
        f"{row.heartbeat}); one process runs a campaign at a time. Wait for it, or end it and give the same "
        f"command again. If that host is gone for good: `discover unlock {campaign.name}`."
    )


def _me() -> tuple[sa.ColumnElement[bool], ...]:
    return (locks.c.host == platform.node(), locks.c.pid == os.getpid())


def _beat(ledger: Ledger, campaign_id: int, ended: threading.Event) -> None:
    last = time.monotonic()
    over = False
    while not over:
        over = ended.wait(HEARTBEAT_SECONDS)
        present = time.monotonic()
        ledger.add_seconds(campaign_id, present - last)
        last = present
        with ledger.write() as connection:
            connection.execute(
                sa.update(locks).where(locks.c.campaign_id == campaign_id, *_me()).values(heartbeat=now())
            )
