"""Nothing is bought twice, also by two campaigns at once: the real command in processes of its own."""

import json
import os
import time

import pytest

from tests.conftest import Bench, use

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # each test is several whole campaigns in processes

ORACLE = """
import os, time
from pathlib import Path
HERE = Path(__file__).parent
def measure(ms):
    for smiles in ms:
        with open(os.environ["CALL_LOG"], "a") as file:
            file.write(smiles + "\\n")
        gate = Path(os.environ["GATE"])
        until = time.monotonic() + 200
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

    def __init__(self, tmp_path, tracking, monkeypatch, commands):
        self.commands = commands
        self.home = tmp_path
        self.gate, self.log = tmp_path / "gate", tmp_path / "calls.log"
        use(Bench(tmp_path), tracking, monkeypatch)
        monkeypatch.setenv("CALL_LOG", str(self.log))
        monkeypatch.setattr("tasks.reporting.report.round_figures", lambda *_: {})

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
        return self.commands("run", str(bench.file), "--plain", *arguments, GATE=str(self.gate), **environment)

    def calls(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def wait_for(self, condition, seconds=120):
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until
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
        return [row.origin for row in rows if row.origin]


@pytest.fixture
def two(tmp_path, tracking, monkeypatch, warm):
    started = []

    def commands(*arguments, **environment):
        names = ("DISCOVER_HOME", "MLFLOW_TRACKING_URI", "DISCOVER_WORKERS", "CALL_LOG")
        started.append(warm.start(arguments, environment | {name: os.environ[name] for name in names}))
        return started[-1]

    yield Two(tmp_path, tracking, monkeypatch, commands)
    for command in started:
        command.kill()


def test_two_campaigns_at_once_over_six_molecules_make_six_calls(two):
    first, second = two.bench("first"), two.bench("second", MOLECULES[::-1])
    two.gate.touch()
    processes = [two.start(first), two.start(second)]
    two.wait_for(lambda: two.calls())
    two.wait_for(lambda: len(two.origins(first, second)) == 12)
    two.gate.unlink()
    told = [process.ended() for process in processes]
    assert [process.code for process in processes] == [0, 0], told
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
    dying.kill()
    two.gate.unlink()
    told = waiting.ended()
    assert waiting.code == 0, told
    assert two.origins(second) == ["called"] * 6
    before = len(two.calls())
    again = two.start(first)
    told = again.ended()
    assert again.code == 0, told
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
    failing.ended()
    assert failing.code == 3
    told = waiting.ended()
    assert waiting.code == 0, told
    assert [row["state"] for row in two.rows(second)] == ["done"] * 6
    assert set(two.origins(second)) == {"called"}


@pytest.mark.slow
@pytest.mark.parametrize("other", ["second", "first"])
def test_a_call_in_doubt_of_an_unsafe_oracle_is_not_made_by_another_name_or_generation(two, other):
    first = two.bench("first", semantics="unsafe")
    two.gate.touch()
    dying = two.start(first)
    two.wait_for(lambda: two.calls())
    dying.kill()
    two.gate.unlink()
    (sent,) = two.calls()
    again = two.bench(other, semantics="unsafe")
    process = two.start(again, *(["--fresh"] if other == "first" else []))
    told = process.ended()
    assert process.code == 3, told
    assert "discover settle first" in told
    assert two.calls().count(sent) == 1
    assert sorted(two.calls()) == sorted(MOLECULES)  # all but this one are bought
    identity = next(row["id"] for row in two.rows(again) if row["smiles"] == sent)
    settled = again.discover("settle", "first", identity, "--value", "0.25")
    assert settled.exit == 0, settled.message
    process = two.start(again)
    told = process.ended()
    assert process.code == 0, told
    assert two.calls().count(sent) == 1
    assert {row["value"] for row in two.rows(again) if row["smiles"] == sent} == {0.25}
