"""What becomes of the runs of a schedule, said while it is served."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import PrefectException

from pipelines.deployments import MISSED

POLL = 5.0
"""Seconds between two questions to Prefect's server."""
WAITING = "Waiting"
"""State of a campaign's run that ended because results are asked for: `discover ask` lists them."""
_BEGUN = (StateType.RUNNING, StateType.PENDING)


class RunReports:
    """Says in a thread how each run begins and ends."""

    def __init__(self, deployment_id: UUID, zone: str, tell: Callable[[str], None]) -> None:
        self._deployment, self._zone, self._tell = deployment_id, ZoneInfo(zone), tell
        self._said: dict[UUID, str] = {}
        self._since = datetime.now(UTC)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._report, name="run-reports", daemon=True)

    def begin(self) -> None:
        """Begin to say."""
        self._thread.start()

    def end(self) -> None:
        """Say the last and end."""
        self._over.set()
        self._thread.join()

    def _report(self) -> None:
        over = away = False
        while not over:
            over = self._over.wait(POLL)
            try:
                with get_client(sync_client=True) as client:
                    for run in self._runs(client):
                        self._say(run)
                away = False
            except (httpx.HTTPError, PrefectException) as error:
                if not away and not over:
                    self._tell(f"Prefect's server does not answer ({type(error).__name__}): no run starts meanwhile.")
                away = True

    def _runs(self, client: SyncPrefectClient) -> list[FlowRun]:
        found = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[self._deployment])),
            flow_run_filter=FlowRunFilter(
                expected_start_time=FlowRunFilterExpectedStartTime(after_=self._since, before_=datetime.now(UTC))
            ),
        )
        return sorted(found, key=lambda run: run.expected_start_time or self._since)

    def _say(self, run: FlowRun) -> None:
        state = run.state
        if state is None or state.name == MISSED or self._said.get(run.id) == state.name:
            return
        if state.is_final() or (state.type in _BEGUN and run.id not in self._said):
            at = f"{datetime.now(self._zone):%Y-%m-%d %H:%M:%S %Z}"
            message = f": {state.message}" if state.message and state.is_final() and state.name != WAITING else ""
            self._tell(f"{at}  run {run.name} {f'ended {state.name}' if state.is_final() else 'begins'}{message}")
            self._said[run.id] = (state.name or "") if state.is_final() else ""
