"""One of our servers in a process of its own: `python -m pipelines.server_child NAME FD`.

It serves on a socket that was bound before it was started, proves on request which workspace it serves, and ends when
the last process that uses it has ended, however that ended.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs

from pipelines.admission import LOGIN, MLFLOW_PAGE, PREFECT_PAGE, Application, Receive, Scope, Send, admitting, answer
from pipelines.mlflow_guard import guarding
from tasks.file_lock import FileLock
from tasks.private_files import keep_private

PROOF = "/discover/proof"
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
            nonce = parse_qs(scope["query_string"].decode()).get("nonce", [""])[0]
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

    return proving(create_app(final=True), token, home, PREFECT_PAGE)  # Prefect asks for the token itself


def _mlflow(home: Path, token: str) -> Application:
    from mlflow.server.fastapi_app import app

    from pipelines.inner_artifacts import keep_artifacts_in

    keep_artifacts_in(home / "artifacts")
    return proving(admitting(guarding(cast(Application, app)), token), token, home, MLFLOW_PAGE)


APPLICATIONS: dict[str, Callable[[Path, str], Application]] = {"prefect": _prefect, "mlflow": _mlflow}


def main(name: str, descriptor: int) -> None:
    """Serve until ended."""
    keep_private()
    home = Path.cwd()
    token = os.environ.pop("DISCOVER_TOKEN")
    users = FileLock(home / "services" / f"{name}.users")
    threading.Thread(target=end_when_unused, args=(users,), daemon=True).start()
    import uvicorn

    config = uvicorn.Config(
        APPLICATIONS[name](home, token),
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=int(GRACE),
        timeout_keep_alive=5,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
