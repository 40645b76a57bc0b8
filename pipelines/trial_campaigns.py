"""Campaigns that the trial of a published system runs: in a workspace of their own, whatever the user's settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.ledger.campaigns import CampaignState
from models.systems.base import Purchase
from pipelines.calling import as_function
from pipelines.campaign import run_checked
from pipelines.given import configuration
from pipelines.validation import built_once
from tasks.progress import Event, retold
from tasks.reporting.report import final_report, report
from tasks.workspace import LEDGER_VARIABLE, Workspace

ELSEWHERE = (LEDGER_VARIABLE, "MLFLOW_TRACKING_URI")
"""Settings that would put a trial's purchases and runs among the user's own."""


def run_apart(config: Mapping[str, Any], folder: Path, tell: Callable[[int], None]) -> list[Purchase]:
    """Run a campaign in the workspace of a folder, or go on where it was broken off; no report is made of it.

    Args:
        config: the keys of a campaign file.
        folder: of the workspace, made if need be, where relative paths start too.
        tell: called with the number of the round whenever a stage of it begins or gets further.

    Returns:
        What was measured, by round and in the order of purchase.

    Raises:
        ConfigError, ComponentError, SourceError, BadInput, LedgerError: the configuration cannot be used.
        RuntimeError: the campaign ended before its last round.
    """

    def translate(event: Event) -> None:
        tell(event.round)

    with _at_home(), retold(translate):
        workspace = Workspace.open(folder)
        given, base = configuration(config, (), folder)
        ended = run_checked(built_once(given, base), base, workspace=workspace, call=_unreported)
        if ended.state is not CampaignState.DONE:
            raise RuntimeError(f"The campaign {given.name!r} of a trial ended as {ended.state.value}: {ended.message}")
        ledger = workspace.ledger()
        try:
            rows = ledger.candidates(ended.campaign.id)
        finally:
            ledger.close()
    return [Purchase(row.round, row.object, float(row.value)) for row in rows if row.value is not None]


def _unreported(task: Any, *arguments: Any) -> Any:
    """Call a stage as a function, but none that draws: pictures that nobody looks at are half of a short campaign."""
    return None if task in (report, final_report) else as_function(task, *arguments)


@contextmanager
def _at_home() -> Iterator[None]:
    """Have the ledger and MLflow of a workspace in its own folder during a block."""
    before = {name: os.environ.pop(name) for name in ELSEWHERE if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)
