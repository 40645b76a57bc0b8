"""`discover serve`: starts a team's servers, says where they are, and ends all of them together."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from data.config import ConfigError
from data.ledger.ledger import Ledger
from data.masking import masked
from pipelines.listeners import LOOPBACK, Place, bound_sockets, in_address, place_of
from pipelines.server_settings import healthy
from pipelines.services import LOG_SHOWN, STOP_TIMEOUT, ServiceError
from pipelines.team.configuration import DATABASE_PASSWORD, DRIVERS, Secrets, TeamConfig, team_config
from pipelines.team.environments import environment_of, refuse_shared_folder
from pipelines.terminal import Terminal
from tasks.file_lock import FileLock
from tasks.private_files import private_database
from tasks.workspace import Workspace

START_TIMEOUT = 300.0
"""Seconds that a server may take to answer: the first start makes its database."""
LOOK = 0.2
HEALTH = {"mlflow": "/health", "prefect": "/api/health", "rest": "/health"}
SHOWN = {"mlflow": "MLflow", "prefect": "Prefect", "rest": "REST"}
CONNECT_TIMEOUT = 10


@dataclass(frozen=True, slots=True)
class Running:
    """A server that was started.

    Attributes:
        name: mlflow, prefect or rest.
        url: its address for this machine.
        shown: its address for others, if it has one.
        process: it.
        log: file of what it prints.
    """

    name: str
    url: str
    shown: str
    process: subprocess.Popen[bytes]
    log: Path

    def ended(self) -> ServiceError | None:
        """Return that it has ended, with the end of its log; None: it runs."""
        code = self.process.poll()
        if code is None:
            return None
        return ServiceError(_told(f"The {self.name} server ended by itself (exit code {code}).", self.log))

    def stop(self) -> None:
        """End it; one that hangs is killed."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT)


def _told(what: str, log: Path) -> str:
    tail = log.read_text(errors="replace")[-LOG_SHOWN:] if log.exists() else ""
    return masked(
        f"{what} All servers were ended. Mend what its log says and give the same command again. {log}:\n{tail}"
    )


def serve(path: Path, console: Terminal, *, check: bool = False) -> int:
    """Serve what a file names until interrupted.

    Args:
        path: of the configuration.
        console: where it is told what is served.
        check: only look whether it could be served.

    Raises:
        ConfigError: the configuration or a secret cannot be used; nothing was started.
        AddressError: an address or a port cannot be had; nothing was started.
        ServiceError: a server did not come up, or ended.
    """
    config = team_config(path)
    found = Secrets(config, os.environ)
    # Beside those of the environment, so that no message can show them.
    os.environ.update({name: value for name, value in found.environment().items() if name.startswith("DISCOVER_")})
    refuse_shared_folder(config)
    workspace = Workspace.open(config.folder)
    places = {name: place_of(config.host or LOOPBACK, part.port, f"{name}.port") for name, part in config.parts.items()}
    environments = {name: environment_of(name, config, found, workspace, places[name]) for name in config.parts}
    _refuse_unreachable(config, found)
    if check:
        for name, part in config.parts.items():
            for listener in bound_sockets(places[name], part.port):
                listener.close()
        console.say(f"{path} can be served: {', '.join(SHOWN[name] for name in config.parts)}.")
        return 0
    alone = FileLock(workspace.services / "team.lock")
    if not alone.try_alone():
        raise ServiceError(f"Another `discover serve` runs in {workspace.home}. End it first, or name another folder.")
    from pipelines.running import terminating

    with terminating(), ExitStack() as stack:
        stack.callback(alone.close)
        try:
            Ledger(found.database(config.ledger, "ledger")).close()  # makes or migrates its tables
            console.say("Starting the servers ...")
            running = [_started(name, places[name], environments[name], workspace, stack) for name in config.parts]
            for server in running:
                _wait(server, running)
                console.say(_line(server, config))
            _tell_users(config, running, console.say)
            _watch(running)
        except KeyboardInterrupt:
            console.say("Ending the servers ...")
            stack.close()
            console.say("Ended.")
    return 0


def _refuse_unreachable(config: TeamConfig, found: Secrets) -> None:
    """Refuse databases that do not answer, before anything is started.

    Raises:
        ConfigError: one does not.
    """
    urls = {"ledger": config.ledger}
    urls |= {"mlflow.database": config.mlflow.database, "mlflow.users": config.mlflow.users} if config.mlflow else {}
    urls |= {"prefect.database": config.prefect.database} if config.prefect else {}
    for key, url in urls.items():
        kind = sa.make_url(url).get_backend_name()
        if kind == "sqlite":
            file = Path(str(sa.make_url(url).database))
            if not file.parent.is_dir():
                raise ConfigError(f"{key} is {url}, but there is no folder {file.parent}. Make it, or name another.")
            private_database(file)
            continue
        try:
            engine = sa.create_engine(
                found.database(url, "ledger"), connect_args={"connect_timeout": CONNECT_TIMEOUT}, poolclass=sa.NullPool
            )
            with engine.connect():
                pass
        except ImportError as error:
            raise ConfigError(
                f"{key} is {url}, for which psycopg is missing. Install the extra `team`: pip install '.[team]'."
            ) from error
        except sa.exc.DBAPIError as error:
            reason = masked(" ".join(str(error.orig).split()))
            raise ConfigError(
                f"{key} is {url}, which cannot be opened ({reason}). Start the server and make the database (`createdb`"
                f", as in deploy/README.md), or give the right password in {DATABASE_PASSWORD}."
            ) from error


def _started(name: str, place: Place, environment: dict[str, str], workspace: Workspace, stack: ExitStack) -> Running:
    log = workspace.log(name)
    with ExitStack() as opened:
        listeners = [opened.enter_context(one) for one in bound_sockets(place, place.port or 0)]
        descriptors = [one.fileno() for one in listeners]
        port = listeners[0].getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipelines.team.child", name, *map(str, descriptors)],
            stdin=subprocess.DEVNULL,
            stdout=opened.enter_context(log.open("ab")),
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=descriptors,
            start_new_session=True,  # Ctrl-C reaches the servers in their order, by us
            cwd=workspace.home,
        )
    shown = f"http://{in_address(place.name)}:{port}" if place.open_to_others() else ""
    server = Running(name, f"http://{LOOPBACK}:{port}", shown, process, log)
    stack.callback(server.stop)
    return server


def _wait(server: Running, running: list[Running]) -> None:
    """Return when a server answers.

    Raises:
        ServiceError: it did not in time, or one of them ended.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while not healthy(f"{server.url}{HEALTH[server.name]}"):
        _refuse_ended(running)
        if time.monotonic() > deadline:
            raise ServiceError(
                _told(f"The {server.name} server did not answer within {START_TIMEOUT:.0f} s.", server.log)
            )
        time.sleep(LOOK)


def _watch(running: list[Running]) -> None:
    while True:
        _refuse_ended(running)
        time.sleep(LOOK)


def _refuse_ended(running: list[Running]) -> None:
    for server in running:
        error = server.ended()
        if error is not None:
            raise error


def _line(server: Running, config: TeamConfig) -> str:
    others = f" and {server.shown}, not encrypted" if server.shown else ", this machine only"
    told = {
        "mlflow": f"users of its own, administrator {config.mlflow.admin!r}" if config.mlflow else "",
        "prefect": "one user and password for all",
        "rest": "tokens; /openapi.json says what it can be asked",
    }
    return f"{SHOWN[server.name]:<11} {server.url}{others}; {told[server.name]}"


def _tell_users(config: TeamConfig, running: list[Running], tell: Callable[[str], None]) -> None:
    """Say what those who run campaigns set; addresses as others have them."""
    urls = {server.name: server.shown or server.url for server in running}
    tell("")
    tell("Whoever runs campaigns sets, beside a DISCOVER_HOME of their own:")
    ledger = sa.make_url(config.ledger)
    driven = ledger.set(drivername=DRIVERS["ledger"][ledger.get_backend_name()])
    tell(f"  export DISCOVER_LEDGER={shlex.quote(driven.render_as_string())}")
    if ledger.get_backend_name() == "postgresql":
        tell("  export PGPASSWORD=...  # or a line HOST:PORT:DATABASE:USER:PASSWORD in ~/.pgpass, a file of mode 600")
    if "mlflow" in urls:
        tell(f"  export MLFLOW_TRACKING_URI={urls['mlflow']} MLFLOW_TRACKING_USERNAME=... MLFLOW_TRACKING_PASSWORD=...")
    if "prefect" in urls:
        tell(f"  export PREFECT_API_URL={urls['prefect']}/api PREFECT_API_AUTH_STRING=...")
    tell("Ctrl-C or SIGTERM ends all of them.")
