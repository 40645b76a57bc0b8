"""One of a team's servers in a process of its own: `python -m pipelines.team.child NAME FD [FD ...]`.

It serves on sockets that were bound before it was started, and ends when the process that started it has ended.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from pipelines.admission import Application, admitting, naming
from pipelines.mlflow_guard import guarding
from pipelines.server_child import GRACE, POLL, end
from tasks.private_files import keep_private


def _prefect() -> Application:
    from prefect.server.api.server import create_app

    password = os.environ["PREFECT_SERVER_API_AUTH_STRING"].partition(":")[2]
    # Prefect asks for its password itself, but serves its pages, and holds websockets, without.
    return admitting(create_app(final=True), password, sockets=True)


def _mlflow() -> Application:
    from mlflow.server.auth import create_app

    from pipelines.inner_artifacts import keep_artifacts_in

    destination = os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"]
    # Clients name artifacts of the server only; a store beside it is reached by the server alone.
    folder = Path(destination.removeprefix("file://")) if destination.startswith("file:") else Path.cwd() / "artifacts"
    keep_artifacts_in(folder, proxied=destination)
    made = cast(Application, create_app())
    Path(os.environ["MLFLOW_AUTH_CONFIG_PATH"]).unlink()  # it has a password, and was read
    return guarding(made)


def _rest() -> Application:
    from pipelines.rest.access import Tokens
    from pipelines.rest.app import rest_application
    from tasks.workspace import Workspace

    tokens = json.loads(os.environ.pop("DISCOVER_TEAM"))["tokens"]
    found = Tokens.found(None if tokens is None else Path(tokens), os.environ)
    return rest_application(Workspace.open(), found)


APPLICATIONS: dict[str, Callable[[], Application]] = {"prefect": _prefect, "mlflow": _mlflow, "rest": _rest}


def end_with(parent: int) -> None:
    """Wait until a process has ended that started this one, then end, too."""
    while os.getppid() == parent:
        time.sleep(POLL)
    end()


def main(name: str, descriptors: Sequence[int]) -> None:
    """Serve until ended."""
    keep_private()
    names, parent = os.environ.pop("DISCOVER_NAMES").split(","), int(os.environ.pop("DISCOVER_PARENT"))
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    import uvicorn

    application = APPLICATIONS[name]()
    config = uvicorn.Config(
        application if name == "rest" else naming(application, names),
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=int(GRACE),
        timeout_keep_alive=5,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=one) for one in descriptors])


if __name__ == "__main__":
    main(sys.argv[1], [int(one) for one in sys.argv[2:]])
