"""What the workspace's servers are told, and this process about them: the user's settings are kept out of both."""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException

from pipelines.listeners import LOOPBACK_NAMES, in_address
from tasks.workspace import QUIET, Workspace

OURS = ("PREFECT_", "MLFLOW_", "_MLFLOW_", "DISCOVER_")
ALLOWED = frozenset({"PREFECT_LOGGING_LEVEL", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", *QUIET})
"""Settings that change nothing but what is printed."""
LOCAL = ",".join(LOOPBACK_NAMES)
RETRIES = "2"
"""Of Prefect's client, each after a longer pause."""


def auth_string(workspace: Workspace) -> str:
    """Return user and password of the workspace's servers."""
    return f"discover:{workspace.token()}"


def environment(workspace: Workspace, name: str, url: str, names: Sequence[str] = LOOPBACK_NAMES) -> dict[str, str]:
    """Return the environment of one of our servers: nothing of the user's Prefect, MLflow or ledger settings in it.

    Args:
        workspace: whose.
        name: prefect or mlflow.
        url: its address on this machine.
        names: hosts as which browsers may ask for it.
    """
    base = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    hosts = [f"{in_address(one)}:{url.rpartition(':')[2]}" for one in names]
    specific = _prefect(workspace, url, hosts) if name == "prefect" else _mlflow(workspace, hosts, names)
    own = {"DISCOVER_TOKEN": workspace.token(), "DISCOVER_NAMES": ",".join(names)}
    return {**base, **QUIET, **specific, **own, **_direct()}


def _origins(hosts: Sequence[str]) -> str:
    return ",".join(f"http://{host}" for host in hosts)


def _prefect(workspace: Workspace, url: str, hosts: Sequence[str]) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(workspace.prefect_home),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_API_URL": f"{url}/api",
        # Relative to the page: that is opened by several names, through tunnels, and behind proxies that speak TLS.
        "PREFECT_UI_API_URL": "/api",
        "PREFECT_SERVER_API_AUTH_STRING": auth_string(workspace),
        "PREFECT_API_AUTH_STRING": auth_string(workspace),
        # Pages of other sites that the user has open must not be able to drive this server.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": _origins(hosts),
    }


def _mlflow(workspace: Workspace, hosts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    # By the environment: an address may hold a password, and arguments are shown to everybody by `ps`.
    return {
        "_MLFLOW_SERVER_FILE_STORE": workspace.tracking_uri,
        "_MLFLOW_SERVER_REGISTRY_STORE": workspace.tracking_uri,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": workspace.artifacts.as_uri(),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": workspace.artifacts.as_uri(),
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_BACKEND_STORE_URI": workspace.tracking_uri,
        # Other names for this address belong to pages that try to reach it through the user's browser. At any port, for
        # a tunnel may begin at another; an opening bracket is escaped where a star makes the rest a pattern.
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(
            form for one in map(in_address, names) for form in (one, f"{one.replace('[', '[[]')}:*")
        ),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": _origins(hosts),
    }


@contextmanager
def client_settings(workspace: Workspace, url: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Lead this process to the workspace's own Prefect server for a block; the user's settings come back after it."""
    before = {key: value for key, value in os.environ.items() if key.startswith("PREFECT_")}
    left_out = sorted(set(before) - ALLOWED)
    if left_out:
        tell(
            f"Prefect     the workspace's own server; not used: {', '.join(left_out)}. Set PREFECT_API_URL to use a "
            "server of yours with them."
        )
    settings = {
        "PREFECT_HOME": str(workspace.prefect_home),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_API_AUTH_STRING": auth_string(workspace),
        # A second server on the workspace's database would know nothing of the slots that the first one gave out.
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        # A server that has died is not waited for long: the campaign goes on without it.
        "PREFECT_CLIENT_MAX_RETRIES": RETRIES,
        "PREFECT_API_REQUEST_TIMEOUT": "30",
        **_direct(),
    }
    changed = {key: os.environ.get(key) for key in (*before, *settings)}
    for key in left_out:
        del os.environ[key]
    os.environ.update(settings)
    _have_them_read()
    try:
        yield
    finally:
        for key, value in changed.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        _have_them_read()


@contextmanager
def fewer_retries() -> Iterator[None]:
    """Have Prefect's client wait a quarter of a minute for a server of the user's that has died, not for minutes."""
    if "PREFECT_CLIENT_MAX_RETRIES" in os.environ:
        yield
        return
    os.environ["PREFECT_CLIENT_MAX_RETRIES"] = RETRIES
    _have_them_read()
    try:
        yield
    finally:
        del os.environ["PREFECT_CLIENT_MAX_RETRIES"]
        _have_them_read()


def _have_them_read() -> None:
    """Have Prefect read its settings anew, where it was imported before they changed."""
    if "prefect" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def _direct() -> dict[str, str]:
    """Return settings by which loopback is reached without the user's proxy."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    value = ",".join(filter(None, (known, LOCAL)))
    return {"NO_PROXY": value, "no_proxy": value}


def healthy(url: str, *, own: bool = True) -> bool:
    """Return whether an address answers with 200 within two seconds; `own` ones are asked without a proxy."""
    handlers = [urllib.request.ProxyHandler({})] if own else []
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, HTTPException):  # whatever is there may speak another language
        return False
