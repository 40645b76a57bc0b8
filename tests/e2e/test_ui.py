"""`discover ui` on a finished campaign, in a real browser: what a chemist sees."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.browser import Browser

CAMPAIGN = Path(__file__).resolve().parent.parent / "chaos" / "campaign.yaml"
DISCOVER = [sys.executable, "-m", "pipelines"]

JSON = {"Content-Type": "application/json"}

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a workspace in which a campaign has been run through Prefect."""
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "DISCOVER_HOME": str(home), "CALL_LOG": str(home / "calls.log")}
    ran = subprocess.run([*DISCOVER, "run", str(CAMPAIGN)], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return environment


@pytest.fixture(scope="module")
def addresses(workspace: dict[str, str]) -> Iterator[dict[str, str]]:
    """What `discover ui` prints: the address of each server and of the campaign's page."""
    process = subprocess.Popen([*DISCOVER, "ui"], env=workspace, stdout=subprocess.PIPE, text=True)
    found = {}
    assert "Starting the servers" in process.stdout.readline()
    for line in process.stdout:
        match = re.match(r"(\S+?):?\s+(http://127\.0\.0\.1:\S+)$", line)
        if match is None:
            break
        found[match[1]] = match[2]
    yield found
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    process.stdout.close()
    assert process.wait(30) == 0


def mlflow_of(addresses: dict[str, str]) -> str:
    return addresses["mlflow"].partition("/discover/")[0]


@pytest.fixture
def known(workspace: dict[str, str]) -> dict[str, str]:
    """Headers of somebody who has the workspace's token."""
    token = (Path(workspace["DISCOVER_HOME"]) / "services" / "token").read_text()
    return {"Authorization": f"Basic {base64.b64encode(f'discover:{token}'.encode()).decode()}"}


def log_in(browser: Browser, addresses: dict[str, str]) -> None:
    """Open the link of mlflow that is printed, and wait for the list of experiments it leads to."""
    browser.open(addresses["mlflow"])
    browser.wait_for("location.hash.startsWith('#/experiments')", 60)


def test_the_link_of_mlflow_opens_the_runs_and_keeps_the_token_out_of_addresses(workspace, addresses, browser: Browser):
    log_in(browser, addresses)
    browser.wait_for("document.body?.innerText.includes('chaos')", 60)
    token = (Path(workspace["DISCOVER_HOME"]) / "services" / "token").read_text()
    assert token in addresses["mlflow"]
    assert token not in browser.evaluate("location.href + document.cookie")
    assert not [request.url for request in browser.requests if request.leaves_the_machine]
    refused = [error for error in browser.errors if "401" in error]
    assert not refused


def test_the_candidates_page_renders_inside_mlflows_artifact_view(addresses, browser: Browser):
    log_in(browser, addresses)
    browser.open(addresses["chaos"])
    page = browser.frame("document.querySelectorAll('.structure svg').length > 0", 90)
    rows = page.evaluate("document.querySelectorAll('#candidates tbody tr').length")
    assert rows == 16
    assert page.evaluate("document.querySelectorAll('.structure svg').length") >= rows
    assert "Score" in page.evaluate("document.body.innerText")
    assert not [request.url for request in browser.requests if request.leaves_the_machine]


def test_the_campaigns_run_shows_rounds_figures_and_models(addresses, browser: Browser):
    log_in(browser, addresses)
    run = addresses["chaos"].split("/artifacts/")[0]
    browser.open(f"{run}?workflowType=machine_learning")
    for text in ("initial design", "round 1", "round 2", "top10_mean", "best_so_far"):
        browser.wait_for(f"document.body?.innerText.includes({text!r})", 60)


def click_on(browser: Browser, text: str, within: str = "body") -> None:
    """Click the first link with a text, once there is one."""
    links = f"Array.from(document.querySelectorAll('{within} a')).filter(one => one.textContent.trim() === {text!r})"
    browser.wait_for(f"{links}.length > 0", 60)
    browser.evaluate(f"{links}[0].click()")


def test_from_the_experiment_to_the_campaign_to_a_round_to_its_page(addresses, browser: Browser):
    log_in(browser, addresses)
    assert browser.evaluate("localStorage['mlflow.assistant.panelOpen_v1'] !== 'true'")
    experiment = addresses["chaos"].split("/runs/")[0]
    browser.open(f"{experiment}/runs?viewStateShareKey=discover&workflowType=machine_learning")
    for column in ("best", "calls", "gain", "top10_mean"):  # of the view; without it the table shows no metric
        browser.wait_for(
            f"Array.from(document.querySelectorAll('[role=columnheader]')).some(one => one.textContent.includes({column!r}))",
            60,
        )
    assert browser.evaluate("document.body.innerText.includes('Discovery campaign')")
    click_on(browser, "chaos", "[role=gridcell]")
    browser.wait_for("document.body?.innerText.includes('Done after 2 rounds. Best score')", 60)
    browser.wait_for(
        "Array.from(document.images).filter(one => one.src.includes('best_1.svg') && one.naturalWidth).length", 60
    )
    click_on(browser, "round 2")
    browser.wait_for("document.body?.innerText.includes('4 bought, best so far')", 60)
    browser.wait_for("document.body?.innerText.includes('proxy/spearman')", 60)
    link = "Array.from(document.querySelectorAll('a')).find(one => one.textContent === 'Page of candidates')"
    browser.open(browser.wait_for(f"{link}?.href", 60))
    page = browser.frame("document.querySelectorAll('.structure svg').length > 0", 90)
    assert "Score" in page.evaluate("document.body.innerText")
    assert not [request.url for request in browser.requests if request.leaves_the_machine]


HOLDING = """
import time
from pathlib import Path

BEGAN = time.monotonic()

def measure(points):
    here = Path(__file__).parent
    with (here / "asked").open("a") as file:
        file.write("x")
    asked = len((here / "asked").read_text())
    while asked > 3 and not (here / "go").exists() and time.monotonic() < BEGAN + 6.0 * (asked - 3):
        time.sleep(0.05)
    return [one["x"] for one in points]
"""
"""Answers three times at once, then every six seconds, and the rest once there is a file `go`."""


def run_of(addresses: dict[str, str], known: dict[str, str], name: str) -> dict[str, str] | None:
    """Return where MLflow has a run, by its name and that of its experiment: {experiment, run, note}; None: nowhere."""
    experiment, run = name.split("/")

    def asked(path: str, body: dict[str, object]) -> dict[str, list[dict[str, object]]]:
        url = f"{mlflow_of(addresses)}/api/2.0/mlflow/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), {**JSON, **known})) as told:
            return json.load(told)

    for one in asked("experiments/search", {"max_results": 50}).get("experiments", []):
        if one["name"] == experiment:
            for found in asked("runs/search", {"experiment_ids": [one["experiment_id"]]}).get("runs", []):
                tags = {tag["key"]: tag["value"] for tag in found["data"]["tags"]}
                if tags["mlflow.runName"] == run:
                    note = tags.get("mlflow.note.content", "")
                    return {"experiment": one["experiment_id"], "run": found["info"]["run_id"], "note": note}
    return None


def test_a_campaign_that_runs_is_watched_in_mlflow(workspace, addresses, known, browser: Browser, tmp_path):
    (tmp_path / "holding.py").write_text(HOLDING)
    (tmp_path / "held.yaml").write_text(
        "name: held\nspace: {kind: vectors, variables: {x: [0, 1]}}\nscreens: []\n"
        "objectives: [{name: x, oracle: {kind: python, function: 'holding:measure', chunk: 1}}]\n"
        "data: {kind: random, initial: 30}\ngenerator: {kind: random}\nrounds: 0\n"
    )
    command = [*DISCOVER, "run", str(tmp_path / "held.yaml"), "--plain"]
    environment = {**workspace, "DISCOVER_WORKERS": "1"}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 120
        while not (found := run_of(addresses, known, "held/initial design")) or "Running" not in found["note"]:
            assert time.monotonic() < end
            time.sleep(0.1)
        log_in(browser, addresses)
        page = f"{mlflow_of(addresses)}/#/experiments/{found['experiment']}/runs/{found['run']}"
        browser.open(f"{page}?workflowType=machine_learning")
        browser.wait_for("document.body?.innerText.includes('Running: round 0 of 0: measure')", 90)
        browser.wait_for("document.body?.innerText.includes('batch/value')", 60)
    finally:
        (tmp_path / "go").touch()
        assert running.wait(120) == 0


def test_prefect_shows_the_flow_run(addresses, browser: Browser):
    browser.open(addresses["prefect"])  # the link logs the browser in
    browser.wait_for("document.body?.innerText.includes('campaign:chaos')", 60)
    browser.wait_for("document.body?.innerText.includes('Completed')", 20)
    assert not [request.url for request in browser.requests if request.leaves_the_machine]


def refusal(request: urllib.request.Request) -> int:
    """Return the status with which a server refuses; closes the answer, which is a socket."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    with refused.value as answer:
        return int(answer.code)


def test_prefect_lets_nobody_in_without_the_workspaces_password(addresses):
    server = addresses["prefect"].partition("/discover/")[0]
    assert refusal(urllib.request.Request(f"{server}/api/flow_runs/filter", b"{}", JSON)) == 401


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", None),
        ("/health", None),
        ("/api/2.0/mlflow/experiments/search", b"{}"),
        ("/graphql", b"{}"),
        ("/get-artifact?path=x&run_uuid=0", None),
        ("/ajax-api/2.0/mlflow/upload-artifact?run_uuid=0&path=x", b"x"),
        ("/api/2.0/mlflow-artifacts/artifacts/x", None),
        ("/ajax-api/3.0/mlflow/assistant/config", None),
        ("/discover/login", b"discover:another"),
    ],
)
def test_mlflow_lets_nobody_in_without_the_workspaces_token(addresses, path, body):
    wrong = f"Basic {base64.b64encode(b'discover:another').decode()}"
    port = mlflow_of(addresses).rpartition(":")[2]
    for stranger in ({}, {"Authorization": wrong}, {"Cookie": f"discover-{port}=another; discover-{port}="}):
        assert refusal(urllib.request.Request(f"{mlflow_of(addresses)}{path}", body, {**JSON, **stranger})) == 401


def test_mlflow_runs_no_assistant_and_calls_no_gateway_even_for_its_owner(addresses, known):
    for path in ("/ajax-api/3.0/mlflow/assistant/config", "/gateway/mlflow/v1/models", "/api/2.0/mlflow/webhooks"):
        assert refusal(urllib.request.Request(f"{mlflow_of(addresses)}{path}", headers=known)) == 404


def test_files_outside_the_workspaces_artifacts_are_neither_named_nor_read_nor_written(
    workspace, addresses, known, tmp_path
):
    """Also not those to which a folder that MLflow's database names has become a link."""
    server = mlflow_of(addresses)

    def asked(path: str, body: dict[str, str]) -> urllib.request.Request:
        return urllib.request.Request(f"{server}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {**JSON, **known})

    for place in (tmp_path.as_uri(), str(tmp_path), "s3://bucket/x", "http://127.0.0.1:9/x", "../campaigns"):
        for key in ("artifact_location", "artifactLocation"):
            refused = refusal(asked("experiments/create", {"name": place, key: place}))
            assert refused == 403 or (refused == 400 and place.startswith("http"))  # MLflow's own refusal

    inside = Path(workspace["DISCOVER_HOME"]) / "artifacts" / "mine"
    with urllib.request.urlopen(
        asked("experiments/create", {"name": "mine", "artifact_location": inside.as_uri()})
    ) as answer:
        experiment = json.load(answer)["experiment_id"]
    with urllib.request.urlopen(asked("runs/create", {"experiment_id": experiment})) as answer:
        run = json.load(answer)["run"]["info"]["run_id"]
    upload = f"{server}/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=note.txt"
    with urllib.request.urlopen(urllib.request.Request(upload, b"mine", {**JSON, **known})) as answer:
        assert answer.status == 200
    assert (inside / run / "artifacts" / "note.txt").read_bytes() == b"mine"
    assert (inside / run / "artifacts" / "note.txt").stat().st_mode & 0o077 == 0

    (tmp_path / "note.txt").write_text("secret")
    (inside / run / "artifacts").rename(inside / run / "before")
    (inside / run / "artifacts").symlink_to(tmp_path)
    read = f"{server}/get-artifact?path=note.txt&run_uuid={run}"
    assert refusal(urllib.request.Request(read, headers=known)) == 403
    assert refusal(urllib.request.Request(upload, b"overwritten", {**JSON, **known})) == 403
    listed = f"{server}/api/2.0/mlflow/artifacts/list?run_id={run}"
    assert refusal(urllib.request.Request(listed, headers=known)) == 403
    assert (tmp_path / "note.txt").read_text() == "secret"


def test_pages_of_other_sites_reach_neither_server(addresses, known):
    foreign = {"Host": "evil.example", **JSON, **known}
    search = f"{mlflow_of(addresses)}/api/2.0/mlflow/experiments/search"
    assert refusal(urllib.request.Request(search, b"{}", foreign)) == 403
    server = addresses["prefect"].partition("/discover/")[0]
    asked = urllib.request.Request(f"{server}/api/health", headers={"Origin": "http://evil.example"})
    with urllib.request.urlopen(asked) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] is None
