"""`discover unlock` takes no lock from a process that lives."""

import io
import os

import psutil
import pytest
import sqlalchemy as sa

from data.ledger.lock import campaign_lock
from data.ledger.schema import locks
from tasks.workspace import Workspace


@pytest.fixture
def ledger(bench):
    bench.write_config(name="held", rounds=0)
    assert bench.run().exit == 0
    ledger = Workspace(bench.home).ledger()
    yield ledger
    ledger.close()


def held(ledger):
    with ledger.read() as connection:
        return connection.execute(sa.select(locks)).first() is not None


def test_the_lock_of_a_process_that_lives_here_stays_whatever_is_said(bench, ledger):
    with campaign_lock(ledger, ledger.campaign("held")):
        told = bench.discover("unlock", "held", "--yes")
        assert told.exit == 2
        assert f"process {os.getpid()}" in told.message
        assert held(ledger)


def test_the_lock_of_another_host_is_removed_only_when_it_is_said_to_be_dead(bench, ledger, monkeypatch):
    with campaign_lock(ledger, ledger.campaign("held")):
        with ledger.write() as connection:
            connection.execute(sa.update(locks).values(host="elsewhere"))
        monkeypatch.setattr("sys.stdin", io.StringIO())
        told = bench.discover("unlock", "held")
        assert told.exit == 2
        assert "discover unlock held --yes" in told.message
        assert held(ledger)
        assert bench.discover("unlock", "held", "--yes").exit == 0
        assert not held(ledger)


def test_the_lock_of_a_dead_process_is_removed_without_a_question(bench, ledger):
    with campaign_lock(ledger, ledger.campaign("held")):
        with ledger.write() as connection:
            connection.execute(sa.update(locks).values(pid=max(psutil.pids()) + 100_000))
        assert bench.discover("unlock", "held").exit == 0
        assert not held(ledger)


def test_a_campaign_that_nobody_runs_is_not_locked(bench, ledger):
    assert "is not locked" in bench.discover("unlock", "held").message
