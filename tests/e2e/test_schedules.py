"""Schedules and deployments as a user has them: a real server, a process that serves, a worker."""

import contextlib
import csv
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from data.ledger.lock import campaign_lock
from tasks.workspace import Workspace

DISCOVER = [sys.executable, "-m", "pipelines"]
PREFECT = [sys.executable, "-m", "prefect"]
LABORATORY = {
    "name": "bench",
    "space": {"kind": "vectors", "variables": {"x": [0, 1], "y": [0, 1]}},
    "objectives": [{"name": "yield", "oracle": {"kind": "laboratory", "outputs": {"yield": "%"}}}],
    "data": {"kind": "random", "initial": 6},
    "proxy": {"kind": "gaussian_process", "calibration": "none"},
    "generator": {"kind": "random", "proposals": 50},
    "rounds": 2,
    "batch_size": 2,
}
FUNCTION = {
    **LABORATORY,
    "name": "sums",
    "objectives": [{"name": "sum", "oracle": {"kind": "python", "function": "sums:measure", "version": "1"}}],
}
ORACLE = """
def measure(settings):
    read = [s if isinstance(s, dict) else dict(part.split("=") for part in s.split(", ")) for s in settings]
    return [float(one["x"]) + float(one["y"]) for one in read]
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass
class Serving:
    """A command that runs until it is interrupted, and the lines it has printed."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    heard: threading.Condition = field(default_factory=threading.Condition)

    def listen(self) -> None:
        for line in self.process.stdout or ():
            with self.heard:
                self.lines.append(line.rstrip("\n"))
                self.heard.notify_all()

    def says(self, pattern: str, seconds: float = 150.0) -> str:
        """Wait for a line; returns it."""
        with self.heard:
            assert self.heard.wait_for(lambda: self._found(pattern), seconds), (pattern, self.lines)
            return str(self._found(pattern))

    def _found(self, pattern: str) -> str | None:
        return next((line for line in self.lines if re.search(pattern, line)), None)


@dataclass
class Desk:
    """A folder with campaigns and a workspace, and the commands that are given there."""

    folder: Path

    def __post_init__(self) -> None:
        for config in (LABORATORY, FUNCTION):
            (self.folder / f"{config['name']}.yaml").write_text(yaml.safe_dump(config))
        (self.folder / "sums.py").write_text(ORACLE)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        return {**kept, "DISCOVER_HOME": str(self.home), "DISCOVER_WORKERS": "1", "DO_NOT_TRACK": "1", **more}

    def discover(self, *arguments: str, code: int = 0) -> str:
        """Give a command; returns all it printed."""
        told = subprocess.run(
            [*DISCOVER, *arguments],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == code, told.stdout + told.stderr
        return told.stdout + told.stderr

    @contextlib.contextmanager
    def serving(self, *arguments: str, ends: int = signal.SIGINT) -> Iterator[Serving]:
        command = [*DISCOVER, *arguments]
        with self.started(command, self.environment(), ends) as serving:
            yield serving

    @contextlib.contextmanager
    def started(self, command: list[str], environment: dict[str, str], ends: int) -> Iterator[Serving]:
        process = subprocess.Popen(
            command, env=environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        serving = Serving(process)
        listener = threading.Thread(target=serving.listen)
        listener.start()
        try:
            yield serving
        finally:
            process.send_signal(ends)
            try:
                process.wait(100)
            finally:
                process.kill()
                listener.join()
                assert process.stdout is not None
                process.stdout.close()

    def tell(self, name: str) -> None:
        rows = list(csv.DictReader(self.discover("ask", name).splitlines()))
        lines = [f"{row['id']},{40 + place}" for place, row in enumerate(rows)]
        (self.folder / "results.csv").write_text("\n".join(["id,yield", *lines]))
        self.discover("tell", name, "results.csv")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_results_that_are_told_start_the_next_round_and_the_schedule_is_remembered(desk):
    desk.discover("run", "bench.yaml", "--plain", code=3)
    with desk.serving("schedule", "bench.yaml", "--when-told") as serving:
        serving.says("Waiting .*0 of 6 results are there")
        desk.tell("bench")
        serving.says("Told .*all 6 results are there. A run starts.")
        serving.says("run bench ended Waiting")
        serving.says("Waiting .*Round 1: 0 of 2 results are there")
        assert re.search(r"bench-campaign-when-told .* yes\b", desk.discover("schedules"))
        again = desk.discover("schedule", "bench.yaml", "--when-told", code=2)
        assert "is being served by another process" in again
    assert serving.process.returncode == 0
    assert "Schedule bench-campaign-when-told stays remembered" in serving.lines[-1]
    assert not [line for line in serving.lines if "Traceback" in line]
    listed = desk.discover("schedules")
    assert re.search(r"bench-campaign-when-told .* Waiting .* no\b", listed)
    assert "forgotten" in desk.discover("schedules", "--remove", "bench-campaign-when-told")
    assert "Nothing is scheduled" in desk.discover("schedules")
    assert "no schedule 'bench-campaign-when-told'" in desk.discover(
        "schedules", "--pause", "bench-campaign-when-told", code=2
    )


def test_an_overlapping_run_ends_at_once_and_missed_runs_are_counted_and_said(desk):
    desk.discover("run", "sums.yaml", "--plain", "--set", "rounds=1")
    command = ("schedule", "sums.yaml", "--cron", "0 2 * * *", "--timezone", "Europe/Berlin", "--what", "campaign")
    workspace = Workspace(desk.home)
    ledger = workspace.ledger()
    with desk.serving(*command, ends=signal.SIGTERM) as serving:
        assert len(re.findall(r"\d\d 02:00", serving.says("^Next .*Europe/Berlin"))) == 3
        serving.says("^Ctrl-C")
        with campaign_lock(ledger, ledger.campaign("sums")):
            assert "is asked for" in desk.discover("schedules", "--start", "sums-campaign")
            ended = serving.says("run sums ended")
            assert f"ended AlreadyRunning: Campaign 'sums' is being run by process {os.getpid()} on" in ended
            assert re.search(r"\(since \d{4}-\d\d-\d\d \d\d:\d\d UTC", ended)
        assert re.search(r"sums-campaign .* AlreadyRunning .* yes\b", desk.discover("schedules"))
        assert "is paused" in desk.discover("schedules", "--pause", "sums-campaign")
        assert re.search(r"sums-campaign .* paused ", desk.discover("schedules"))
        assert "no longer paused" in desk.discover("schedules", "--resume", "sums-campaign")
    assert serving.process.returncode == 0
    assert "stays remembered" in serving.lines[-1]
    ledger.close()
    three_days_pass(desk.home)
    listed = desk.discover("schedules")
    assert re.search(
        r"sums-campaign: 3 runs were missed while nobody served: .*02:00.*02:00.*02:00 \(CES?T\)\.", listed
    )
    with desk.serving(*command) as serving:
        serving.says("^Missed .*3 runs were missed")
        serving.says("^Ctrl-C")
        assert "3 runs" not in desk.discover("schedules")


def three_days_pass(home: Path) -> None:
    """Have Prefect's database say that the schedules were last served three days ago."""
    then = str(datetime.now(UTC).replace(tzinfo=None) - timedelta(days=3))
    with contextlib.closing(sqlite3.connect(home / "prefect" / "prefect.db")) as database, database:
        database.execute("update deployment set last_polled = ?, updated = ?", (then, then))


def test_a_worker_of_a_pool_runs_a_deployed_campaign_and_goes_on_with_it(desk):
    with desk.serving("ui") as ui:
        page = ui.says("^prefect ")
        url = page.split()[1].partition("/discover/")[0]
        told = desk.discover("deploy", "sums.yaml", "--pool", "lab")
        assert "campaign/sums-on-lab" in told
        assert "lab (process), made now" in told
        assert f"PREFECT_API_URL={url}/api" in told
        assert "prefect worker start --pool lab --type process" in told
        token = (desk.home / "services" / "token").read_text().strip()
        assert token not in told
        access = desk.environment(PREFECT_API_URL=f"{url}/api", PREFECT_API_AUTH_STRING=f"discover:{token}")
        worker = [*PREFECT, "worker", "start", "--pool", "lab", "--type", "process"]
        with desk.started(worker, access, signal.SIGINT) as at_work:
            at_work.says("Worker .* started")
            for rounds, calls in ((1, 8), (2, 10)):
                run = [*PREFECT, "deployment", "run", "campaign/sums-on-lab", "--param", f"rounds={rounds}", "--watch"]
                ended = subprocess.run(run, env=access, cwd=desk.folder, capture_output=True, text=True, check=False)
                assert ended.returncode == 0, ended.stdout + ended.stderr
                assert "finished successfully in 'Completed'" in " ".join(ended.stdout.split())
                ledger = Workspace(desk.home).ledger()
                assert sum(row["calls"] for row in ledger.bought(ledger.campaign("sums").id)) == calls
                ledger.close()
            refused = [*PREFECT, "deployment", "run", "campaign/sums-on-lab", "--param", "proxy=nonsense"]
            answer = subprocess.run(refused, env=access, cwd=desk.folder, capture_output=True, text=True, check=False)
            assert answer.returncode != 0
            assert "'nonsense' is not one of" in " ".join((answer.stdout + answer.stderr).split())
        again = desk.discover("deploy", "sums.yaml", "--pool", "lab")
        assert "made now" not in again
        assert re.search(r"sums-on-lab .* Completed .* workers of lab", desk.discover("schedules"))
