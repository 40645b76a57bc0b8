"""`discover schedule`: serve a schedule until interrupted; what was missed before is said, and not made up for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from data.config import CampaignConfig, ConfigError, load_config
from data.wording import counted
from pipelines.pages import prefect_page, teller
from pipelines.running import terminating
from pipelines.services import prefect_server, wait_for_prefect
from pipelines.terminal import Terminal
from pipelines.timing import MOST_COUNTED, When, next_times, shown_times
from tasks.file_lock import FileLock
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

    from pipelines.deployments import Remembered


def schedule_in_terminal(
    path: Path,
    when: When,
    what: Literal["campaign", "retrain"] | None,
    overrides: tuple[str, ...],
    *,
    console: Terminal,
    retrain_when: Literal["always", "drift"] = "always",
) -> int:
    """Serve a schedule until interrupted.

    Args:
        path: the campaign file.
        when: it runs.
        what: it runs; None: the campaign where results are told, else the retraining.
        overrides: `key.key=value` for a campaign.
        console: where it is told.
        retrain_when: a retraining trains: always, or only after a drift.

    Raises:
        ConfigError: the file or the schedule cannot be used, or somebody serves it already; nothing was started.
    """
    what = what or ("campaign" if when.told else "retrain")
    config = load_config(path, overrides)
    _refuse_unheard(config, when, what, overrides, retrain_when)
    workspace = Workspace.open()
    os.environ["DISCOVER_HOME"] = str(workspace.home)  # the runs are processes of their own
    _keep_tracebacks_away()
    with terminating(), prefect_server(workspace, teller(console)) as url:
        from pipelines.deployments import deployed_schedule, name_of

        if what == "campaign":
            from pipelines.validation import checked_config

            checked_config(path, overrides)
        wait_for_prefect()
        name = name_of(config.name, what, when)
        with serving(workspace, name):
            deployment, before = deployed_schedule(
                workspace, path, config.name, what, when, overrides, retrain_when=retrain_when
            )
            console.say(f"Schedule    {name}: {what} {config.name} {when.told_as()}")
            _tell_of_missed(before, console)
            _tell_of_next(deployment, when, before, console)
            console.say(f"Prefect     {prefect_page(workspace, url, 'deployments')}")
            console.say("Ctrl-C ends it; the schedule stays remembered.")
            with suppress(KeyboardInterrupt):
                _serve(deployment, before, workspace, config.name, when, console)
            until = "results that are told start no run" if when.told else "what falls due is missed"
            console.say(
                f"Ended. Schedule {name} stays remembered; until the same command is given again, {until}. "
                f"`discover schedules` shows it, `discover schedules --remove {name}` forgets it."
            )
    return 0


def _refuse_unheard(
    config: CampaignConfig, when: When, what: str, overrides: tuple[str, ...], retrain_when: str
) -> None:
    """Refuse what would never have an effect.

    Raises:
        ConfigError: results are waited for that nobody is asked for, or values are changed that nothing reads.
    """
    if when.told and not config.readings.later:
        raise ConfigError(
            f"--when-told starts a run when a laboratory's results are told, and campaign {config.name!r} asks none: "
            "its oracles answer by themselves. Give --cron or --every, or an oracle `kind: laboratory`."
        )
    if what == "campaign" and retrain_when != "always":
        raise ConfigError(
            f"--when {retrain_when} says when a retraining trains, and this schedule runs the campaign. Leave it "
            "out, or give --what retrain."
        )
    if what == "retrain" and overrides:
        raise ConfigError(
            f"--set {overrides[0]} changes the campaign's file, and --what retrain reads the campaign from the ledger. "
            "Leave --set out, or give --what campaign."
        )


def _keep_tracebacks_away() -> None:
    """Keep Prefect's tracebacks to its pages: how each run ends, and whether the server answers, is told by us."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


@contextmanager
def serving(workspace: Workspace, name: str) -> Iterator[None]:
    """Serve a schedule in one process at a time.

    Raises:
        ConfigError: another process of this host does.
    """
    lock = FileLock(_lock_of(workspace, name))
    try:
        if not lock.try_alone():
            raise ConfigError(
                f"Schedule {name} is being served by another process of this machine; expected that nobody serves it. "
                "End that one with Ctrl-C first. `discover schedules` lists what is served."
            )
        yield
    finally:
        lock.close()


def is_served(workspace: Workspace, name: str) -> bool:
    """Return whether a process of this machine serves a schedule now."""
    file = _lock_of(workspace, name)
    if not file.exists():
        return False
    lock = FileLock(file)
    try:
        return not lock.try_share()
    finally:
        lock.close()


def _lock_of(workspace: Workspace, name: str) -> Path:
    return workspace.services / f"schedule-{name}.lock"


def _tell_of_missed(before: Remembered | None, console: Terminal) -> None:
    times = [] if before is None else before.missed()
    if times:
        console.say(("Missed", "bold yellow"), f"      {missed_told(times)} That is not made up for.")


def missed_told(times: list[datetime]) -> str:
    """Return a sentence on runs that fell due while nobody served them."""
    number = f"{len(times)} runs or more" if len(times) == MOST_COUNTED else counted(len(times), "run")
    was = "was" if len(times) == 1 else "were"
    return f"{number} {was} missed while nobody served: {shown_times(times)} ({times[-1].tzname()})."


def _tell_of_next(deployment: RunnerDeployment, when: When, before: Remembered | None, console: Terminal) -> None:
    schedule = deployment.schedules[0].schedule if deployment.schedules else None
    if before is not None and before.paused:
        console.say(
            ("Paused", "bold yellow"),
            f"      nothing runs before `discover schedules --resume {deployment.name}` is given, here or elsewhere.",
        )
    elif schedule is not None:
        times = next_times(schedule, when.zone, datetime.now(UTC))  # type: ignore[arg-type]
        console.say(f"Next        {shown_times(times)} ({when.zone})")


def _serve(
    deployment: RunnerDeployment,
    before: Remembered | None,
    workspace: Workspace,
    campaign: str,
    when: When,
    console: Terminal,
) -> None:
    """Serve a deployment until interrupted; where results are told, begin its runs."""
    from prefect.client.orchestration import get_client

    from pipelines.deployments import bury_missed
    from pipelines.reports_of_runs import RunReports
    from pipelines.serving import Serving, bury_dead
    from pipelines.watching import Watch

    tell = teller(console)
    runner = Serving(tell)
    deployment_id = runner.added(deployment)
    bury_dead(deployment_id)
    if before is not None:
        with get_client(sync_client=True) as client:
            bury_missed(client, before)

    started: list[UUID] = []

    def start() -> None:
        with get_client(sync_client=True) as client:
            started.append(client.create_flow_run_from_deployment(deployment_id).id)

    def busy() -> bool:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(started[-1]).state if started else None
        return state is not None and not state.is_final()

    watch = Watch(workspace, campaign, start, tell, busy) if when.told else None
    reports = RunReports(deployment_id, when.zone, tell)
    reports.begin()
    if watch is not None:
        watch.begin()
    try:
        runner.serve()
    finally:
        if watch is not None:
            watch.end()
        bury_dead(deployment_id)
        reports.end()
