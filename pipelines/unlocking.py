"""`discover unlock`: for the lock of an owner whom nobody here can prove dead."""

from __future__ import annotations

import sys

import sqlalchemy as sa

from data.ledger.campaigns import Campaign
from data.ledger.ledger import Ledger
from data.ledger.lock import CampaignLocked, release_lock
from data.ledger.processes import described_owner
from data.ledger.schema import locks
from pipelines.terminal import Terminal
from tasks.workspace import Workspace


def remove_lock(workspace: Workspace, name: str, console: Terminal, *, yes: bool = False) -> None:
    """Remove a campaign's lock, after asking if its owner may still live.

    Args:
        workspace: whose ledger.
        name: of the campaign.
        console: where it is told.
        yes: remove it without asking; never that of a process that lives on this host.

    Raises:
        CampaignLocked: its owner lives on this host, or there is nobody to ask.
        LedgerError: no such campaign.
    """
    import platform

    ledger = workspace.ledger()
    campaign = ledger.campaign(name)
    row = _lock(ledger, campaign)
    if row is None:
        console.say(f"{name} is not locked.")
        return
    owner = described_owner(row)
    if owner is not None and row["host"] == platform.node():
        raise CampaignLocked(
            f"Campaign {name!r} is being run by {owner}, which lives on this host; its lock stays. End that process "
            f"(`kill {row['pid']}`: it ends in a state that the same command continues), then nothing is locked."
        )
    if owner is not None and not yes and not _agreed(name, owner):
        console.say(f"{name} stays locked.")
        return
    release_lock(ledger, campaign)
    console.say(f"{name} is free.")


def _lock(ledger: Ledger, campaign: Campaign) -> dict[str, object] | None:
    with ledger.read() as connection:
        row = connection.execute(sa.select(locks).where(locks.c.campaign_id == campaign.id)).mappings().first()
    return None if row is None else dict(row)


def _agreed(name: str, owner: str) -> bool:
    """Ask whether the owner is known to be dead.

    Raises:
        CampaignLocked: standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise CampaignLocked(
            f"Campaign {name!r} is locked by {owner}. Two processes at once would buy measurements twice, so say that "
            f"it is dead: `discover unlock {name} --yes`."
        )
    answer = input(f"{name} is locked by {owner}. Is that process surely dead? Type yes to remove its lock: ")
    return answer.strip().lower() == "yes"
