"""Runs that overlap: the second one ends at once, in a state of its own, and says who has what it wanted."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import State
from prefect.runtime import deployment
from prefect.states import Cancelled

from data.ledger.campaigns import Campaign
from data.ledger.lock import CampaignLocked
from tasks.file_lock import FileLock
from tasks.workspace import Workspace

ALREADY_RUNNING = "AlreadyRunning"


def ended_for_another(locked: CampaignLocked) -> State[Any]:
    """Return the state of a run of a schedule or a worker that found another one at work.

    Raises:
        CampaignLocked: somebody gave a command, and is told so.
    """
    if deployment.id is None:
        raise locked
    return Cancelled(name=ALREADY_RUNNING, message=str(locked))


@contextmanager
def retraining_alone(workspace: Workspace, campaign: Campaign) -> Iterator[None]:
    """Retrain the proxy of a campaign in one process at a time.

    Raises:
        CampaignLocked: another process of this host does; the message names it.
    """
    file = workspace.services / f"retrain-{campaign.slug}.lock"
    lock = FileLock(file)
    try:
        if not lock.try_alone():
            owner = file.read_text(encoding="utf-8", errors="replace").strip() or "another process"
            raise CampaignLocked(
                f"The proxy of campaign {campaign.name!r} is being retrained by {owner}; one process does so at a "
                "time. Wait for it, or end it and give the same command again."
            )
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        file.write_text(f"process {os.getpid()} on {platform.node()} since {since}\n", encoding="utf-8")
        yield
    finally:
        lock.close()
