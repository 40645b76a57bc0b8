"""`discover pause`, `resume`, `stop`: what a person asks of a campaign that another process runs."""

from __future__ import annotations

import getpass
import platform
import time
from contextlib import suppress
from datetime import UTC, datetime

from data.ledger.campaigns import CampaignState, LedgerError
from data.ledger.requests import ENDING, ask_to_end, ask_to_hold, let_go_on, requested
from pipelines.terminal import Terminal
from tasks.workspace import Workspace

POLL_SECONDS = 0.5


def pause(workspace: Workspace, name: str, console: Terminal) -> int:
    """Have a campaign hold, by the process that runs it or without one; returns the exit code.

    Raises:
        LedgerError: no such campaign, or it cannot be paused.
    """
    ledger = workspace.ledger()
    campaign = ledger.campaign(name)
    running = ask_to_hold(ledger, campaign, f"Paused by {_who()} at {_hour()}.")
    if running:
        console.say(
            f"Campaign {name} will hold after the calls that are in flight, or at the next step of what it trains. "
            f"Its process stays: `discover resume {name}` has it go on, `discover stop {name}` ends it."
        )
    else:
        console.say(
            f"Campaign {name} is paused: neither `discover run` nor a schedule goes on with it before `discover resume "
            f"{name}`."
        )
    return 0


def resume(workspace: Workspace, name: str, console: Terminal) -> int:
    """End a pause; returns the exit code.

    Raises:
        LedgerError: no such campaign, or it is not paused.
    """
    ledger = workspace.ledger()
    running = let_go_on(ledger, ledger.campaign(name), f"Resumed by {_who()} at {_hour()}; the same command goes on.")
    if running:
        console.say(f"Campaign {name} goes on, in the process that held it.")
    else:
        console.say(
            f"Campaign {name} may go on. No process holds it: give its `discover run FILE` again; a schedule goes on "
            "by itself."
        )
    return 0


def stop(workspace: Workspace, name: str, console: Terminal, *, wait: bool = True) -> int:
    """Have the process that runs a campaign end it, and wait until it has; returns the exit code.

    Raises:
        LedgerError: no such campaign, or no process runs it.
    """
    ledger = workspace.ledger()
    campaign = ledger.campaign(name)
    why = f"Stopped by {_who()} at {_hour()}."
    ask_to_end(ledger, campaign, why)
    told = f"Campaign {name} will end after the calls that are in flight, or at the next step of what it trains."
    if not wait:
        console.say(told)
        return 0
    console.say(f"{told} Waiting for it; Ctrl-C ends the waiting, not the request.")
    while ledger.owner(campaign.id) is not None:  # it reports after the state has been set
        time.sleep(POLL_SECONDS)
        if requested(ledger, campaign.id)[0] is CampaignState.RUNNING:  # it was only beginning
            with suppress(LedgerError):
                ask_to_end(ledger, campaign, why)
    state, message = requested(ledger, campaign.id)
    if state in ENDING:
        console.say(f"Its process ended without a word: killed. The same `discover run` goes on with {name}.")
    elif state is CampaignState.STOPPED:
        console.say((f"Campaign {name} is stopped; the same `discover run` goes on.", "green"))
    else:
        console.say(f"Campaign {name} ended first: {str(state).replace('_', ' ')}. {message}".rstrip())
    return 0


def _who() -> str:
    return f"{getpass.getuser()} on {platform.node()}"


def _hour() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
