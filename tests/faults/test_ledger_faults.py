"""What happens to the ledger of a campaign, through the command line: see docs/reliability.md."""

import json
import os
import resource
import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime

import psutil
import pytest

from data.config import parse_config
from data.ledger.ledger import Ledger
from data.ledger.lock import campaign_lock, release_lock
from data.ledger.processes import ProcessIdentity
from tasks.workspace import Workspace
from tests.conftest import Bench, use

pytestmark = pytest.mark.timeout(300)

ON_THIRD_CALL = """

import sqlite3
from contextlib import closing

def disturbed(smiles):
    if calls() >= 11 and not (LOG.parent / "done").exists():
        (LOG.parent / "done").touch()
        {act}
    return value(smiles)
"""
"""The initial design has 8 calls, the round 4: the disturbance comes when 3 of the round are made."""


def disturb(bench, act):
    bench.write_oracle("disturbed(smiles)")
    with (bench.folder / "tiny_oracle.py").open("a") as file:
        file.write(ON_THIRD_CALL.replace("{act}", act))


@pytest.fixture
def planned(bench):
    """The campaign with one call at a time, so that a disturbance meets one and not a chunk."""
    bench.config["objectives"][0]["oracle"]["chunk"] = 1
    bench.write_config()
    return bench


@pytest.fixture
def held(bench):
    """A workspace with a begun campaign and what its first stage left, made without running it."""
    ledger = Workspace.open().ledger()
    ledger.begin_campaign(parse_config(bench.config), bench.folder)
    (bench.home / "campaigns" / "tiny" / "round-000").mkdir(parents=True)
    for _ in range(30):  # enough of them to fill more than a page
        ledger.begin_campaign(parse_config(bench.config), bench.folder, fresh=True)
    ledger.close()
    return bench


def test_a_lock_that_somebody_removes_ends_the_run_with_no_further_call(planned, monkeypatch):
    monkeypatch.setattr("data.ledger.lock.HEARTBEAT_SECONDS", 0.1)
    disturb(planned, f"connection = sqlite3.connect({str(planned.home / 'ledger.db')!r}, timeout=30)\n"
            "        connection.execute('DELETE FROM locks'); connection.commit(); connection.close()")  # fmt: skip
    told = planned.run()
    assert told.exit == 3, told.message
    assert "lock of campaign 'tiny' was removed" in told.message or "lock of the campaign was removed" in told.message
    assert len(planned.calls()) == 11  # the one in the middle of which it happened is the last; 12 were planned
    assert planned.run().exit == 0
    assert len(set(planned.calls())) == 12


def test_a_clock_that_was_set_does_not_let_a_second_run_in(held):
    ledger = Workspace(held.home).ledger()
    with campaign_lock(ledger, ledger.campaign("tiny")):
        for started in (0.0, psutil.Process().create_time() + 86400.0):
            with ledger.write() as connection:
                connection.exec_driver_sql("UPDATE locks SET started = ?", (started,))
            told = held.run()
            assert told.exit == 2
            assert f"process {os.getpid()}" in told.message
    ledger.close()
    assert held.calls() == []


def test_a_second_container_is_not_let_in_and_told_how_to_go_on(held):
    owner = {**ProcessIdentity.of_this_process().row(), "pid": 1, "namespace": "pid:[4026539999]", "token": "another"}
    owner |= {"campaign_id": Workspace(held.home).ledger().campaign("tiny").id}
    owner |= {"heartbeat": datetime.now(UTC).isoformat()}
    with closing(sqlite3.connect(held.home / "ledger.db")) as connection, connection:
        names = ", ".join(owner)
        connection.execute(f"INSERT INTO locks ({names}) VALUES ({', '.join('?' * len(owner))})", list(owner.values()))
    told = held.run()
    assert told.exit == 2
    assert "discover unlock tiny" in told.message
    assert held.calls() == []


def test_a_busy_ledger_is_waited_for_and_said(held, monkeypatch):
    monkeypatch.setattr("data.ledger.engine._BUSY_MILLISECONDS", 50)
    other = sqlite3.connect(held.home / "ledger.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(2.0, other.execute, ["ROLLBACK"])
    release.start()
    told = held.run("--fresh")
    release.join()
    other.close()
    assert told.exit == 0, told.message
    assert "The ledger is busy: another process is writing" in told.err
    assert "Waiting for it" in told.err


def test_a_ledger_that_stays_busy_is_refused_after_a_while(held, monkeypatch):
    monkeypatch.setattr("data.ledger.engine._BUSY_MILLISECONDS", 50)
    monkeypatch.setattr("data.ledger.engine.PATIENCE_SECONDS", 0.5)
    with closing(sqlite3.connect(held.home / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        told = held.run("--fresh")
    assert told.exit == 2
    assert "End the process that holds it" in told.message
    assert held.calls() == []


def test_a_read_only_ledger_is_named(held, monkeypatch):
    monkeypatch.setenv("DISCOVER_LEDGER", f"sqlite:///file:{held.home / 'ledger.db'}?mode=ro&uri=true")
    told = held.run("--fresh")
    assert told.exit == 2, told.message
    assert "it may only be read" in told.message
    assert held.calls() == []


@pytest.mark.parametrize("command", ["run", "status", "candidates", "unlock"])
@pytest.mark.parametrize("damage", ["missing", "empty", "directory", "garbage", "half"])
def test_a_damaged_ledger_is_a_sentence_and_buys_nothing(held, damage, command):
    file = held.home / "ledger.db"
    content = file.read_bytes()
    file.unlink()
    if damage == "directory":
        file.mkdir()
    elif damage != "missing":
        file.write_bytes(
            {"empty": b"", "garbage": b"no ledger at all " * 500, "half": content[: len(content) // 3]}[damage]
        )
    told = held.run() if command == "run" else held.discover(command, *([] if command == "status" else ["tiny"]))
    assert told.exit == 2, told.message
    assert str(file) in told.message
    assert held.calls() == []


def test_doctor_finds_damage_inside_of_the_ledger(held, monkeypatch):
    monkeypatch.setattr("pipelines.doctor._oracle", lambda: "")
    assert "its file is sound" in held.discover("doctor").message
    file = held.home / "ledger.db"
    content = bytearray(file.read_bytes())
    size = int.from_bytes(content[16:18], "big")
    with closing(sqlite3.connect(file)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'oracle_calls'").fetchone()
    content[(root - 1) * size : (root - 1) * size + 64] = os.urandom(64)
    file.write_bytes(content)
    told = held.discover("doctor")
    assert told.exit == 2
    assert "is damaged" in told.message or "malformed" in told.message


@pytest.fixture(scope="module")
def photographed(tmp_path_factory, tracking):
    """A campaign that is done, and a copy of its workspace as it was in the middle of a call."""
    bench = Bench(tmp_path_factory.mktemp("photographed"))
    bench.config["objectives"][0]["oracle"]["chunk"] = 1
    bench.write_config()
    image = bench.folder / "image"
    disturb(bench, f"import shutil; shutil.copytree({str(bench.home)!r}, {str(image)!r})")
    with pytest.MonkeyPatch.context() as patch:
        use(bench, tracking, patch)
        patch.setattr("tasks.reporting.report.round_figures", lambda *_: {})
        told = bench.run()
        assert told.exit == 0, told.message
        return bench, image, {row["id"]: row["value"] for row in bench.candidates()}


@pytest.mark.parametrize("cut", [0, 40, 30_000, -1, -5000])
def test_a_log_that_was_cut_short_loses_only_what_was_in_it(photographed, tracking, monkeypatch, cut):
    """The ledger as it is in the middle of a call, with what SQLite had not moved into the file yet."""
    planned, image, bought = photographed
    use(planned, tracking, monkeypatch)
    monkeypatch.setattr("tasks.reporting.report.round_figures", lambda *_: {})
    shutil.rmtree(planned.home)
    shutil.copytree(image, planned.home)
    log = planned.home / "ledger.db-wal"
    content = log.read_bytes()
    log.write_bytes(content[:cut] if cut else b"")
    (planned.home / "ledger.db-shm").unlink(missing_ok=True)
    with closing(Ledger.at(planned.home / "ledger.db")) as ledger:
        ledger.check()
        kept = {row[0] for row in _answered(ledger)}
        for campaign in ledger.campaigns():
            release_lock(ledger, campaign)  # the owner of the image is this very process
    before = len(planned.calls())
    told = planned.run()
    assert told.exit == 0, told.message
    assert {row["id"]: row["value"] for row in planned.candidates()} == bought
    assert len(planned.calls()) - before == 12 - len(kept)  # what had reached the ledger is not made again


def _answered(ledger):
    with ledger.read() as connection:
        return connection.exec_driver_sql("SELECT object_id FROM oracle_calls WHERE state = 'done'").fetchall()


def test_a_full_disk_in_the_middle_of_a_campaign_loses_no_answer(planned):
    with closing(Workspace.open().ledger()) as ledger:
        ledger.campaigns()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((planned.home / "ledger.db").stat().st_size + 40_000, hard))
    try:
        told = planned.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert told.exit == 2, told.message
    assert "disk" in told.message
    with closing(Workspace(planned.home).ledger()) as ledger:  # the lock had no room to be removed; its owner lives on
        release_lock(ledger, ledger.campaign("tiny"))
    again = planned.run()
    assert again.exit == 0, again.message
    assert len(planned.calls()) == len(set(planned.calls())) == 12
    assert json.dumps(planned.candidates())
