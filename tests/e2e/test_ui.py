"""`discover ui` on a finished campaign, in a real browser: what a chemist sees."""

import os
import re
import signal
import subprocess
import sys
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


def test_the_candidates_page_renders_inside_mlflows_artifact_view(addresses, browser: Browser):
    browser.open(addresses["chaos"])
    page = browser.frame("document.querySelectorAll('.structure svg').length > 0", 90)
    rows = page.evaluate("document.querySelectorAll('#candidates tbody tr').length")
    assert rows == 16
    assert page.evaluate("document.querySelectorAll('.structure svg').length") >= rows
    assert "Score" in page.evaluate("document.body.innerText")
    assert not [request.url for request in browser.requests if request.leaves_the_machine]


def test_the_campaigns_run_shows_rounds_figures_and_models(addresses, browser: Browser):
    run = addresses["chaos"].split("/artifacts/")[0]
    browser.open(f"{run}?workflowType=machine_learning")
    for text in ("initial design", "round 1", "round 2", "top10_mean", "best_so_far"):
        browser.wait_for(f"document.body.innerText.includes({text!r})", 60)


def test_prefect_shows_the_flow_run(addresses, browser: Browser):
    browser.open(addresses["prefect"])  # the link logs the browser in
    browser.wait_for("document.body.innerText.includes('campaign:chaos')", 60)
    browser.wait_for("document.body.innerText.includes('Completed')", 20)
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


def test_pages_of_other_sites_reach_neither_server(addresses):
    mlflow = addresses["mlflow"]
    foreign = {"Host": "evil.example", **JSON}
    assert refusal(urllib.request.Request(f"{mlflow}/api/2.0/mlflow/experiments/search", b"{}", foreign)) == 403
    server = addresses["prefect"].partition("/discover/")[0]
    asked = urllib.request.Request(f"{server}/api/health", headers={"Origin": "http://evil.example"})
    with urllib.request.urlopen(asked) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] is None
