"""What the doctor finds and mends: versions, rights, and runs whose process has ended."""

import os
import sqlite3
import stat
from contextlib import closing

import psutil
import pytest
import sqlalchemy as sa

from data.config import parse_config
from data.ledger.lock import campaign_lock
from data.ledger.schema import locks
from pipelines import repairs
from tasks.workspace import Workspace


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without the checks that take seconds and have tests of their own."""
    monkeypatch.setattr("pipelines.doctor._oracle", lambda: "")
    monkeypatch.setattr("pipelines.doctor._components", lambda: "")


@pytest.fixture
def killed(bench):
    """A campaign whose process is gone and has left its lock and its state behind."""
    ledger = Workspace.open().ledger()
    campaign = ledger.begin_campaign(parse_config(bench.config), bench.folder)
    with campaign_lock(ledger, campaign), ledger.read() as connection:
        row = dict(connection.execute(sa.select(locks)).mappings().one())
    with ledger.write() as connection:
        connection.execute(sa.insert(locks).values(row | {"pid": max(psutil.pids()) + 100_000}))
    ledger.close()
    return bench


def test_a_killed_run_is_found_and_mended_without_a_measurement_touched(killed):
    told = killed.discover("doctor")
    assert told.exit == 0, told.message
    assert "look runs tiny: the process was killed; the same `discover run` goes on" in told.message
    assert "`discover doctor --repair` mends" in told.message
    told = killed.discover("doctor", "--repair")
    assert "Mended: 1 lock of ended processes removed; tiny marked as interrupted" in told.message
    assert killed.state() == "interrupted"
    assert "no campaign is being run, and none says so" in killed.discover("doctor").message


def test_a_lock_of_a_living_process_is_left_alone(bench):
    ledger = Workspace.open().ledger()
    with campaign_lock(ledger, ledger.begin_campaign(parse_config(bench.config), bench.folder)):
        told = bench.discover("doctor", "--repair")
        assert "ok runs 1 campaign being run" in told.message
        with ledger.read() as connection:
            assert connection.execute(sa.select(locks)).first() is not None


def test_a_workspace_that_others_may_read_is_closed_to_them(bench):
    bench.discover("status")
    Workspace.open().ledger().close()
    bench.home.chmod(0o755)
    assert f"look permissions others may read {bench.home}" in bench.discover("doctor").message
    assert "may be read by you alone now" in bench.discover("doctor", "--repair").message
    assert stat.S_IMODE(bench.home.stat().st_mode) == 0o700
    bench.home.chmod(0o2770)
    assert "shared with its group on purpose" in bench.discover("doctor", "--repair").message


def test_a_package_of_another_version_is_told_with_the_command_that_installs_it(bench, monkeypatch):
    monkeypatch.setattr(repairs, "version", lambda name: "0.165.0" if name == "fastapi" else "99")
    monkeypatch.setattr(repairs, "requires", lambda _: ["fastapi>=0.139,<0.151", "absent>=1; extra == 'never'"])
    told = bench.discover("doctor")
    assert told.exit == 2
    assert "fastapi is 0.165.0, expected <0.151,>=0.139" in told.message
    assert "`pip install 'fastapi<0.151,>=0.139'`" in told.message


def test_runs_that_prefect_shows_and_nobody_makes_are_counted(bench):
    Workspace.open().ledger().close()
    file = bench.home / "prefect" / "prefect.db"
    file.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE flow_run (state_type TEXT)")
        connection.executemany("INSERT INTO flow_run VALUES (?)", [("RUNNING",), ("COMPLETED",), ("RUNNING",)])
        connection.commit()
    told = bench.discover("doctor")
    assert "Prefect shows 2 runs that nobody makes any more" in told.message


def test_a_damaged_database_of_mlflow_is_said_and_keeps_nothing_from_running(bench, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    Workspace.open().ledger().close()
    (bench.home / "mlflow.db").write_bytes(b"SQLite format 3\0" + os.urandom(4096))
    told = bench.discover("doctor")
    assert told.exit == 0, told.message
    assert "look mlflow" in told.message
    assert "move it away" in told.message
