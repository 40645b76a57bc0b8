"""The servers beside a campaign: Prefect's, reused or started for the duration; MLflow's pages on demand.

Servers that we start bind to loopback, keep their data in the workspace and end with us.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks.workspace import QUIET, Workspace

HOST = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
FLUSH_TIMEOUT = 10.0
START_TIMEOUT = 180.0
"""Seconds that a server may take to answer: the first start makes its database."""


class ServiceError(RuntimeError):
    """A server did not come up."""


class Server:
    """A server process of ours, in a process group of its own."""

    def __init__(self, name: str, url: str, health: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name, self.url, self.health, self.process, self.log = name, url, health, process, log

    def wait(self) -> None:
        """Return when the server answers.

        Raises:
            ServiceError: it ended, or did not answer in time; the message has the end of its log.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while not healthy(self.url + self.health):
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""
                self.stop()
                raise ServiceError(f"The {self.name} server did not come up at {self.url}. End of {self.log}:\n{tail}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the server and what it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def healthy(url: str) -> bool:
    """Return whether an address answers with 200 within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def free_port(preferred: int) -> int:
    """Return the preferred port if it is free on loopback, else one that the system gives."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServiceError(f"No free port on {HOST}.")


def start_prefect(workspace: Workspace, port: int = 4200) -> Server:
    """Start a Prefect server on the workspace's database; does not wait for it."""
    port = free_port(port)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    environment = {
        "PREFECT_HOME": str(workspace.prefect_home),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_UI_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        # Pages of other sites that the user has open must not be able to drive this server.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port}",
    }
    workspace.prefect_home.mkdir(parents=True, exist_ok=True)
    return _start(workspace, "prefect", f"http://{HOST}:{port}", "/api/health", command, environment)


def start_mlflow(workspace: Workspace, port: int = 5000) -> Server:
    """Start MLflow's pages on the workspace's runs; does not wait for them."""
    port = free_port(port)
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    command += ["--backend-store-uri", workspace.tracking_uri, "--workers", "1"]
    command += ["--default-artifact-root", workspace.artifacts.as_uri()]
    return _start(workspace, "mlflow", f"http://{HOST}:{port}", "/health", command, {})


@contextmanager
def prefect_server(workspace: Workspace) -> Iterator[str]:
    """Have a Prefect server for a block and set `PREFECT_API_URL`: the one that is reachable, or one of our own.

    A server is looked for at `$PREFECT_API_URL`, then at the address that the workspace remembers. One of our own is
    started at once but only waited for by `wait_for_prefect`, so that imports can go on meanwhile.

    Raises:
        ServiceError: `PREFECT_API_URL` is set and does not answer.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        if not healthy(f"{given}/health"):
            raise ServiceError(
                f"PREFECT_API_URL is {given}, but no Prefect server answers there. Start it, or unset the variable: "
                "then a local one is started."
            )
        yield given
        return
    remembered = remembered_address(workspace, "prefect")
    server = None if remembered else start_prefect(workspace)
    url = remembered or (server.url if server else "")
    os.environ["PREFECT_API_URL"] = f"{url}/api"
    os.environ.setdefault("PREFECT_HOME", str(workspace.prefect_home))
    try:
        with remember(workspace, {"prefect": server.url} if server else {}):
            yield f"{url}/api"
    finally:
        if server is not None:
            _send_what_is_queued()
            server.stop()
        del os.environ["PREFECT_API_URL"]


def _send_what_is_queued() -> None:
    """Have Prefect's client send its logs and events; left to the exit, it would wait for a server that has gone."""
    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        APILogWorker.drain_all(timeout=FLUSH_TIMEOUT)
        EventsWorker.drain_all(timeout=FLUSH_TIMEOUT)


def wait_for_prefect() -> None:
    """Return when the server at `PREFECT_API_URL` answers.

    Raises:
        ServiceError: it does not within the time a first start may take.
    """
    url = f"{os.environ['PREFECT_API_URL']}/health"
    deadline = time.monotonic() + START_TIMEOUT
    while not healthy(url):
        if time.monotonic() > deadline:
            raise ServiceError(f"The Prefect server at {url} did not come up in {START_TIMEOUT:.0f} s; see its log.")
        time.sleep(0.1)


def remembered_address(workspace: Workspace, name: str) -> str | None:
    """Return the address of a server that another command of this workspace keeps running, or None."""
    try:
        url = json.loads((workspace.home / "services.json").read_text())[name]
    except (OSError, ValueError, KeyError):
        return None
    return url if healthy(url + ("/api/health" if name == "prefect" else "/health")) else None


@contextmanager
def remember(workspace: Workspace, addresses: Mapping[str, str]) -> Iterator[None]:
    """Note addresses in the workspace for a block, so that other commands reuse the servers."""
    file = workspace.home / "services.json"
    _update(file, addresses)
    try:
        yield
    finally:
        _update(file, dict.fromkeys(addresses))


def _update(file: Path, addresses: Mapping[str, str | None]) -> None:
    if not addresses:
        return
    try:
        known = json.loads(file.read_text())
    except (OSError, ValueError):
        known = {}
    known = {key: value for key, value in {**known, **addresses}.items() if value}
    partial = file.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(known))
    os.replace(partial, file)


def _die_with_parent() -> None:
    """In the child: have Linux end it with its parent, also when that is killed and can end nothing itself."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _start(
    workspace: Workspace, name: str, url: str, health: str, command: Sequence[str], environment: Mapping[str, str]
) -> Server:
    log = workspace.home / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **QUIET, **environment},
            start_new_session=True,
            cwd=workspace.home,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
    return Server(name, url, health, process, log)
