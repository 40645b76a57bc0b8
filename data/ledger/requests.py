"""What a person asks of a campaign that another process runs: to hold, to go on, to end.

A request is the campaign's state in the ledger, so it reaches the process on whatever machine it runs, and outlives
both. The process looks between two calls and two steps of a training; a campaign that nobody runs is held at once, and
stays so until somebody lets it go on.
"""

from __future__ import annotations

import sqlalchemy as sa

from data.ledger.campaigns import Campaign, CampaignState, LedgerError
from data.ledger.engine import clean_text, patient
from data.ledger.ledger import Ledger
from data.ledger.processes import is_dead
from data.ledger.schema import campaigns, locks

HELD = (CampaignState.PAUSING, CampaignState.PAUSED)
ENDING = (CampaignState.STOPPING,)
AT_WORK = (CampaignState.RUNNING, *HELD, *ENDING)
"""States of a campaign that a process goes on with; in any other one its process is about to begin, or to be gone."""


class CampaignPaused(LedgerError):
    """A person paused the campaign: nobody goes on with it until it is resumed."""

    exit_code = 3
    """Of the command: stopped, not refused."""

    def __init__(self, campaign: Campaign) -> None:
        super().__init__(
            f"Campaign {campaign.name!r} is paused. {campaign.message} `discover resume {campaign.name}` lets it go "
            "on, then give the same command again; a schedule goes on by itself."
        )


def refuse_if_paused(ledger: Ledger, name: str) -> None:
    """Refuse to go on with a campaign that a person paused.

    Raises:
        CampaignPaused: it is so.
    """
    campaign = next((one for one in reversed(ledger.campaigns()) if one.name == name), None)
    if campaign is not None and campaign.state in HELD:
        raise CampaignPaused(campaign)


def requested(ledger: Ledger, campaign_id: int) -> tuple[CampaignState, str]:
    """Return the state of a campaign as the ledger has it now, with its message."""
    with ledger.read() as connection:
        found = connection.execute(
            sa.select(campaigns.c.state, campaigns.c.message).where(campaigns.c.id == campaign_id)
        ).one()
    return CampaignState(found.state), found.message


@patient
def ask_to_hold(ledger: Ledger, campaign: Campaign, message: str) -> bool:
    """Ask for a pause; return whether a process runs the campaign, and so holds a little later.

    Raises:
        LedgerError: it is done, being ended, or held already.
    """
    with ledger.write() as connection:
        state, running = _standing(connection, campaign.id)
        if state in HELD and (running or state is CampaignState.PAUSED):
            raise LedgerError(
                f"Campaign {campaign.name!r} is paused already. `discover resume {campaign.name}` ends it."
            )
        if not running and state is CampaignState.DONE:
            raise LedgerError(
                f"Campaign {campaign.name!r} is done, so there is nothing to pause. A schedule that would give it more "
                "rounds is paused with `discover schedules`."
            )
        if running and (state in ENDING or state not in AT_WORK):
            raise LedgerError(f"Campaign {campaign.name!r} is being stopped. Wait for it, then pause it.")
        if not running:
            message = f"{message} Before that: {str(state).replace('_', ' ')}. {campaign.message}".rstrip()
        _set(connection, campaign.id, CampaignState.PAUSING if running else CampaignState.PAUSED, message)
    return running


@patient
def let_go_on(ledger: Ledger, campaign: Campaign, message: str) -> bool:
    """End a pause; return whether a process goes on by itself.

    Raises:
        LedgerError: it is not paused.
    """
    with ledger.write() as connection:
        state, running = _standing(connection, campaign.id)
        if state not in HELD:
            raise LedgerError(
                f"Campaign {campaign.name!r} is not paused; its state is {str(state).replace('_', ' ')}. Look with "
                f"`discover status {campaign.name}`."
            )
        _set(connection, campaign.id, CampaignState.RUNNING if running else CampaignState.INTERRUPTED, message)
    return running


@patient
def ask_to_end(ledger: Ledger, campaign: Campaign, message: str) -> None:
    """Ask the process that runs a campaign to end it; one that is ending already, in whatever state, is left alone.

    Raises:
        LedgerError: no process runs it.
    """
    with ledger.write() as connection:
        state, running = _standing(connection, campaign.id)
        if not running:
            raise LedgerError(
                f"No process runs campaign {campaign.name!r}; its state is {str(state).replace('_', ' ')}. To keep a "
                f"schedule from going on with it: `discover pause {campaign.name}`."
            )
        if state in AT_WORK and state not in ENDING:
            _set(connection, campaign.id, CampaignState.STOPPING, message)


@patient
def hold(ledger: Ledger, campaign_id: int) -> None:
    """Record that the process which runs a campaign holds now, unless it was let go on meanwhile."""
    with ledger.write() as connection:
        connection.execute(
            sa.update(campaigns)
            .where(campaigns.c.id == campaign_id, campaigns.c.state == CampaignState.PAUSING)
            .values(state=CampaignState.PAUSED)
        )


def _standing(connection: sa.Connection, campaign_id: int) -> tuple[CampaignState, bool]:
    """Return the state of a campaign, and whether a process may be running it."""
    state = connection.scalar(sa.select(campaigns.c.state).where(campaigns.c.id == campaign_id))
    lock = connection.execute(sa.select(locks).where(locks.c.campaign_id == campaign_id)).mappings().first()
    return CampaignState(str(state)), lock is not None and not is_dead(dict(lock))


def _set(connection: sa.Connection, campaign_id: int, state: CampaignState, message: str) -> None:
    connection.execute(
        sa.update(campaigns).where(campaigns.c.id == campaign_id).values(state=state, message=clean_text(message))
    )
