"""MLflow's view of a campaign while it runs: its rounds are runs from their beginning on, and fill as answers come."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from tasks.progress import Event, listening
from tasks.reporting.publishing import show_running
from tasks.stages import CampaignContext, CampaignRef
from tasks.tracking import Tracker, attempt

EVERY_SECONDS = 5.0
"""Between two looks; a round that is shorter is shown when it is over."""


class LiveView:
    """Shows a campaign's progress in MLflow during a block; where that fails it is said once and left.

    Args:
        ref: of the campaign.
    """

    def __init__(self, ref: CampaignRef) -> None:
        self._ref = ref
        self._tracker: Tracker | None = None
        self._failed = False
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
        if self._failed or time.monotonic() - self._looked < EVERY_SECONDS or event.stage == "start":
            return
        self._failed = attempt("showing the progress", lambda: self._show(event)) is None
        self._looked = time.monotonic()

    def _show(self, event: Event) -> bool:
        with self._ref.open() as context:
            show_running(context, self._tracker_of(context), event)
        return True

    def _tracker_of(self, context: CampaignContext) -> Tracker:
        if self._tracker is None:
            self._tracker = Tracker(context.workspace, context.campaign)
        return self._tracker
