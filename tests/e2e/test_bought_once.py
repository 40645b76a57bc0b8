"""Nothing is bought twice, also by two campaigns at once: the real command in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import Bench, use

ORACLE = """
import os, time
from pathlib import Path
HERE = Path(__file__).parent
def measure(ms):
    for smiles in ms:
        with open(os.environ["CALL_LOG"], "a") as file:
            file.write(smiles + "\\n")
        gate = Path(os.environ["GATE"])
        until = time.monotonic() + 60
        while gate.exists() and time.monotonic() < until:
            time.sleep(0.02)
        if os.environ.get("FAIL"):
            raise RuntimeError("no")
    return [float(len(smiles)) for smiles in ms]
"""
"""Logs each molecule, then waits as long as the gate is closed."""
MOLECULES = ["CCCO", "CCCCN", "CCOCC", "Oc1ccccc1", "CNC(C)=O", "CCCCl"]


class Two:
    """Two campaigns over the same molecules with the same oracle, each a process of its own."""

    def __init__(self, tmp_path, tracking, monkeypatch):
        self.home = tmp_path
        self.gate, self.log = tmp_path / "gate", tmp_path / "calls.log"
        use(Bench(tmp_path), tracking, monkeypatch)
        monkeypatch.setenv("CALL_LOG", str(self.log))
        monkeypatch.setattr("tasks.report.round_figures", lambda *_: {})
        self.processes = []

    def bench(self, name, molecules=MOLECULES, **oracle):
        (self.home / name).mkdir(exist_ok=True)
        bench = Bench(self.home / name)
        (bench.folder / "slow_oracle.py").write_text(ORACLE)
        bench.write_library(*molecules)
        bench.write_config(
            name=name,
            seed=len(name),
            objectives=[{"name": "p", "oracle": {"kind": "python", "function": "slow_oracle:measure", **oracle}}],
            data={"kind": "csv", "path": "library.csv", "initial": len(molecules)},
            generator={"kind": "random", "proposals": 60},
            screens=[],
            rounds=0,
        )
        return bench

    def start(self, bench, *arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines", "run", str(bench.file), "--plain", *arguments],
            env={**os.environ, "GATE": str(self.gate), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def calls(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def wait_for(self, condition, seconds=60):
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, [p.poll() for p in self.processes]
            time.sleep(0.05)

    def rows(self, bench):
        told = bench.discover("candidates", bench.config["name"], "--format", "json")
        return json.loads(told.out) if told.exit == 0 else []

    def origins(self, *benches):
        from tasks.workspace import Workspace

        ledger = Workspace.open().ledger()
        names = {bench.config["name"] for bench in benches}
        latest = {campaign.name: campaign.id for campaign in ledger.campaigns() if campaign.name in names}
        rows = [row for campaign_id in latest.values() for row in ledger.candidates(campaign_id)]
        ledger.close()
        return [row["origin"] for row in rows if row["origin"]]


@pytest.fixture
def two(tmp_path, tracking, monkeypatch):
    two = Two(tmp_path, tracking, monkeypatch)
    yield two
    for process in two.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_two_campaigns_at_once_over_six_molecules_make_six_calls(two):
    first, second = two.bench("first"), two.bench("second", MOLECULES[::-1])
    two.gate.touch()
    processes = [two.start(first), two.start(second)]
    two.wait_for(lambda: two.calls())
    two.wait_for(lambda: len(two.origins(first, second)) == 12)
    two.gate.unlink()
    told = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert sorted(two.calls()) == sorted(MOLECULES)
    assert {row["smiles"]: row["value"] for row in two.rows(first)} == {
        row["smiles"]: row["value"] for row in two.rows(second)
    }
    assert any("waiting for campaign" in text for text in told)


def test_a_campaign_goes_on_by_itself_when_the_one_it_waits_for_dies(two):
    first, second = two.bench("first"), two.bench("second")
    two.gate.touch()
    dying = two.start(first)
    two.wait_for(lambda: two.calls())
    waiting = two.start(second)
    two.wait_for(lambda: two.origins(second) == ["awaited"] * 6)
    os.kill(dying.pid, signal.SIGKILL)
    dying.wait()
    two.gate.unlink()
    told, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, told
    assert two.origins(second) == ["called"] * 6
    before = len(two.calls())
    again = two.start(first)
    told, _ = again.communicate(timeout=120)
    assert again.returncode == 0, told
    assert len(two.calls()) == before  # what it had booked was bought meanwhile
    assert two.origins(first) == ["reused"] * 6


def test_a_call_that_failed_elsewhere_is_made_here(two):
    first, second = two.bench("first"), two.bench("second")
    two.gate.touch()
    failing = two.start(first, FAIL="1")
    two.wait_for(lambda: two.calls())
    waiting = two.start(second)
    two.wait_for(lambda: two.origins(second) == ["awaited"] * 6)
    two.gate.unlink()
    assert failing.wait(120) == 3
    told, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, told
    assert [row["state"] for row in two.rows(second)] == ["done"] * 6
    assert set(two.origins(second)) == {"called"}


@pytest.mark.parametrize("other", ["second", "first"])
def test_a_call_in_doubt_of_an_unsafe_oracle_is_not_made_by_another_name_or_generation(two, other):
    first = two.bench("first", semantics="unsafe")
    two.gate.touch()
    dying = two.start(first)
    two.wait_for(lambda: two.calls())
    os.kill(dying.pid, signal.SIGKILL)
    dying.wait()
    two.gate.unlink()
    (sent,) = two.calls()
    again = two.bench(other, semantics="unsafe")
    process = two.start(again, *(["--fresh"] if other == "first" else []))
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 3, told
    assert "discover settle first" in " ".join(told.split())
    assert two.calls().count(sent) == 1
    assert sorted(two.calls()) == sorted(MOLECULES)  # all but this one are bought
    identity = next(row["id"] for row in two.rows(again) if row["smiles"] == sent)
    settled = again.discover("settle", "first", identity, "--value", "0.25")
    assert settled.exit == 0, settled.message
    process = two.start(again)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert two.calls().count(sent) == 1
    assert {row["value"] for row in two.rows(again) if row["smiles"] == sent} == {0.25}
