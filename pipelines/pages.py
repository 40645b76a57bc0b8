"""`discover ui`, and what commands say about whose MLflow and Prefect they use."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from data.masking import masked
from pipelines.addresses import known_server
from pipelines.server_settings import healthy
from pipelines.services import Server, ServiceError, login_link, own_server
from pipelines.terminal import Terminal
from tasks.workspace import Workspace

MODELS = "workflowType=machine_learning"
"""Without it MLflow opens on traces of language models."""


def teller(console: Terminal) -> Callable[[str], None]:
    """Return what prints a sentence as it is."""
    return lambda text: console.say(text)


def tell_of_mlflow(workspace: Workspace, tell: Callable[[str], None]) -> None:
    """Say that the user's MLflow is used, if `MLFLOW_TRACKING_URI` names one."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        tell(f"MLflow      yours at {masked(workspace.tracking_uri)} (MLFLOW_TRACKING_URI)")


def mlflow_page(workspace: Workspace, folder: Path) -> str:
    """Return the whole address of a campaign's run in MLflow where a server is known, else how to have one."""
    address = mlflow_server(workspace)
    if address is None:
        return "`discover ui` serves it and prints the address of every campaign"
    return address + _page(folder / "report" / "mlflow.txt")


def mlflow_server(workspace: Workspace) -> str | None:
    """Return the address of the user's MLflow server, or of the workspace's; None if neither is known."""
    address = _foreign_mlflow(workspace)
    if address is None:
        server = known_server(workspace, "mlflow", Server)
        address = None if server is None else server.url
    return None if address is None else address.rstrip("/")


def _page(file: Path) -> str:
    """Return the part of an address that a report noted; nothing where the note is lost or no such part."""
    noted = file.read_text(errors="replace").strip() if file.is_file() else ""
    return noted if noted.startswith("/") and noted.isprintable() and "\ufffd" not in noted else ""


def prefect_page(workspace: Workspace, api: str, page: str) -> str:
    """Return the address of a page of the Prefect server in use; for our own one it logs the browser in."""
    server = known_server(workspace, "prefect", Server)
    if server is not None and api == f"{server.url}/api":
        return login_link(workspace, server, page=page)
    return f"{masked(api).removesuffix('/api')}/{page}"


def serve_pages(workspace: Workspace, console: Terminal) -> int:
    """Serve MLflow and Prefect until interrupted; servers that run already are used, the user's are named."""
    tell = teller(console)
    tell("Starting the servers ...")
    from pipelines.running import terminating

    with terminating(), ExitStack() as stack:
        try:
            _serve(workspace, tell, stack)
            tell("Ctrl-C ends what only this command uses.")
            signal.pause()
        except KeyboardInterrupt:
            tell("Ended.")
    return 0


def _serve(workspace: Workspace, tell: Callable[[str], None], stack: ExitStack) -> None:
    mlflow = _foreign_mlflow(workspace)
    prefect = os.environ.get("PREFECT_API_URL")
    own = {
        name: stack.enter_context(own_server(workspace, name))
        for name, foreign in (("mlflow", mlflow), ("prefect", prefect))
        if not foreign
    }
    for server in own.values():
        try:
            server.wait(workspace)
        except ServiceError as error:
            if len(own) == 1 or not (server.name == "mlflow" and os.environ.get("MLFLOW_TRACKING_URI")):
                raise
            tell(f"mlflow    {masked(workspace.tracking_uri)} (MLFLOW_TRACKING_URI) cannot be shown: {error}")
            mlflow = masked(workspace.tracking_uri)
    address = mlflow or own["mlflow"].url
    if mlflow:
        state = "" if healthy(f"{workspace.tracking_uri}/health", own=False) else "; it does not answer now"
        tell(f"mlflow    {address}")
        tell(f"          (your MLFLOW_TRACKING_URI{state})")
    else:
        tell(f"mlflow    {login_link(workspace, own['mlflow'], page='/experiments')}")
    ours = "" if prefect else login_link(workspace, own["prefect"], page="runs")
    tell(f"prefect   {masked(prefect).removesuffix('/api') if prefect else ours}")
    pages = sorted(workspace.home.glob("campaigns/*/report/mlflow.txt"))
    again = {page.parent.parent.name.partition("~")[0] for page in pages if "~" in page.parent.parent.name}
    runs: dict[str, list[str]] = {}
    for page in pages:
        folder = page.parent.parent.name
        name = f"{folder}~1" if folder in again else folder
        tell(f"{name}: {address.rstrip('/')}{_page(page)}")
        view = _page(page.with_name("mlflow-runs.txt")) or f"{_page(page).partition('/runs/')[0]}/runs?{MODELS}"
        runs.setdefault(view, []).append(name)
    for view, names in runs.items():  # campaigns of one name are one experiment, with one table of runs
        tell(f"runs of {', '.join(names)}: {address.rstrip('/')}{view}")
    ours_named = " and ".join(name for name in own if not (name == "mlflow" and mlflow))
    if ours_named:
        tell(
            f"The links beside {ours_named} log this browser in; open them before the others. Elsewhere: user and "
            f"password are in {workspace.services}/token (discover:TOKEN)."
        )
    if "prefect" in own:
        tell("Prefect shows what was run without --plain.")


def _foreign_mlflow(workspace: Workspace) -> str | None:
    """Return the user's MLflow server, without its password; None if we serve a database."""
    uri = workspace.tracking_uri
    return masked(uri) if uri.startswith(("http://", "https://")) else None
