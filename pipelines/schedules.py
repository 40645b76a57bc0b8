"""`discover schedules` and `discover deploy`: what Prefect's server remembers, and what workers run.

A server that is not running is started for the command, as by `discover run`: its database is private to Prefect, and
changes its form with it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from data.config import ConfigError, load_config
from pipelines.addresses import known_server
from pipelines.pages import prefect_page, teller
from pipelines.scheduling import is_served, missed_told
from pipelines.services import Server, prefect_server, wait_for_prefect
from pipelines.terminal import Terminal
from pipelines.timing import next_times, shown_times
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from pipelines.deployments import Remembered


def schedules_in_terminal(workspace: Workspace, console: Terminal, actions: dict[str, str | None]) -> int:
    """List the schedules of a workspace, or do something to one.

    Args:
        workspace: whose.
        console: where it is told.
        actions: pause, resume, remove, start: the name of a schedule, or None.

    Raises:
        ConfigError: several things are to be done, or there is no schedule of the name.
    """
    wanted = [(action, name) for action, name in actions.items() if name is not None]
    if len(wanted) > 1:
        told = " and ".join(f"--{action}" for action, _ in wanted)
        raise ConfigError(f"One thing is done at a time; got {told}. Give one of them.")
    with prefect_server(workspace, teller(console)):
        from prefect.client.orchestration import get_client

        from pipelines.deployments import remembered

        wait_for_prefect()
        every = remembered(workspace)
        with get_client(sync_client=True) as client:
            for action, name in wanted:
                _ACTIONS[action](client, _named(every, name), workspace, console)
            if not wanted:
                _list(client, every, workspace, console)
    return 0


def _named(every: list[Remembered], name: str) -> Remembered:
    """Return the schedule of a name.

    Raises:
        ConfigError: there is none.
    """
    for one in every:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in every) or "none"
    raise ConfigError(f"There is no schedule {name!r} in this workspace; expected one of: {known}.")


def _list(client: SyncPrefectClient, every: list[Remembered], workspace: Workspace, console: Terminal) -> None:
    if not every:
        console.say('Nothing is scheduled. `discover schedule CONFIG --cron "0 2 * * *"` serves a schedule.')
        return
    now = datetime.now(UTC)
    missing = []
    rows = []
    for one in every:
        when, missed = one.when(), one.missed()
        upcoming = "" if one.schedule is None or one.paused else shown_times(next_times(one.schedule, one.zone, now, 1))
        told = "when somebody starts it" if when is None else when.told_as()
        zone = "" if one.schedule is None else one.zone
        served = f"workers of {one.pool}" if one.pool else "yes" if is_served(workspace, one.name) else "no"
        rows.append(
            [
                one.name,
                f"{one.what} {one.campaign}",
                told,
                zone,
                "paused" if one.paused else upcoming,
                _last_told(client, one),
                "" if is_served(workspace, one.name) or not missed else str(len(missed)),
                served,
            ]
        )
        if missed and not is_served(workspace, one.name):
            missing.append(f"{one.name}: {missed_told(missed)}")
    console.records(["name", "what", "when", "time zone", "next", "last run", "missed", "served"], rows, long=(1, 2, 5))
    for sentence in missing:
        console.say(sentence)


def _last_told(client: SyncPrefectClient, one: Remembered) -> str:
    from pipelines.deployments import last_run
    from pipelines.serving import BEGUN, runs_at_work

    run = last_run(client, one)
    if run is None:
        return "none"
    began = run.start_time or run.expected_start_time
    at = "" if began is None else f"{began.astimezone(ZoneInfo(one.zone)):%Y-%m-%d %H:%M} "
    gone = run.state is not None and run.state.type in BEGUN and str(run.id) not in runs_at_work()
    return f"{at}{run.state_name}{', its process has ended' if gone and not one.pool else ''}"


def _pause(client: SyncPrefectClient, one: Remembered, _workspace: Workspace, console: Terminal) -> None:
    client.pause_deployment(one.id)
    console.say(f"Schedule {one.name} is paused: nothing runs before `discover schedules --resume {one.name}`.")


def _resume(client: SyncPrefectClient, one: Remembered, workspace: Workspace, console: Terminal) -> None:
    client.resume_deployment(one.id)
    upcoming = [] if one.schedule is None else next_times(one.schedule, one.zone, datetime.now(UTC))
    times = f" Next: {shown_times(upcoming)} ({one.zone})." if upcoming else ""
    nobody = "" if one.pool or is_served(workspace, one.name) else " Nobody serves it now."
    console.say(f"Schedule {one.name} is no longer paused.{times}{nobody}")


def _remove(client: SyncPrefectClient, one: Remembered, workspace: Workspace, console: Terminal) -> None:
    if is_served(workspace, one.name):
        raise ConfigError(
            f"Schedule {one.name} is being served by a process of this machine; expected that nobody serves it. End "
            "that process with Ctrl-C, then give the same command again."
        )
    client.delete_deployment(one.id)
    console.say(f"Schedule {one.name} is forgotten. Its runs, and all that they measured, are kept.")


def _start(client: SyncPrefectClient, one: Remembered, workspace: Workspace, console: Terminal) -> None:
    served = one.pool or is_served(workspace, one.name)
    if not served:
        raise ConfigError(
            f"Nobody serves the schedule {one.name}, so a run of it would wait. Give `discover "
            f"{'retrain ' + one.campaign if one.what == 'retrain' else 'run CONFIG'}` instead, or serve it."
        )
    run = client.create_flow_run_from_deployment(one.id)
    who = f"a worker of the pool {one.pool}" if one.pool else "the process that serves the schedule"
    console.say(f"Run {run.name} of {one.name} is asked for; {who} takes it.")


_ACTIONS: dict[str, Callable[[SyncPrefectClient, Remembered, Workspace, Terminal], None]] = {
    "pause": _pause,
    "resume": _resume,
    "remove": _remove,
    "start": _start,
}


def deploy_in_terminal(path: Path, pool: str, console: Terminal) -> int:
    """Make or update the deployment of a campaign for the workers of a pool, and say how both are started.

    Raises:
        ConfigError: the file or the pool's name cannot be used; nothing was made.
    """
    config = load_config(path, ())
    if not pool.strip() or any(letter in pool for letter in "/%&<>") or pool.startswith("prefect"):
        raise ConfigError(
            f"--pool is {pool!r}; expected a name without / % & < >, and none that begins with 'prefect', which "
            "Prefect keeps for itself."
        )
    workspace = Workspace.open()
    with prefect_server(workspace, teller(console)) as url:
        from pipelines.deployments import deployed_to_pool
        from pipelines.validation import checked_config

        checked_config(path, ())
        wait_for_prefect()
        full, made, kind = deployed_to_pool(workspace, path, config.name, pool)
        own = known_server(workspace, "prefect", Server)
        ours = own is not None and url == f"{own.url}/api"
        console.say(f"Deployment  {full}")
        console.say(f"Pool        {pool} ({kind}){', made now' if made else ''}")
        if kind != "process":
            console.say(f"            Its workers need {path.absolute()} and {workspace.home} where they run.")
        page = "`discover ui` opens it" if ours else prefect_page(workspace, url, "deployments")
        console.say(f"Page        {page}")
        console.say(_how_to(workspace, url, full, pool, kind, ours=ours))
    return 0


def _how_to(workspace: Workspace, url: str, full: str, pool: str, kind: str, *, ours: bool) -> str:
    home = workspace.home.resolve()
    lines = ["", "A worker, in an environment that has discovery-flows (it runs until Ctrl-C):"]
    if ours:
        lines += ["    discover ui        # in another terminal: keeps this workspace's Prefect server running"]
    lines += [f"    export DISCOVER_HOME={shlex.quote(str(home))} PREFECT_API_URL={url} DO_NOT_TRACK=1"]
    if ours:
        token = shlex.quote(str(workspace.services / "token"))
        lines += [f'    export PREFECT_API_AUTH_STRING="discover:$(cat {token})"']
    else:
        lines += ["    # and PREFECT_API_AUTH_STRING, if your server asks for one"]
    lines += [
        f"    prefect worker start --pool {shlex.quote(pool)} --type {kind}",
        "",
        "A run, with the same variables; or from the page, where its parameters are a form:",
        f"    prefect deployment run {shlex.quote(full)} --param rounds=5 --watch",
        f"    discover schedules --start {shlex.quote(full.partition('/')[2])}",
    ]
    if ours:
        port = url.removesuffix("/api").rpartition(":")[2]
        lines += ["", f"If `discover ui` prints another port of Prefect than {port}, it belongs into PREFECT_API_URL."]
    return "\n".join(lines)
