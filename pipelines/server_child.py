"""One of our servers in a process of its own: `python -m pipelines.server_child NAME FD [FD ...]`.

It serves on sockets that were bound before it was started, the first of them on loopback; closes the others when nobody
wants it open to others any more; proves on request which workspace it serves, and ends when
the last process that uses it has ended, however that ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

from pipelines.admission import (
    LOGIN,
    MLFLOW_PAGE,
    PREFECT_PAGE,
    Application,
    Receive,
    Scope,
    Send,
    admitting,
    answer,
    naming,
)
from pipelines.listeners import LOOPBACK
from pipelines.mlflow_guard import guarding
from tasks.file_lock import FileLock
from tasks.private_files import keep_private

PROOF = "/discover/proof"
NONCE = re.compile(r"[0-9a-f]{32}")
"""What a proof is asked for: nothing else, so that strangers cannot have any text signed."""
POLL = 1.0
GRACE = 5.0


def proof(token: str, home: Path, nonce: str) -> str:
    """Return what only a server of the workspace in this very folder can answer: a copy has another inode or path."""
    place = f"{home.resolve()}:{home.stat().st_ino}:{nonce}"
    return hmac.new(token.encode(), place.encode(), hashlib.sha256).hexdigest()


def proving(application: Application, token: str, home: Path, page: bytes) -> Application:
    """Return an application that also answers the question for its workspace, and serves the page that logs in."""
    # Fixed at the start: a server whose folder was moved goes on with the files it has open, and is not ours any more.
    place, inode = home.resolve(), home.stat().st_ino

    async def prove(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path == LOGIN and scope["method"] == "GET":
            await answer(send, 200, page, [(b"content-type", b"text/html")])
        elif path == PROOF:
            nonce = parse_qs(scope["query_string"].decode("latin-1")).get("nonce", [""])[0]
            if not NONCE.fullmatch(nonce):
                await answer(send, 400, b"Expected nonce=, with 32 hexadecimal digits.\n")
                return
            told = hmac.new(token.encode(), f"{place}:{inode}:{nonce}".encode(), hashlib.sha256).hexdigest()
            await answer(send, 200, told.encode())
        else:
            await application(scope, receive, send)

    return prove


def end_when_unused(users: FileLock) -> None:
    """Wait until no process uses this server, then end it; the lock is kept until the process is gone."""
    while not users.try_alone():
        time.sleep(POLL)
    end()


def end() -> None:
    """End this process in order; one that hangs is ended anyhow."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(2 * GRACE)
    os._exit(1)


def _prefect(home: Path, token: str) -> Application:
    from prefect.server.api.server import create_app

    # Prefect asks for the token itself, but serves its pages, and holds websockets, without.
    return proving(admitting(create_app(final=True), token, sockets=True), token, home, PREFECT_PAGE)


def _mlflow(home: Path, token: str) -> Application:
    from mlflow.server.fastapi_app import app

    from pipelines.inner_artifacts import keep_artifacts_in

    keep_artifacts_in(home / "artifacts")
    return proving(admitting(guarding(cast(Application, app)), token), token, home, MLFLOW_PAGE)


APPLICATIONS: dict[str, Callable[[Path, str], Application]] = {"prefect": _prefect, "mlflow": _mlflow}


def close_when_unwanted(door: FileLock, server: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Wait until nobody wants a server of uvicorn open to others, then close what is not loopback for good."""
    door.alone()
    loop.call_soon_threadsafe(_close_outward, server)


def _close_outward(server: Any) -> None:
    for one in server.servers:
        if any(own.getsockname()[0] != LOOPBACK for own in one.sockets):
            one.close()
    for connection in list(server.server_state.connections):
        transport = connection.transport
        if transport.get_extra_info("sockname")[0] != LOOPBACK:
            transport.abort()


def main(name: str, descriptors: Sequence[int]) -> None:
    """Serve until ended."""
    keep_private()
    home = Path.cwd()
    token, names = os.environ.pop("DISCOVER_TOKEN"), os.environ.pop("DISCOVER_NAMES").split(",")
    users = FileLock(home / "services" / f"{name}.users")
    threading.Thread(target=end_when_unused, args=(users,), daemon=True).start()
    import uvicorn

    config = uvicorn.Config(
        naming(APPLICATIONS[name](home, token), names),
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=int(GRACE),
        timeout_keep_alive=5,
    )

    class Serving(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if len(descriptors) > 1:
                door = FileLock(home / "services" / f"{name}.outward")
                unwanted = (door, self, asyncio.get_running_loop())
                threading.Thread(target=close_when_unwanted, args=unwanted, daemon=True).start()

    Serving(config).run(sockets=[socket.socket(fileno=one) for one in descriptors])


if __name__ == "__main__":
    main(sys.argv[1], [int(one) for one in sys.argv[2:]])
