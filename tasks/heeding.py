"""A running campaign heeds what a person asks of it: `discover pause`, `resume` and `stop`.

It looks at the ledger before each call, and once a second at most wherever another stage tells of its progress. Calls
that are in flight are answered first: they are paid for.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from data.ledger.campaigns import CampaignState
from data.ledger.requests import ENDING, HELD, hold, requested
from tasks.progress import Event, emit, listening
from tasks.stages import CampaignContext, CampaignRef, CampaignStopped

LOOK_SECONDS = 1.0
MEASURING = "measure"
"""The stage that heeds by itself, between two calls."""
PAUSED = "paused"
"""The stage that is told of while a campaign is held."""


class HoldAsked(Exception):
    """A pause was asked for while calls are made: those in flight are answered, and no further ones are sent."""


class Heeding:
    """Has a campaign hold or end when it is asked to, during a block.

    Args:
        ref: of the campaign.
    """

    def __init__(self, ref: CampaignRef) -> None:
        self._ref = ref
        self._looked = time.monotonic()
        self._listening = listening(self._on_event)

    def __enter__(self) -> Self:
        self._listening.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.__exit__(kind, error, trace)

    def _on_event(self, event: Event) -> None:
        if time.monotonic() - self._looked < LOOK_SECONDS or event.stage in (MEASURING, PAUSED):
            return
        self._looked = time.monotonic()
        with self._ref.open() as context:
            if asked_to_hold(context):
                wait_while_paused(context, event.round)


def refuse_further_calls(context: CampaignContext) -> None:
    """Send no further call of an oracle where a person asked for it.

    Raises:
        HoldAsked: for a pause.
        CampaignStopped: the campaign is to end.
    """
    if asked_to_hold(context):
        raise HoldAsked


def asked_to_hold(context: CampaignContext) -> bool:
    """Return whether a campaign is to hold.

    Raises:
        CampaignStopped: it is to end.
    """
    state, message = requested(context.ledger, context.campaign.id)
    if state in ENDING:
        raise CampaignStopped(CampaignState.STOPPED, f"{message} The same command goes on.")
    return state in HELD


def wait_while_paused(context: CampaignContext, round: int) -> None:
    """Hold until the campaign is let go on; the time does not count as running time.

    Raises:
        CampaignStopped: it is to end instead.
    """
    ledger, id, began = context.ledger, context.campaign.id, time.monotonic()
    if not asked_to_hold(context):
        return
    hold(ledger, id)
    emit(Event(round, PAUSED))
    try:
        while asked_to_hold(context):
            time.sleep(LOOK_SECONDS / 2)
    finally:
        ledger.add_seconds(id, began - time.monotonic())
