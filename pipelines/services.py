"""The servers beside a campaign: Prefect's, the user's or the workspace's own; MLflow's pages on demand.

The workspace's own servers listen on loopback and keep their data in the workspace. All commands of a workspace share
them: the first starts one, the last to end stops it. Who uses one holds a lock on a file, which the kernel gives back
when a process ends, so a server outlives the command that started it while others need it, and never all of them.

One may listen at other addresses of this machine too. Who wants that holds a second lock: when nobody does any more,
the server closes those addresses and goes on on loopback.
"""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from data.masking import masked
from pipelines import server_settings
from pipelines.addresses import address_of, forget, known_server, note
from pipelines.admission import LOGIN
from pipelines.listeners import LOOPBACK, Place, bound_sockets, in_address
from tasks.file_lock import FileLock
from tasks.private_files import private_database
from tasks.workspace import Workspace

PORTS = {"prefect": 4200, "mlflow": 5000}
FLUSH_TIMEOUT = 10.0
STOP_TIMEOUT = 15.0
START_TIMEOUT = 180.0
"""Seconds that a server may take to answer: the first start makes its database."""
LOG_SHOWN = 1500
SQLITE_HEAD = b"SQLite format 3\0"


class ServiceError(RuntimeError):
    """A server did not come up."""


class ServerInUse(ServiceError):
    """A server of the workspace runs elsewhere than it is wanted, and others use it.

    Attributes:
        server: which.
    """

    def __init__(self, message: str, server: Server) -> None:
        super().__init__(message)
        self.server = server


@dataclass(frozen=True, slots=True)
class Server:
    """A server of the workspace, started by this or by another process.

    Attributes:
        name: prefect or mlflow.
        url: its address for this machine.
        home: folder of its workspace.
        inode: of that folder.
        host: name of this machine.
        pid: of its process.
        outward: host for which it was opened to others too; empty: for none.
        shown: name of that host in links.
    """

    name: str
    url: str
    home: str
    inode: int
    host: str
    pid: int
    outward: str = ""
    shown: str = ""

    @property
    def port(self) -> int:
        """Port at which it listens, the same at each of its addresses."""
        return int(self.url.rpartition(":")[2])

    @property
    def outward_url(self) -> str:
        """Its address for others; for this machine where it was never opened to them."""
        return f"http://{in_address(self.shown)}:{self.port}" if self.outward else self.url

    def open_outward(self, workspace: Workspace) -> bool:
        """Return whether somebody keeps it open at other addresses than loopback."""
        door = _door(workspace, self.name)
        try:
            return bool(self.outward) and door.try_share()
        finally:
            door.close()

    def alive(self) -> bool:
        """Return whether its process exists."""
        # By its command line: start times shift when somebody sets the clock.
        if self.host != os.uname().nodename:
            return False
        try:
            process = psutil.Process(self.pid)
            return process.status() != psutil.STATUS_ZOMBIE and "pipelines.server_child" in process.cmdline()
        except psutil.Error:
            return False

    def stopped(self) -> bool:
        """Return whether its process is held by a signal, so that its port takes connections and answers none."""
        with suppress(psutil.Error):
            return self.alive() and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        return False

    def answers(self, workspace: Workspace) -> bool:
        """Return whether it answers, and proves that it serves this workspace."""
        return address_of(workspace, self.url)

    def wait(self, workspace: Workspace) -> None:
        """Return when the server answers.

        Raises:
            ServiceError: it ended, or did not answer in time; the message has the end of its log.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while not self.answers(workspace):
            if not self.alive() or time.monotonic() > deadline:
                raise ServiceError(_not_up(workspace, self.name, self.url))
            time.sleep(0.1)

    def stop(self) -> None:
        """End the server and what it started."""
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            process = psutil.Process(self.pid)
            os.killpg(self.pid, signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT)
            except psutil.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                process.wait(STOP_TIMEOUT)
        child = _children.pop(self.pid, None)
        if child is not None:
            child.wait(STOP_TIMEOUT)


_children: dict[int, subprocess.Popen[bytes]] = {}
"""Servers that this process started; one that others still use is left to them."""


@contextmanager
def own_server(workspace: Workspace, name: str, place: Place | None = None) -> Iterator[Server]:
    """Use a server of the workspace for a block: the one that another command started, or a new one.

    It is started at once but only waited for by `Server.wait`, so that imports can go on meanwhile.

    Args:
        workspace: whose.
        name: prefect or mlflow.
        place: where it must listen; None: wherever it does.

    Raises:
        ServerInUse: it listens elsewhere and others use it.
        ServiceError: its database cannot be used.
        AddressError: it cannot listen there.
    """
    place = place or Place()
    users, starting = FileLock(workspace.services / f"{name}.users"), FileLock(workspace.services / f"{name}.start")
    door = _door(workspace, name)
    try:
        users.share()  # waits for a server that is ending
        starting.alone()
        server = known_server(workspace, name, Server)
        if server is not None and not _listens_at(server, place, door):
            if not users.try_alone():
                raise ServerInUse(_in_use(workspace, server, place), server)
            server.stop()  # nobody else used it, and nobody can begin to meanwhile
            forget(workspace, name, server.pid)
            users.share()
            server = None
        if server is None:
            if place.addresses and not door.try_share():
                raise ServiceError(
                    f"A {name} server of this workspace that is noted nowhere still runs. End the processes "
                    f"`pipelines.server_child {name}` in {workspace.home}, then give the same command again."
                )
            server = _started(workspace, name, place)
        starting.close()
        try:
            yield server
        finally:
            door.close()
            _leave(workspace, server, users)
    finally:
        users.close()
        starting.close()
        door.close()


def _door(workspace: Workspace, name: str) -> FileLock:
    """Return the lock that is shared by those who want a server open to others; the server has it alone once closed."""
    return FileLock(workspace.services / f"{name}.outward")


def _listens_at(server: Server, place: Place, door: FileLock) -> bool:
    """Return whether a server listens at a place, and keep it open there."""
    if place.port not in (None, server.port):
        return False
    return not place.addresses or (server.outward == place.host and door.try_share())


def _in_use(workspace: Workspace, server: Server, place: Place) -> str:
    where = f"{place.host or LOOPBACK}{'' if place.port is None else f' port {place.port}'}"
    own = server.outward_url if server.open_outward(workspace) else server.url
    return (
        f"The {server.name} server of this workspace already runs at {own}, and "
        f"{told_users(users_of(workspace, server))}, so that it cannot be moved to {where}; expected that nobody else "
        "uses it. Wait for them or end them, then give the same command again. Or leave the server where it is: give "
        f"`discover ui` without a host and ports, and on the other machine `{ssh_command([server], Place())}`; the "
        "links of `discover ui` work there."
    )


def told_users(users: list[str]) -> str:
    """Return who uses a server, as a part of a sentence."""
    return f"{' and '.join(users)} use{'s' if len(users) == 1 else ''} it" if users else "another process uses it"


def users_of(workspace: Workspace, server: Server) -> list[str]:
    """Return the other processes of ours that use a server, with their commands."""
    file = str((workspace.services / f"{server.name}.users").resolve())
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid not in (os.getpid(), server.pid) and any(one.path == file for one in process.open_files()):
                found.append(f"process {process.pid}{_command(process.cmdline())}")
    return found


def _command(arguments: list[str]) -> str:
    """Return a command of ours as it was given, in brackets; nothing for what is none."""
    for place, one in enumerate(arguments):
        if one.rpartition("/")[2] == "discover" or (one == "pipelines" and arguments[place - 1] == "-m"):
            return f" ({masked(' '.join(('discover', *arguments[place + 1 :])))})"
    return ""


def ssh_command(servers: Sequence[Server], place: Place) -> str:
    """Return the command by which another machine has our servers at its own loopback, encrypted."""
    doors = " ".join(f"-L {one.port}:{LOOPBACK}:{one.port}" for one in servers)
    return f"ssh -N {doors} {getpass.getuser()}@{place.name if place.open_to_others() else socket.gethostname()}"


def _leave(workspace: Workspace, server: Server, users: FileLock) -> None:
    starting = FileLock(workspace.services / f"{server.name}.start")
    try:
        starting.alone()
        if users.try_alone():  # nobody else uses it, and nobody can begin to before it is gone
            server.stop()
            forget(workspace, server.name, server.pid)
    finally:
        starting.close()


def _started(workspace: Workspace, name: str, place: Place) -> Server:
    database = workspace.mlflow_file if name == "mlflow" else workspace.prefect_home / "prefect.db"
    workspace.prefect_home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if name == "prefect" or not os.environ.get("MLFLOW_TRACKING_URI"):
        _refuse_garbage(name, database, workspace)
        private_database(database)
    log = workspace.log(name)
    with ExitStack() as stack:
        listeners = [stack.enter_context(one) for one in bound_sockets(place, PORTS[name])]
        descriptors = [one.fileno() for one in listeners]
        url = f"http://{LOOPBACK}:{listeners[0].getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipelines.server_child", name, *map(str, descriptors)],
            stdin=subprocess.DEVNULL,
            stdout=stack.enter_context(log.open("ab")),
            stderr=subprocess.STDOUT,
            env=server_settings.environment(workspace, name, url, place.names()),
            pass_fds=descriptors,
            start_new_session=True,
            cwd=workspace.home,
        )
    _children[process.pid] = process
    home = workspace.home.resolve()
    shown = place.name if place.addresses else ""
    server = Server(
        name, url, str(home), home.stat().st_ino, os.uname().nodename, process.pid, outward=place.host, shown=shown
    )
    note(workspace, name, asdict(server))
    return server


def _refuse_garbage(name: str, database: Path, workspace: Workspace) -> None:
    if database.is_file() and database.stat().st_size:
        with database.open("rb") as file:
            head = file.read(len(SQLITE_HEAD))
        if head != SQLITE_HEAD:
            raise ServiceError(
                f"{database} is not a database (expected a file that begins with 'SQLite format 3'), so the {name} "
                f"server cannot start. Move it away and give the same command again: it only shows what the ledger "
                f"knows, and is made anew. The server's log is {workspace.log(name)}."
            )


def _not_up(workspace: Workspace, name: str, url: str) -> str:
    log = workspace.log(name)
    tail = log.read_text(errors="replace")[-LOG_SHOWN:] if log.exists() else ""
    database = "mlflow.db" if name == "mlflow" else "prefect/prefect.db"
    return masked(
        f"The {name} server did not come up at {url}. If its database {workspace.home / database} is damaged, move it "
        f"away and give the same command again: it is made anew, and nothing measured is in it. End of {log}:\n{tail}"
    )


# -- Prefect ---------------------------------------------------------------------------------------------------------

_used: list[tuple[Server, Workspace]] = []
"""Our own Prefect server that this process uses now, if it uses one."""


@contextmanager
def prefect_server(workspace: Workspace, tell: Callable[[str], None] = lambda _: None) -> Iterator[str]:
    """Have a Prefect server for a block and settings that lead this process to it; yields the address of its API.

    With `PREFECT_API_URL` it is the user's, with all other settings of theirs; else it is the workspace's own, and
    settings of theirs are kept out of it.

    Args:
        workspace: whose.
        tell: is given a sentence on what is used and what is not.

    Raises:
        ServiceError: `PREFECT_API_URL` is set and does not answer, or our own cannot be started.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        if not server_settings.healthy(f"{given}/health", own=False):
            raise ServiceError(
                f"PREFECT_API_URL is {masked(given)}, but no Prefect server answers there. Start it, or unset the "
                "variable: then a local one is started."
            )
        tell(f"Prefect     your server at {masked(given)} (PREFECT_API_URL)")
        with server_settings.fewer_retries():
            yield given
        return
    with own_server(workspace, "prefect") as server:
        _used.append((server, workspace))
        try:
            with server_settings.client_settings(workspace, server.url, tell):
                try:
                    yield f"{server.url}/api"
                finally:
                    _send_what_is_queued(server)
        finally:
            _used.pop()


def _send_what_is_queued(server: Server) -> None:
    """Have Prefect's client send its logs and events; left to the exit, it would wait for a server that has gone."""
    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        timeout = FLUSH_TIMEOUT if server.alive() else 0.1
        APILogWorker.drain_all(timeout=timeout)
        EventsWorker.drain_all(timeout=timeout)


def wait_for_prefect() -> None:
    """Return when the server of the block of `prefect_server` answers.

    Raises:
        ServiceError: it ended, or does not answer within the time a first start may take.
    """
    for server, workspace in _used[-1:]:
        server.wait(workspace)


def prefect_answers() -> bool:
    """Return whether the Prefect server that this process uses is there."""
    if _used:
        server, workspace = _used[-1]
        return server.alive() and server.answers(workspace)
    return server_settings.healthy(f"{os.environ.get('PREFECT_API_URL', '')}/health", own=False)


def prefect_is_anothers() -> bool:
    """Return whether this process uses a server that it did not start, named by `PREFECT_API_URL`."""
    return not _used and bool(os.environ.get("PREFECT_API_URL"))


def prefect_has_ended() -> bool:
    """Return whether the process of our own server has ended while this process uses it; costs no connection."""
    return any(not server.alive() for server, _ in _used[-1:])


def prefect_is_stopped() -> bool:
    """Return whether our own server is held while this process uses it: each request would wait for its time-out."""
    return any(server.stopped() for server, _ in _used[-1:])


def end_prefect() -> None:
    """End our own server at once: it serves nobody."""
    for server, _ in _used[-1:]:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


def login_link(workspace: Workspace, server: Server, *, page: str, outward: bool = False) -> str:
    """Return the address that logs a browser in to our server; what follows `#` leaves the browser in no address.

    Args:
        workspace: whose.
        server: one of its own.
        page: opened then: `runs` or `deployments` of Prefect, or what follows `#` in an address of MLflow's.
        outward: for browsers of other machines, to which the server is open.
    """
    address = server.outward_url if outward else server.url
    return f"{address}{LOGIN}?to={quote(page)}#{server_settings.auth_string(workspace)}"


def remembered_address(workspace: Workspace, name: str) -> str | None:
    """Return the address of a server that another command of this workspace keeps running, or None."""
    server = known_server(workspace, name, Server)
    return server.url if server is not None and server.answers(workspace) else None
