import os
import subprocess
import sys

import psutil
import pytest
import sqlalchemy as sa

from data.campaign_lock import CampaignLocked, campaign_lock, release_lock
from data.config import parse_config
from data.ledger import Ledger
from data.ledger_schema import locks

MINIMAL = {"name": "x", "objectives": [{"name": "affinity", "oracle": {"kind": "xtb"}}]}


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger.at(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


@pytest.fixture
def campaign(ledger, tmp_path):
    return ledger.begin_campaign(parse_config(MINIMAL), tmp_path)


def held_by(ledger, campaign, host, pid, started):
    with ledger.write() as connection:
        connection.execute(
            sa.insert(locks).values(
                campaign_id=campaign.id, host=host, pid=pid, started=started, heartbeat="2026-01-01T00:00:00+00:00"
            )
        )


def test_a_campaign_is_held_for_a_block_and_free_after_it(ledger, campaign):
    with campaign_lock(ledger, campaign):
        assert f"process {os.getpid()}" in ledger.owner(campaign.id)
    assert ledger.owner(campaign.id) is None


def test_a_second_run_is_refused_and_the_owner_named(ledger, campaign):
    again = campaign_lock(ledger, campaign)
    with campaign_lock(ledger, campaign), pytest.raises(CampaignLocked, match=f"process {os.getpid()}"), again:
        pass


def test_the_lock_of_a_dead_process_is_taken_over(ledger, campaign):
    child = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(child.pid).create_time()
    child.wait()
    held_by(ledger, campaign, os.uname().nodename, child.pid, started)
    with campaign_lock(ledger, campaign):
        assert f"process {os.getpid()}" in ledger.owner(campaign.id)


def test_a_process_that_was_given_the_pid_of_a_dead_owner_is_not_the_owner(ledger, campaign):
    held_by(ledger, campaign, os.uname().nodename, os.getppid(), started=1.0)
    with campaign_lock(ledger, campaign):
        pass


def test_the_lock_of_another_host_is_respected_until_a_person_removes_it(ledger, campaign):
    held_by(ledger, campaign, "elsewhere", 1, started=1.0)
    with pytest.raises(CampaignLocked, match="discover unlock x"), campaign_lock(ledger, campaign):
        pass
    release_lock(ledger, campaign)
    with campaign_lock(ledger, campaign):
        pass


def test_running_time_is_added_up_over_runs(ledger, campaign):
    for _ in range(2):
        with campaign_lock(ledger, campaign):
            pass
    assert ledger.campaign("x").seconds > 0
