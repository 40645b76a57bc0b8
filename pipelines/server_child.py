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
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

from tasks.file_lock import FileLock

PROOF = "/discover/proof"
LOGIN = "/discover/login"
POLL = 1.0
GRACE = 5.0

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOGIN_PAGE = b"""<!doctype html><meta charset="utf-8"><title>discovery-flows</title>
<p id="told">Logging in...</p>
<script>
const secret = decodeURIComponent(location.hash.slice(1));
if (secret) {
  localStorage.setItem("prefect-password", btoa(secret));
  location.replace(new URLSearchParams(location.search).get("to") === "deployments" ? "/deployments" : "/runs");
} else document.getElementById("told").textContent = "This link has lost its end; copy it whole from the terminal.";
</script>
"""


def proof(token: str, home: Path, nonce: str) -> str:
    """Return what only a server of the workspace in this very folder can answer: a copy has another inode or path."""
    place = f"{home.resolve()}:{home.stat().st_ino}:{nonce}"
    return hmac.new(token.encode(), place.encode(), hashlib.sha256).hexdigest()


def proving(application: Application, token: str, home: Path) -> Application:
    """Return an application that also answers the question for its workspace, and serves the login page."""
    # Fixed at the start: a server whose folder was moved goes on with the files it has open, and is not ours any more.
    place, inode = home.resolve(), home.stat().st_ino

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in (PROOF, LOGIN):
            await application(scope, receive, send)
            return
        if scope["path"] == LOGIN:
            kind, body = b"text/html", LOGIN_PAGE
        else:
            nonce = parse_qs(scope["query_string"].decode()).get("nonce", [""])[0]
            told = hmac.new(token.encode(), f"{place}:{inode}:{nonce}".encode(), hashlib.sha256).hexdigest()
            kind, body = b"text/plain", told.encode()
        headers = [(b"content-type", kind), (b"cache-control", b"no-store"), (b"x-frame-options", b"DENY")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


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


def _prefect() -> Application:
    from prefect.server.api.server import create_app

    return create_app(final=True)


def _mlflow() -> Application:
    from mlflow.server.fastapi_app import app

    return cast(Application, app)


APPLICATIONS: dict[str, Callable[[], Application]] = {"prefect": _prefect, "mlflow": _mlflow}


def main(name: str, descriptor: int) -> None:
    """Serve until ended."""
    home = Path.cwd()
    token = os.environ.pop("DISCOVER_TOKEN")
    users = FileLock(home / "services" / f"{name}.users")
    threading.Thread(target=end_when_unused, args=(users,), daemon=True).start()
    import uvicorn

    application = proving(APPLICATIONS[name](), token, home)
    config = uvicorn.Config(
        application, log_level="info", access_log=False, timeout_graceful_shutdown=int(GRACE), timeout_keep_alive=5
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
