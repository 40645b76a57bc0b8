"""`discover ui`, and what commands say about whose MLflow and Prefect they use."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from data.masking import masked
from pipelines.addresses import known_server
from pipelines.listeners import LOOPBACK, AddressError, Place, place_of
from pipelines.server_settings import healthy
from pipelines.services import (
    Server,
    ServerInUse,
    ServiceError,
    login_link,
    own_server,
    ssh_command,
    told_users,
    users_of,
)
from pipelines.terminal import Terminal
from tasks.workspace import Workspace

API = "PREFECT_API_URL"
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


def serve_pages(
    workspace: Workspace,
    console: Terminal,
    host: str = LOOPBACK,
    port: int | None = None,
    prefect_port: int | None = None,
) -> int:
    """Serve MLflow and Prefect until interrupted; servers that run already are used, the user's are named.

    Args:
        workspace: whose.
        console: where links are printed.
        host: of this machine, at which others may open the pages.
        port: of MLflow; None: the usual one or any.
        prefect_port: of Prefect; None: the one after `port`, if that is named.

    Raises:
        AddressError: host or port cannot be had.
        ServiceError: a server did not come up, or others use it elsewhere.
    """
    tell = teller(console)
    places = _places(workspace, host, port, prefect_port)
    tell("Starting the servers ...")
    from pipelines.running import terminating

    with terminating(), ExitStack() as stack:
        try:
            _serve(workspace, tell, stack, places)
            closes = ", and closes these pages to other machines" if places["mlflow"].open_to_others() else ""
            tell(f"Ctrl-C ends what only this command uses{closes}.")
            signal.pause()
        except KeyboardInterrupt:
            tell("Ended.")
    return 0


def _places(workspace: Workspace, host: str, port: int | None, prefect_port: int | None) -> dict[str, Place]:
    """Return where each server is wanted, ours or not.

    Raises:
        AddressError: host or port cannot be had, or is one of a server that is not ours.
    """
    mlflow, prefect = _foreign_mlflow(workspace), os.environ.get("PREFECT_API_URL")
    theirs = [("--port", port, mlflow, "MLFLOW_TRACKING_URI"), ("--prefect-port", prefect_port, prefect, API)]
    for option, given, server, variable in theirs:
        if server and given is not None:
            raise AddressError(
                f"{option} is {given}, but your server at {masked(server)} is used ({variable}), whose port is its "
                f"own; expected no {option}. Leave it out, or unset {variable}: then the workspace's own is served."
            )
    named = prefect_port is not None
    if prefect_port is None and port is not None:
        prefect_port = port + 1
    places = {
        "mlflow": place_of(host, port),
        "prefect": place_of(host, prefect_port, "--prefect-port", named=named),
    }
    if mlflow and prefect and places["mlflow"].addresses:
        raise AddressError(
            f"--host is {host!r}, but both servers are yours (MLFLOW_TRACKING_URI, {API}) and none is served here; "
            "expected no --host. Leave it out, or unset one of the variables."
        )
    return places


def _serve(workspace: Workspace, tell: Callable[[str], None], stack: ExitStack, places: Mapping[str, Place]) -> None:
    mlflow = _foreign_mlflow(workspace)
    prefect = os.environ.get(API)
    notes: list[str] = []
    own = {}
    if not mlflow:
        own["mlflow"] = stack.enter_context(own_server(workspace, "mlflow", places["mlflow"]))
    if not prefect:
        beside = "mlflow" in own
        own["prefect"] = _prefect_server(workspace, places["prefect"], stack, notes, beside=beside)
    for server in own.values():
        try:
            server.wait(workspace)
        except ServiceError as error:
            if len(own) == 1 or not (server.name == "mlflow" and os.environ.get("MLFLOW_TRACKING_URI")):
                raise
            tell(f"mlflow    {masked(workspace.tracking_uri)} (MLFLOW_TRACKING_URI) cannot be shown: {error}")
            mlflow = masked(workspace.tracking_uri)
    opened = {name for name, server in own.items() if server.open_outward(workspace)}
    outward = {name for name in opened if places[name].addresses}
    address = mlflow or (own["mlflow"].outward_url if "mlflow" in outward else own["mlflow"].url)
    if mlflow:
        state = "" if healthy(f"{workspace.tracking_uri}/health", own=False) else "; it does not answer now"
        tell(f"mlflow    {address}")
        tell(f"          (your MLFLOW_TRACKING_URI{state})")
    else:
        link = login_link(workspace, own["mlflow"], page="/experiments", outward="mlflow" in outward)
        tell(f"mlflow    {link}")
    ours = "" if prefect else login_link(workspace, own["prefect"], page="runs", outward="prefect" in outward)
    tell(f"prefect   {masked(prefect).removesuffix('/api') if prefect else ours}")
    _tell_of_campaigns(workspace, address, tell)
    names = " and ".join(name for name in own if not (name == "mlflow" and mlflow))
    if names:
        tell(
            f"The links beside {names} log this browser in; open them before the others. Elsewhere: user and "
            f"password are in {workspace.services}/token (discover:TOKEN)."
        )
    if "prefect" in own:
        tell("Prefect shows what was run without --plain.")
    for note in notes:
        tell(note)
    for name in sorted(opened - outward):
        tell(f"{name} is open to other machines too, at {own[name].outward}, while another `discover ui --host` runs.")
    if outward:
        _tell_of_others([own[name] for name in own if name in outward], places["mlflow"], tell)


def _prefect_server(workspace: Workspace, place: Place, stack: ExitStack, notes: list[str], *, beside: bool) -> Server:
    """Use Prefect's server where it is wanted; one that a campaign uses elsewhere is left to it, which is noted.

    Args:
        workspace: whose.
        place: where it is wanted.
        stack: ends the use.
        notes: to be told.
        beside: MLflow is served where it is wanted, so that there is something to see.
    """
    try:
        return stack.enter_context(own_server(workspace, "prefect", place))
    except ServerInUse as refusal:
        if not beside or (place.named and place.port != refusal.server.port):
            raise
    server = stack.enter_context(own_server(workspace, "prefect"))
    notes.append(
        f"Prefect stays at {server.url}, where {told_users(users_of(workspace, server))}, and is opened nowhere else: "
        f"nothing is taken from under a campaign. From another machine it is seen by `{ssh_command([server], place)}`."
    )
    return server


def _tell_of_campaigns(workspace: Workspace, address: str, tell: Callable[[str], None]) -> None:
    """Print the address of each campaign's run, then of each table of runs: campaigns of one name share one."""
    pages = sorted(workspace.home.glob("campaigns/*/report/mlflow.txt"))
    again = {page.parent.parent.name.partition("~")[0] for page in pages if "~" in page.parent.parent.name}
    runs: dict[str, list[str]] = {}
    for page in pages:
        folder = page.parent.parent.name
        name = f"{folder}~1" if folder in again else folder
        tell(f"{name}: {address.rstrip('/')}{_page(page)}")
        view = _page(page.with_name("mlflow-runs.txt")) or f"{_page(page).partition('/runs/')[0]}/runs?{MODELS}"
        runs.setdefault(view, []).append(name)
    for view, names in runs.items():
        tell(f"runs of {', '.join(names)}: {address.rstrip('/')}{view}")


def _tell_of_others(servers: list[Server], place: Place, tell: Callable[[str], None]) -> None:
    """Say what it means that servers are open to other machines, and what is better."""
    hosts = ", ".join(place.addresses)
    if not place.open_to_others():
        tell(f"Served at {hosts} too, which only this machine can reach.")
        return
    tell(
        f"Open to other machines at {hosts}. Whoever has a link may see and change everything in it. What is sent is "
        "not encrypted: whoever can read the traffic on its way reads the token, and may do the same. Better: leave "
        "--host out, and on the other machine give"
    )
    tell(f"    {ssh_command(servers, place)}")
    tell(
        f"and open the links with {' and '.join(one.url for one in servers)} there; or put a proxy that speaks TLS in "
        "front (docs/how-to/workspace.md)."
    )


def _foreign_mlflow(workspace: Workspace) -> str | None:
    """Return the user's MLflow server, without its password; None if we serve a database."""
    uri = workspace.tracking_uri
    return masked(uri) if uri.startswith(("http://", "https://")) else None
