"""What Prefect remembers of us: deployments, by module path; a schedule's own and those that wait for a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled
from prefect.types.entrypoint import EntrypointType

from data.config import ConfigError
from pipelines.timing import When, times_between
from tasks.workspace import Workspace

What = Literal["campaign", "retrain"]

OURS = "discovery-flows"
TOLD = "when-told"
MISSED = "Missed"
_NAME = "name:"
_WHERE = "workspace:"
_WHAT = "what:"
_ZONE = "zone:"
_LOOKED_THROUGH = 200
"""Runs that one question to Prefect answers with at most."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A deployment of ours as Prefect has it.

    Attributes:
        id: Prefect's.
        name: by which people name it.
        campaign: name of the campaign.
        what: campaign or retrain.
        home: folder of its workspace.
        schedule: when it runs; None: when results are told, or when somebody starts it.
        zone: of the clocks by which its times are shown.
        told: whether it runs when results are told.
        pool: work pool whose workers run it; empty: a `discover schedule` does.
        paused: whether somebody paused it.
        since: from when on its runs are due and were not: when it was last served, made or resumed.
    """

    id: UUID
    name: str
    campaign: str
    what: str
    home: str
    schedule: CronSchedule | IntervalSchedule | None
    zone: str
    told: bool
    pool: str
    paused: bool
    since: datetime

    @classmethod
    def of(cls, found: DeploymentResponse) -> Remembered:
        """Return what a deployment of Prefect's says."""
        tagged = {f"{key}:": told for key, _, told in (tag.partition(":") for tag in found.tags)}
        times = [one.astimezone(UTC) for one in (found.last_polled, found.updated) if one is not None]
        schedule = found.schedules[0].schedule if found.schedules else None
        return cls(
            id=found.id,
            name=found.name,
            campaign=tagged.get(_NAME, found.name),
            what=tagged.get(_WHAT, ""),
            home=tagged.get(_WHERE, ""),
            schedule=schedule if isinstance(schedule, CronSchedule | IntervalSchedule) else None,
            zone=tagged.get(_ZONE, "UTC"),
            told=TOLD in found.tags,
            pool=found.work_pool_name or "",
            # Schedules of before they had a workspace were paused whenever their process ended, by nobody.
            paused=_WHERE in tagged and (bool(found.paused) or any(not one.active for one in found.schedules)),
            since=max(times, default=datetime.now(UTC)),
        )

    def when(self) -> When | None:
        """Return when it runs; None: when somebody starts it."""
        if self.schedule is None:
            return When(None, None, True) if self.told else None
        if isinstance(self.schedule, CronSchedule):
            return When(self.schedule.cron, None, False, self.zone)
        return When(None, self.schedule.interval, False, self.zone)

    def missed(self) -> list[datetime]:
        """Return the times at which it was due since it was last served."""
        if self.schedule is None or self.paused or self.pool:
            return []
        return times_between(self.schedule, self.zone, self.since, datetime.now(UTC))


def name_of(campaign: str, what: str, when: When) -> str:
    """Return the name of a schedule: a campaign has one of each kind."""
    return f"{campaign}-{what}-{TOLD}" if when.told else f"{campaign}-{what}"


def remembered(workspace: Workspace, name: str | None = None) -> list[Remembered]:
    """Return the deployments of a workspace that Prefect's server remembers, by name.

    Args:
        workspace: whose; a server of the user's may have those of others too.
        name: only that of this name, of whichever workspace.
    """
    with get_client(sync_client=True) as client:
        found: list[DeploymentResponse] = []
        while more := client.read_deployments(
            deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS])),
            limit=_LOOKED_THROUGH,
            offset=len(found),
        ):
            found += more
    every = sorted(map(Remembered.of, found), key=lambda one: one.name)
    if name is not None:
        return [one for one in every if one.name == name]
    return [one for one in every if one.home in ("", str(workspace.home.resolve()))]


def deployed_schedule(
    workspace: Workspace,
    config: Path,
    campaign_name: str,
    what: What,
    when: When,
    overrides: Sequence[str],
    *,
    retrain_when: Literal["always", "drift"] = "always",
) -> tuple[RunnerDeployment, Remembered | None]:
    """Return the deployment of a schedule, to be served, and what Prefect knew of it before.

    Raises:
        ConfigError: a schedule of this name is another workspace's.
    """
    from pipelines.campaign import campaign  # all that campaigns import: a list of schedules does not need it
    from pipelines.retraining import retrain

    name = name_of(campaign_name, what, when)
    before = _ours(workspace, name)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    schedule = when.schedule(now)
    old = before.schedule if before is not None else None
    if isinstance(old, IntervalSchedule) and before is not None and before.when() == when:
        schedule = old  # it keeps its beat: whoever starts it again every hour would else never see it run
    # A run takes what it needs from the workspace; nothing that is secret is told to Prefect.
    flow: Flow[..., Any] = campaign if what == "campaign" else retrain
    parameters: dict[str, Any] = {"name": campaign_name, "when": retrain_when}
    if what == "campaign":
        parameters = {"config": str(config.absolute()), "overrides": list(overrides)}
    deployment = flow.to_deployment(
        name=name,
        schedules=[] if schedule is None else [schedule],
        paused=before is not None and before.paused,
        parameters=parameters,
        concurrency_limit=None,  # the second of two runs ends by itself, and says why
        entrypoint_type=EntrypointType.MODULE_PATH,
        description=f"`discover schedule {config.name} {when.options()} --what {what}`",
        tags=[*_tags(workspace, campaign_name, what), TOLD if when.told else f"{_ZONE}{when.zone}"],
    )
    assert isinstance(deployment, RunnerDeployment)  # a coroutine only inside a running event loop
    return deployment, before


def deployed_to_pool(workspace: Workspace, config: Path, campaign_name: str, pool: str) -> tuple[str, bool, str]:
    """Make or update the deployment of a campaign whose runs the workers of a pool take.

    Returns:
        Its full name; whether the pool was made; the type of the pool.

    Raises:
        ConfigError: a deployment of this name is another workspace's.
    """
    from pipelines.form import TITLES, campaign_form

    name = f"{campaign_name}-on-{pool}"
    _ours(workspace, name)
    made, found = _pool(pool)
    deployment = campaign_form.to_deployment(
        name=name,
        parameters={"config": str(config.absolute())},
        work_pool_name=pool,
        job_variables={"env": {"DISCOVER_HOME": str(workspace.home.resolve())}},
        entrypoint_type=EntrypointType.MODULE_PATH,
        description=f"`discover deploy {config.name} --pool {pool}`: runs the campaign, or continues it.",
        tags=_tags(workspace, campaign_name, "campaign"),
    )
    assert isinstance(deployment, RunnerDeployment)
    deployment_id = deployment.apply()
    assert isinstance(deployment_id, UUID)
    with get_client(sync_client=True) as client:
        schema = client.read_deployment(deployment_id).parameter_openapi_schema or {}
        for parameter, title in TITLES.items():
            schema["properties"][parameter]["title"] = title
        client.update_deployment(deployment_id, DeploymentUpdate(parameter_openapi_schema=schema))
    return deployment.full_name, made, found.type


def _tags(workspace: Workspace, campaign_name: str, what: What) -> list[str]:
    return [OURS, f"{_NAME}{campaign_name}", f"{_WHAT}{what}", f"{_WHERE}{workspace.home.resolve()}"]


def _ours(workspace: Workspace, name: str) -> Remembered | None:
    """Return what Prefect remembers by a name.

    Raises:
        ConfigError: it is another workspace's.
    """
    for one in remembered(workspace, name):
        if one.home not in ("", str(workspace.home.resolve())):
            raise ConfigError(
                f"Your Prefect server has {name!r} already, of the workspace {one.home}; this one is "
                f"{workspace.home.resolve()}. Give the campaign another `name`, or remove it there: `discover "
                f"schedules --remove {name}`."
            )
        return one
    return None


def _pool(name: str) -> tuple[bool, WorkPool]:
    with get_client(sync_client=True) as client:
        try:
            return False, client.read_work_pool(name)
        except ObjectNotFound:
            from prefect.workers.process import ProcessWorker

            template = ProcessWorker.get_default_base_job_template()
            wanted = WorkPoolCreate(name=name, type="process", base_job_template=template)
            return True, client.create_work_pool(wanted)


# -- What has become of runs -----------------------------------------------------------------------------------------

_BEGUN = [state for state in StateType if state is not StateType.SCHEDULED]


def last_run(client: SyncPrefectClient, one: Remembered) -> FlowRun | None:
    """Return the newest run of a deployment that has begun and was not missed, or None."""
    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[one.id])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_BEGUN))),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=_LOOKED_THROUGH,
    )
    return next((run for run in runs if run.state_name != MISSED), None)


def bury_missed(client: SyncPrefectClient, one: Remembered) -> None:
    """Mark the runs of a schedule that fell due while nobody served it, so that they are not made up for now."""
    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[one.id])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
        ),
        limit=_LOOKED_THROUGH,
    )
    now = datetime.now(UTC)
    for run in runs:
        due = run.next_scheduled_start_time
        if run.auto_scheduled and due is not None and due < now:
            message = f"Nobody served this schedule at {due.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
            client.set_flow_run_state(run.id, Cancelled(name=MISSED, message=message), force=True)
