"""`discover ui --host`: what another machine sees of a workspace's servers, and what it does not.

No packet leaves this machine: what is spoken to is its own address. Where it has none, another one of loopback's is taken.
"""

import base64
import contextlib
import getpass
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from pipelines.listeners import machine_addresses
from pipelines.services import own_server, prefect_server, wait_for_prefect
from tasks.workspace import Workspace
from tests.e2e.browser import Browser

CAMPAIGN = Path(__file__).resolve().parent.parent / "chaos" / "campaign.yaml"
DISCOVER = [sys.executable, "-m", "pipelines"]
ADDRESS = next((one for one in machine_addresses() if ":" not in one), "127.0.0.2")
REACHED = not ADDRESS.startswith("127.")
"""Whether other machines could reach it: what is said to people depends on it."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


@dataclass
class Ui:
    """A `discover ui` that runs, and the lines that it printed."""

    process: subprocess.Popen[str]
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def link(self, name: str) -> str:
        return next(line.split()[1] for line in self.lines if line.startswith(f"{name} "))

    def server(self, name: str) -> str:
        return self.link(name).partition("/discover/")[0]

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.stdout.read()
        self.process.stdout.close()
        return self.process.wait(60)


@contextlib.contextmanager
def serving(environment: dict[str, str], *arguments: str) -> Iterator[Ui]:
    """Have `discover ui` for a block, from its last line on."""
    process = subprocess.Popen(
        [*DISCOVER, "ui", *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    ui = Ui(process, [])
    try:
        for line in process.stdout:
            ui.lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                break
        else:
            raise AssertionError(ui.text)
        yield ui
    finally:
        code = ui.end()
    assert code == 0


def refused(environment: dict[str, str], *arguments: str) -> str:
    """Return what `discover ui` says as it refuses, in one line."""
    ran = subprocess.run([*DISCOVER, "ui", *arguments], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    return " ".join(ran.stderr.split())


def free_ports() -> int:
    """Return a port that is free with the next one."""
    while True:
        with socket.create_server((ADDRESS, 0)) as first, contextlib.suppress(OSError, OverflowError):
            port = first.getsockname()[1]
            with socket.create_server((ADDRESS, port + 1)):
                return port


def environment_of(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")}
    # Nothing of ours may be asked through a proxy: this one answers nobody.
    proxy = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:9")
    return {**kept, **proxy, "DISCOVER_HOME": str(home), "CALL_LOG": str(home.parent / "calls.log")}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outward") / "home"


@pytest.fixture(scope="module")
def port() -> int:
    return free_ports()


@pytest.fixture(scope="module")
def ui(home: Path, port: int) -> Iterator[Ui]:
    """`discover ui` that is open to others, on a workspace without campaigns."""
    with serving(environment_of(home), "--host", ADDRESS, "--port", str(port)) as told:
        yield told


@pytest.fixture
def known(ui: Ui, home: Path) -> dict[str, str]:
    """Headers of somebody who has the workspace's token."""
    return basic((home / "services" / "token").read_text())


def basic(token: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'discover:{token}'.encode()).decode()}"}


DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def status(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> int:
    """Return the status of an answer; no proxy is asked."""
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json", **(headers or {})})
    try:
        with DIRECT.open(asked, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_links_have_the_host_the_named_port_and_the_next_and_the_danger_and_the_better_way_are_said(ui, home, port):
    token = (home / "services" / "token").read_text()
    assert ui.link("mlflow") == f"http://{ADDRESS}:{port}/discover/login?to=/experiments#discover:{token}"
    assert ui.link("prefect") == f"http://{ADDRESS}:{port + 1}/discover/login?to=runs#discover:{token}"
    if REACHED:
        assert "not encrypted" in ui.text
        assert "reads the token" in ui.text
        tunnel = f"ssh -N -L {port}:127.0.0.1:{port} -L {port + 1}:127.0.0.1:{port + 1} {getpass.getuser()}@{ADDRESS}"
        assert tunnel in ui.text
        assert "TLS" in ui.text
    else:
        assert "which only this machine can reach" in ui.text


MLFLOW = [
    ("/", None),
    ("/health", None),
    ("/version", None),
    ("/static-files/index.html", None),
    ("/api/2.0/mlflow/experiments/search", b"{}"),
    ("/ajax-api/2.0/mlflow/experiments/search", b"{}"),
    ("/graphql", b"{}"),
    ("/get-artifact?path=x&run_uuid=0", None),
    ("/model-versions/get-artifact?path=x&name=x&version=1", None),
    ("/ajax-api/2.0/mlflow/upload-artifact?run_uuid=0&path=x", b"x"),
    ("/api/2.0/mlflow-artifacts/artifacts/x", None),
    ("/v1/traces", b"{}"),
    ("/discover/login", b"discover:another"),
]
PREFECT = [
    ("/", None),
    ("/runs", None),
    ("/v2/runs", None),
    ("/ui-settings", None),
    ("/docs", None),
    ("/openapi.json", None),
    ("/api/ready", None),
    ("/api/docs", None),
    ("/api/openapi.json", None),
    ("/api/admin/version", None),
    ("/api/admin/settings", None),
    ("/api/admin/database/drop", b'{"confirm": true}'),
    ("/api/flow_runs/filter", b"{}"),
    ("/api/events/filter", b"{}"),
    ("/api/logs/", b"[]"),
    ("/api//flow_runs/filter", b"{}"),
    ("/api/health/../flow_runs/filter", b"{}"),
    ("/api/health", b"{}"),
    ("/discover/login", b"discover:another"),
]


@pytest.mark.parametrize(
    ("name", "path", "body"), [("mlflow", *one) for one in MLFLOW] + [("prefect", *one) for one in PREFECT]
)
def test_nobody_is_let_in_without_the_workspaces_token(ui, name, path, body):
    port = ui.server(name).rpartition(":")[2]
    strangers = ({}, basic("another"), basic(""), {"Cookie": f"discover-{port}=another; discover-{port}="})
    assert {status(f"{ui.server(name)}{path}", body, one) for one in strangers} == {401}


def test_prefect_says_that_it_is_there_and_no_more_to_whom_it_does_not_know(ui):
    with DIRECT.open(f"{ui.server('prefect')}/api/health") as answer:
        assert json.load(answer) is True


def test_whoever_has_the_token_sees_both_from_outside_and_from_this_machine(ui, known, port):
    for host in (ADDRESS, "127.0.0.1", "localhost"):
        assert status(f"http://{host}:{port}/", headers=known) == 200
        assert status(f"http://{host}:{port}/api/2.0/mlflow/experiments/search", b'{"max_results": 1}', known) == 200
        assert status(f"http://{host}:{port + 1}/api/flow_runs/filter", b"{}", known) == 200
        with DIRECT.open(urllib.request.Request(f"http://{host}:{port + 1}/ui-settings", headers=known)) as answer:
            assert json.load(answer)["api_url"] == "/api"  # of whatever name the page was opened by


@pytest.mark.parametrize("name", ["mlflow", "prefect"])
@pytest.mark.parametrize(
    "path", ["/", "/health", "/api/health", "/discover/login", "/discover/proof?nonce=" + "0" * 32]
)
def test_a_name_that_somebody_elses_page_has_lead_here_is_refused_even_with_the_token(ui, known, name, path):
    for host in ("evil.example", f"evil.example:{ui.server(name).rpartition(':')[2]}", f"{ADDRESS}.evil.example", ""):
        assert status(f"{ui.server(name)}{path}", headers={**known, "Host": host}) == 403


def test_a_tunnel_may_begin_at_another_port(ui, known):
    search = f"{ui.server('mlflow')}/api/2.0/mlflow/experiments/search"
    tunnel = {"Host": "localhost:15000", "Origin": "http://localhost:15000"}
    assert status(search, b'{"max_results": 1}', {**known, **tunnel}) == 200
    assert status(f"{ui.server('prefect')}/api/flow_runs/filter", b"{}", {**known, "Host": "127.0.0.1:14200"}) == 200


def test_pages_of_other_sites_may_neither_write_nor_read(ui, known):
    search = f"{ui.server('mlflow')}/api/2.0/mlflow/experiments/search"
    assert status(search, b'{"max_results": 1}', {**known, "Origin": ui.server("mlflow")}) == 200
    for origin in ("http://evil.example", f"http://{ADDRESS}:1", "null"):
        assert status(search, b'{"max_results": 1}', {**known, "Origin": origin}) == 403
        asked = urllib.request.Request(f"{ui.server('prefect')}/api/health", headers={"Origin": origin})
        with DIRECT.open(asked) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_page_of_another_site_makes_no_flow_in_the_browser_of_somebody_who_is_logged_in(ui, known, kind):
    flows, body, server = f"{ui.server('prefect')}/api/flows/", b'{"name": "theirs"}', ui.server("prefect")
    foreign = ({"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}, {"Origin": ui.server("mlflow")})
    for told in foreign:
        assert status(flows, body, {**known, **told, "Content-Type": kind}) == 403
    asked = urllib.request.Request(f"{flows}filter", b"{}", {**known, "Content-Type": "application/json"})
    with DIRECT.open(asked) as answer:
        assert "theirs" not in {flow["name"] for flow in json.load(answer)}
    own = {"Origin": server, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
    assert status(f"{flows}filter", b"{}", {**known, **own}) == 200


def test_a_page_of_another_site_opens_no_websocket(ui):
    with pytest.raises(InvalidStatus) as turned_away:
        websocket(ui, "prefect", "/api/events/in", subprotocols=["prefect"], origin="http://evil.example").close()
    assert turned_away.value.response.status_code == 403
    websocket(ui, "prefect", "/api/events/in", subprotocols=["prefect"], origin=ui.server("prefect")).close()


SOCKETS = ["/api/events/in", "/api/events/out", "/api/logs/out"]


def websocket(ui: Ui, name: str, path: str, **options):
    return connect(f"{ui.server(name).replace('http', 'ws', 1)}{path}", proxy=None, **options)


@pytest.mark.parametrize("path", SOCKETS)
def test_the_websockets_of_prefect_tell_a_stranger_nothing(ui, home, path):
    with pytest.raises(InvalidStatus) as turned_away, websocket(ui, "prefect", path):
        pass
    assert turned_away.value.response.status_code == 403
    for token in ("discover:another", None):
        with websocket(ui, "prefect", path, subprotocols=["prefect"]) as stranger:
            stranger.send(json.dumps({"type": "auth", "token": token}))
            with pytest.raises(ConnectionClosed):
                stranger.recv(20)
    with websocket(ui, "prefect", path, subprotocols=["prefect"]) as owner:
        token = (home / "services" / "token").read_text()
        owner.send(json.dumps({"type": "auth", "token": f"discover:{token}"}))
        assert json.loads(owner.recv(20)) == {"type": "auth_success"}


@pytest.mark.parametrize(("name", "path"), [("mlflow", "/"), ("mlflow", "/graphql"), ("prefect", "/api/events/in")])
def test_a_websocket_by_another_name_or_where_there_is_none_is_refused(ui, name, path):
    url = f"ws://{ADDRESS if name == 'mlflow' else 'evil.example'}{path}"
    door = socket.create_connection((ADDRESS, int(ui.server(name).rpartition(":")[2])))
    with pytest.raises(InvalidStatus) as turned_away, connect(url, sock=door, proxy=None, subprotocols=["prefect"]):
        pass
    assert turned_away.value.response.status_code == 403


@pytest.mark.parametrize("name", ["mlflow", "prefect"])
def test_a_proof_is_given_for_nothing_but_a_nonce(ui, name):
    for query in ("", "?nonce=", "?nonce=discover", "?nonce=%ff", f"?nonce={'0' * 33}", f"?nonce={'0' * 60000}"):
        assert status(f"{ui.server(name)}/discover/proof{query}") in (400, 431)
    with DIRECT.open(f"{ui.server(name)}/discover/proof?nonce={'0' * 32}") as answer:
        assert re.fullmatch(rb"[0-9a-f]{64}", answer.read())


def test_a_login_gives_each_server_a_cookie_of_its_own_that_is_not_the_token(ui, home):
    token = (home / "services" / "token").read_text()
    for name, path in (("mlflow", "/"), ("prefect", "/ui-settings")):
        request = urllib.request.Request(f"{ui.server(name)}/discover/login", f"discover:{token}".encode())
        with DIRECT.open(request) as answer:
            cookie = answer.headers["Set-Cookie"]
        assert token not in cookie
        assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
        assert "Secure" not in cookie  # browsers would not send it over plain HTTP
        assert status(f"{ui.server(name)}{path}", headers={"Cookie": cookie.partition(";")[0]}) == 200
    assert status(f"{ui.server('prefect')}/api/flow_runs/filter", b"{}", {"Cookie": cookie.partition(";")[0]}) == 401


def test_a_second_ui_uses_the_same_servers_and_other_places_are_refused_with_who_has_them(ui, home, port):
    environment = environment_of(home)
    with serving(environment, "--host", ADDRESS, "--port", str(port)) as second:
        assert second.link("mlflow") == ui.link("mlflow")
    with serving(environment) as local:
        assert local.link("mlflow") == ui.link("mlflow").replace(ADDRESS, "127.0.0.1")
        assert f"mlflow is open to other machines too, at {ADDRESS}" in local.text
    for arguments in (["--port", str(free_ports())], ["--host", "127.0.0.3"]):
        told = refused(environment, *arguments)
        assert f"already runs at {ui.server('mlflow')}, and process {ui.process.pid} (discover ui --host" in told
        assert f"ssh -N -L {port}:127.0.0.1:{port}" in told
    assert status(ui.server("mlflow")) == 401


def test_a_named_port_that_another_workspace_has_is_refused(ui, tmp_path, port):
    told = refused(environment_of(tmp_path / "home"), "--port", str(port))
    assert f"Port {port} is taken (process " in told
    assert "--port" in told
    told = refused(environment_of(tmp_path / "home"), "--port", str(free_ports()), "--prefect-port", str(port))
    assert f"Port {port} is taken (process " in told
    assert "--prefect-port" in told
    with serving(environment_of(tmp_path / "home")):  # nothing of the refused ones is left
        pass


def test_a_host_that_is_not_of_this_machine_is_refused_before_anything_starts(tmp_path):
    told = refused(environment_of(tmp_path / "home"), "--host", "203.0.113.9")
    assert "'203.0.113.9', which is no address of this machine" in told
    assert not (tmp_path / "home" / "mlflow.db").exists()


@pytest.fixture(scope="module")
def campaign(ui: Ui, home: Path) -> str:
    """What a campaign printed that was run while the servers were open."""
    ran = subprocess.run([*DISCOVER, "run", str(CAMPAIGN)], env=environment_of(home), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_a_campaign_that_starts_meanwhile_uses_the_server_by_loopback_and_is_seen_from_outside(
    campaign, ui, home, known
):
    assert ui.server("mlflow").replace(ADDRESS, "127.0.0.1") in campaign
    request = urllib.request.Request(
        f"{ui.server('prefect')}/api/flow_runs/filter", b"{}", {"Content-Type": "application/json", **known}
    )
    with DIRECT.open(request) as answer:
        runs = [(run["name"], run["state"]["type"]) for run in json.load(answer)]
    assert runs == [("chaos", "COMPLETED")]
    with serving(environment_of(home), "--host", ADDRESS) as second:
        assert second.link("chaos:").startswith(f"{ui.server('mlflow')}/#/experiments/")


@pytest.mark.browser
@pytest.mark.parametrize("name", [ADDRESS, "localhost"])
def test_the_links_open_both_pages_in_a_browser_by_whatever_name_leads_here(campaign, ui, browser: Browser, name):
    """By another name than is printed, as through a tunnel: Prefect's page asks the server that it came from."""
    browser.open(ui.link("prefect").replace(ADDRESS, name))
    browser.wait_for("document.body?.innerText.includes('campaign:chaos')", 60)
    browser.wait_for("document.body?.innerText.includes('Completed')", 20)
    browser.open(ui.link("mlflow").replace(ADDRESS, name))
    browser.wait_for("location.hash.startsWith('#/experiments')", 60)
    browser.wait_for("document.body?.innerText.includes('chaos')", 60)
    elsewhere = [one.url for one in browser.requests if not one.url.startswith((f"http://{name}:", "data:", "blob:"))]
    assert elsewhere == []
    assert not [error for error in browser.errors if "401" in error or "403" in error]


def until_closed(url: str) -> None:
    """Return when an address takes no connection any more."""
    host, _, port = url.removeprefix("http://").partition(":")
    end = time.monotonic() + 30
    with contextlib.suppress(ConnectionRefusedError):
        while time.monotonic() < end:
            socket.create_connection((host, int(port)), timeout=5).close()
        pytest.fail(f"{url} is still open")


def test_the_door_is_closed_with_the_last_who_wanted_it_and_a_campaign_goes_on_by_loopback(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    environment = environment_of(home)
    with contextlib.ExitStack() as campaign:
        with serving(environment, "--host", ADDRESS) as first:
            workspace = Workspace.open(home)
            api = campaign.enter_context(prefect_server(workspace))
            wait_for_prefect()
            assert api.startswith("http://127.0.0.1:")
            outward = first.server("prefect")
            assert status(f"{outward}/api/health") == 200
            idle = socket.create_connection(tuple(outward.removeprefix("http://").split(":")), timeout=30)
            campaign.callback(idle.close)
        until_closed(outward)
        assert idle.recv(1) == b""  # what was connected has gone as well
        assert status(f"{api}/health") == 200
        with own_server(workspace, "prefect") as server:
            assert not server.open_outward(workspace)
        with serving(environment, "--host", ADDRESS) as second:  # does not take it from under the campaign
            assert second.server("prefect") == api.removesuffix("/api")
            assert second.server("mlflow").startswith(f"http://{ADDRESS}:")
            assert f"Prefect stays at {second.server('prefect')}, where process {os.getpid()}" in second.text
            port = second.server("prefect").rpartition(":")[2]
            assert f"ssh -N -L {port}:127.0.0.1:{port}" in second.text
        assert status(f"{api}/health") == 200
    with serving(environment, "--host", ADDRESS) as third:
        assert third.server("prefect").startswith(f"http://{ADDRESS}:")
