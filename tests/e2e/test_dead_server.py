"""The Prefect server of a running campaign dies: the campaign ends by itself, with its exit code and its results."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.conftest import Bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

PATIENCE = 180.0
"""Seconds after which a command counts as stuck: after the server's death there are some seconds of work left."""

ORACLE = """
import time
from pathlib import Path
from rdkit import Chem
from rdkit.Chem import Crippen
HERE = Path(__file__).parent

def measure(molecules):
    if (HERE / "fail").exists():
        raise RuntimeError("the instrument is broken")
    with (HERE / "calls.log").open("a") as file:
        file.writelines(f"{smiles}\\n" for smiles in molecules)
    stops = (HERE / "stop").read_text().split() if (HERE / "stop").exists() else []
    for smiles in molecules:
        made = len((HERE / "calls.log").read_text().splitlines())
        if str(made) in stops:
            (HERE / "waits").touch()
            while not (HERE / "go on").exists():
                time.sleep(0.02)
    return [Crippen.MolLogP(Chem.MolFromSmiles(smiles)) for smiles in molecules]
"""
"""Waits at the calls whose numbers stand in the file `stop`, until there is a file `go on`."""


class Run:
    """`discover run` in a process of its own, with a Prefect server."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.printed = bench, bench.folder / "printed"
        with self.printed.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipelines", "run", str(bench.file)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "DISCOVER_HOME": str(bench.home), "DISCOVER_WORKERS": "1"},
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # the tests may run under nohup
            )

    def until(self, name: str) -> None:
        end = time.monotonic() + PATIENCE
        while not (self.bench.folder / name).exists():
            assert self.process.poll() is None, self.printed.read_text()
            assert time.monotonic() < end, self.printed.read_text()
            time.sleep(0.05)

    def server(self) -> psutil.Process:
        servers = json.loads((self.bench.home / "services" / "servers.json").read_text())
        process = psutil.Process(servers["prefect"]["pid"])
        assert "pipelines.server_child" in process.cmdline()
        return process

    def ended(self) -> tuple[int, str]:
        """Exit code and what was printed."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"The command did not end by itself:\n{self.printed.read_text()}")
        return code, self.printed.read_text()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)


def stopped_in_its_third_call(folder):
    """A campaign whose oracle waits in the third call of its first round (the initial design has eight)."""
    folder.mkdir(exist_ok=True)
    bench = Bench(folder)
    bench.config["objectives"][0]["oracle"]["chunk"] = 1
    bench.write_config(rounds=2)
    (bench.folder / "tiny_oracle.py").write_text(ORACLE)
    (bench.folder / "stop").write_text("11")
    return bench


@pytest.fixture
def stopping(tmp_path, tracking, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    monkeypatch.delenv("DISCOVER_LEDGER", raising=False)
    return stopped_in_its_third_call(tmp_path)


@pytest.fixture
def run(stopping):
    run = Run(stopping)
    yield run
    run.end()


def test_a_campaign_whose_server_hangs_goes_on_and_ends_with_0(stopping, run):
    run.until("waits")
    server = run.server()
    server.send_signal(signal.SIGSTOP)
    (stopping.folder / "go on").touch()
    code, printed = run.ended()
    assert code == 0, printed
    assert "Traceback" not in printed
    assert "its server does not answer any more; the campaign goes on without it" in " ".join(printed.split())
    assert "prefect._internal" not in printed
    assert "Error logging to API" not in printed
    assert len(stopping.calls()) == len(set(stopping.calls())) == 16
    assert "Campaign tiny is done." in printed


def test_a_campaign_whose_server_was_killed_still_ends_with_3_at_its_limit(stopping):
    stopping.write_config(budget={"calls": 14})
    run = Run(stopping)
    try:
        run.until("waits")
        run.server().send_signal(signal.SIGKILL)
        (stopping.folder / "go on").touch()
        code, printed = run.ended()
    finally:
        run.end()
    assert code == 3, printed
    assert "Traceback" not in printed
    assert len(stopping.calls()) == 14


def test_a_campaign_whose_server_was_killed_can_still_be_interrupted(stopping, run, monkeypatch):
    run.until("waits")
    run.server().send_signal(signal.SIGKILL)
    time.sleep(2.0)
    run.process.send_signal(signal.SIGTERM)
    code, printed = run.ended()
    assert code == 130, printed
    assert "Traceback" not in printed
    monkeypatch.setenv("DISCOVER_HOME", str(stopping.home))
    assert stopping.state() == "interrupted"
