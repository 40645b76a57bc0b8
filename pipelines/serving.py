"""Prefect's runner in this process, ended in order: runs that are at work end first, as interrupted ones."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.states import Crashed

HINT = 5.0
"""Seconds in which runs end that heard Ctrl-C too, from the terminal; after them they are asked to end."""
GRACE = 60.0
"""Seconds in which a run that was asked to end does so; then it is killed, which loses nothing measured."""
BEGUN = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
"""Of runs that a process is at work on, or is about to be."""
_STEP = 0.2
_OURS = "PREFECT__FLOW_RUN_ID"
"""Variable in the environment of each run's process."""


class Serving(Runner):
    """A runner that leaves its runs the time to end."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        # Not paused at its end: Prefect shows the runs that fall due as late, and `discover schedules` counts them.
        super().__init__(pause_on_shutdown=False)
        self._say = tell
        self._asked = 0

    def handle_sigterm(self, *_: Any, **__: Any) -> None:
        """Ask for the end; Prefect's own ends the process before its runs, and says nothing."""
        self._asked += 1

    def added(self, deployment: RunnerDeployment) -> UUID:
        """Make or update a deployment that is served; returns its id."""
        made = self.add_deployment(deployment)
        assert isinstance(made, UUID)  # a coroutine only inside a running event loop
        return made

    def serve(self) -> None:
        """Serve until a signal asks for the end."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self.handle_sigterm)
        serving = asyncio.create_task(self.start())
        while not self._asked and not serving.done():
            await asyncio.wait({serving}, timeout=_STEP)
        if not serving.done():
            await self._end_runs()
            serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving

    async def _end_runs(self) -> None:
        """Wait for the runs that are at work; a second signal is heeded at once."""
        self._scheduled_run_poller.stopping = True
        began, asked, hinted = time.monotonic(), self._asked, False
        if runs_at_work(os.getpid()):
            self._say("A run is at work and ends first; Ctrl-C again ends it at once.")
        while (runs := runs_at_work(os.getpid())) and self._asked == asked and time.monotonic() < began + GRACE:
            if not hinted and time.monotonic() > began + HINT:
                hinted = True
                for process in runs.values():
                    with suppress(psutil.Error):
                        process.terminate()
            await asyncio.sleep(_STEP)


def runs_at_work(parent: int | None = None) -> dict[str, psutil.Process]:
    """Return the processes of this machine that are at work on runs, by the run's id.

    Args:
        parent: only those that this process started.
    """
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "prefect.engine" in process.cmdline() and parent in (None, process.ppid()):
                found[process.environ().get(_OURS, "")] = process
    return found


def bury_dead(deployment_id: UUID) -> None:
    """Mark the runs of a schedule as crashed whose process is gone; for who alone serves it."""
    at_work = runs_at_work()
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(BEGUN)))),
        )
        for run in runs:
            if str(run.id) not in at_work:
                client.set_flow_run_state(run.id, Crashed(message="Its process has ended."), force=True)
