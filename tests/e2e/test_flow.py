"""The real thing: Prefect server, flow, schedule; killed and continued."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.conftest import results

CAMPAIGN = Path(__file__).resolve().parent.parent / "chaos" / "campaign.yaml"
DISCOVER = [sys.executable, "-m", "pipelines"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def environment(home: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "DISCOVER_HOME": str(home), "CALL_LOG": str(home / "calls.log"), **more}


def discover(*arguments: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DISCOVER, *arguments], env=environment(home, **more), capture_output=True, text=True, check=False
    )


@contextlib.contextmanager
def served(home: Path, *arguments: str) -> Iterator[str]:
    """Run a command that serves Prefect; yields the address of the server."""
    process = subprocess.Popen([*DISCOVER, *arguments], env=environment(home), stdout=subprocess.PIPE, text=True)
    try:
        yield next(word for line in process.stdout for word in line.split() if word.startswith("http://"))
    finally:
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        process.stdout.close()
        process.wait(60)


def asked(url: str, path: str, body: Any) -> Any:
    server, _, secret = url.partition("/discover/login")
    login = base64.b64encode(secret.partition("#")[2].encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
    request = urllib.request.Request(f"{server}/api{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def waited_for(question, deadline: float = 150.0):
    """Ask again, once a second, until the answer is truthy; the test's own timeout is the last resort."""
    import time

    end = time.monotonic() + deadline
    while not (answer := question()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(1)
    return answer


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The workspace of a campaign that nothing happened to, and its results."""
    home = tmp_path_factory.mktemp("done")
    assert discover("run", str(CAMPAIGN), "--plain", home=home).returncode == 0
    return home, results(home)


def test_a_flow_killed_in_the_middle_of_a_measurement_goes_on_and_prefect_shows_both_runs(done, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    killed = discover("run", str(CAMPAIGN), home=home, KILL_CAMPAIGN_AT_CALL="9", DISCOVER_WORKERS="1")
    assert killed.returncode == -signal.SIGKILL
    assert "killed" in discover("status", home=home).stdout
    again = discover("run", str(CAMPAIGN), home=home, DISCOVER_WORKERS="1")
    assert again.returncode == 0, again.stdout + again.stderr
    assert results(home) == done[1]
    made = (home / "calls.log").read_text().splitlines()
    assert len(made) == len(set(made)) == 16
    with served(home, "schedule", str(CAMPAIGN), "--cron", "0 0 1 1 *") as url:
        runs = asked(url, "/flow_runs/filter", {"flow_runs": {"tags": {"all_": ["campaign:chaos"]}}})
        assert sorted(run["state_name"] for run in runs) == ["Completed", "Crashed"]


def test_a_schedule_that_fires_retrains_and_promotes(done):
    home, _ = done
    with served(home, "schedule", str(CAMPAIGN), "--cron", "* * * * *", "--what", "retrain") as url:
        (deployment,) = waited_for(lambda: asked(url, "/deployments/filter", {}))
        assert deployment["name"] == "chaos-retrain"
        assert deployment["entrypoint"] == "pipelines.retraining.retrain"
        assert deployment["global_concurrency_limit"] is None  # an overlapping run says itself why it ends
        question = {"flow_runs": {"state": {"name": {"any_": ["Promoted"]}}}}
        waited_for(lambda: asked(url, "/flow_runs/filter", question))
    comparison = json.loads((home / "campaigns" / "chaos" / "retrain" / "comparison.json").read_text())
    assert comparison["n_challenger"] == 16


def test_a_retraining_that_fails_under_prefect_says_why_and_not_what_an_earlier_one_came_to(done, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(done[0], home)
    promoted = discover("retrain", "chaos", home=home)
    assert (promoted.returncode, promoted.stderr) == (0, "")
    assert "champion" in promoted.stdout
    failed = discover("retrain", "chaos", home=home, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert failed.returncode == 2
    assert "http://127.0.0.1:9" in failed.stderr
    assert "champion" not in failed.stdout
    assert "Traceback" not in failed.stderr
