import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from data.config import parse_config
from data.ledger.book import OracleBook
from data.ledger.campaigns import now
from data.ledger.ledger import Ledger
from data.ledger.lock import CampaignLocked, LockLost, campaign_lock, release_lock
from data.ledger.processes import ProcessIdentity
from data.ledger.schema import locks
from data.records import Measurement

MINIMAL = {"name": "x", "objectives": [{"name": "affinity", "oracle": {"kind": "xtb"}}]}


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger.at(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


@pytest.fixture
def campaign(ledger, tmp_path):
    return ledger.begin_campaign(parse_config(MINIMAL), tmp_path)


def held_by(ledger, campaign, **owner):
    """Let another process hold the campaign: like this one, but for what is given."""
    values = {**ProcessIdentity.of_this_process().row(), "heartbeat": now(), "token": "another", **owner}
    with ledger.write() as connection:
        connection.execute(sa.insert(locks).values(campaign_id=campaign.id, **values))


def take(ledger, campaign):
    with campaign_lock(ledger, campaign):
        pass


def refused(ledger, campaign):
    try:
        take(ledger, campaign)
    except CampaignLocked:
        return True
    return False


@pytest.fixture
def living():
    """A process that lives until the test is over."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child
    child.communicate(b"")


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
    child.wait()
    held_by(ledger, campaign, pid=child.pid)
    assert not refused(ledger, campaign)


def test_a_process_that_was_given_the_pid_of_a_dead_owner_is_not_the_owner(ledger, campaign, living):
    held_by(ledger, campaign, pid=living.pid, ticks=1)
    assert not refused(ledger, campaign)


def test_the_lock_of_another_host_is_respected_until_a_person_removes_it(ledger, campaign):
    held_by(ledger, campaign, host="elsewhere", pid=1)
    with pytest.raises(CampaignLocked, match="discover unlock x"):
        take(ledger, campaign)
    release_lock(ledger, campaign)
    assert not refused(ledger, campaign)


def test_a_clock_that_was_set_gives_no_living_owners_lock_away(ledger, campaign, living):
    ticks = ticks_of(living.pid)
    for step in (-86400.0, 3600.0, 1e9):
        held_by(ledger, campaign, pid=living.pid, ticks=ticks, started=psutil.Process(living.pid).create_time() + step)
        assert refused(ledger, campaign)
        release_lock(ledger, campaign)


def test_a_container_with_the_same_host_name_keeps_its_lock(ledger, campaign):
    for pid in (1, 2**22 - 3, os.getpid()):  # alive here, nothing here, ourselves: none of them is the owner
        held_by(ledger, campaign, namespace="pid:[4026539999]", pid=pid, ticks=7)
        assert refused(ledger, campaign)
        assert "in another container" in ledger.owner(campaign.id)
        release_lock(ledger, campaign)


def test_the_lock_of_a_host_that_was_booted_anew_is_taken_over(ledger, campaign, living):
    held_by(
        ledger,
        campaign,
        pid=living.pid,
        ticks=ticks_of(living.pid),
        boot="a9b6b7d1-0000-4000-8000-000000000000",
        heartbeat="2020-01-01T00:00:00.000+00:00",
    )
    assert not refused(ledger, campaign)


def test_a_living_host_that_has_our_name_keeps_its_lock(ledger, campaign):
    held_by(ledger, campaign, pid=1, boot="a9b6b7d1-0000-4000-8000-000000000000")  # and its heart beats
    assert refused(ledger, campaign)


def test_a_lock_of_a_program_that_knew_no_ticks_is_judged_by_the_clock(ledger, campaign, living):
    before = {"boot": "", "namespace": "", "ticks": None, "token": ""}
    held_by(ledger, campaign, **before, pid=living.pid, started=psutil.Process(living.pid).create_time())
    assert refused(ledger, campaign)
    release_lock(ledger, campaign)
    held_by(ledger, campaign, **before, pid=living.pid, started=1.0)
    assert not refused(ledger, campaign)


def test_another_container_with_our_host_name_and_pid_does_not_end_our_lock(ledger, campaign):
    with campaign_lock(ledger, campaign):
        release_lock(ledger, campaign)
        held_by(ledger, campaign)
    assert ledger.owner(campaign.id) is not None


def test_a_run_whose_lock_was_removed_sends_no_call(ledger, campaign):
    book = OracleBook(ledger, campaign.id, "o", "1")
    with campaign_lock(ledger, campaign):
        book.reserve(0, [("A", "C"), ("B", "CC")], cost=1.0)
        book.submit(["A"])
        release_lock(ledger, campaign)
        for purchase in (lambda: book.submit(["B"]), lambda: book.reserve(0, [("C", "CCC")], cost=1.0)):
            with pytest.raises(LockLost, match="bought nothing more"):
                purchase()
        book.complete("A", Measurement("C", 1.0))  # what was paid for is kept
    assert [(row["object_id"], row["state"]) for row in book.rows()] == [("A", "done"), ("B", "reserved")]


@pytest.mark.parametrize("ignored", [False, True])
def test_a_heartbeat_that_finds_its_row_gone_wakes_the_run(ledger, campaign, monkeypatch, ignored):
    monkeypatch.setattr("data.ledger.lock.HEARTBEAT_SECONDS", 0.05)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    if ignored:  # as in a background job of a shell, where `discover run` has SIGTERM handled
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(LockLost, match="'x' was removed"):
            lose_and_wait(ledger, campaign)
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


@pytest.mark.skipif(sys.platform != "linux", reason="pid namespaces are Linux's")
def test_a_second_container_is_refused_by_the_kernel_s_own_namespaces(tmp_path, ledger, campaign):
    unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("This machine lets nobody make a pid namespace.")
    code = (
        "from pathlib import Path; from data.ledger.ledger import Ledger; from data.ledger.lock import campaign_lock\n"
        f"ledger = Ledger.at(Path({str(tmp_path / 'ledger.db')!r}))\n"
        "with campaign_lock(ledger, ledger.campaign('x')): print('taken')"
    )
    with campaign_lock(ledger, campaign):
        told = subprocess.run([*unshare, sys.executable, "-c", code], capture_output=True, text=True)
    assert "taken" not in told.stdout
    assert "CampaignLocked" in told.stderr
    told = subprocess.run([*unshare, sys.executable, "-c", code], capture_output=True, text=True)
    assert "taken" in told.stdout, told.stderr


def lose_and_wait(ledger, campaign):
    with campaign_lock(ledger, campaign):
        release_lock(ledger, campaign)
        threading.Event().wait(30)


def ticks_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_running_time_is_added_up_over_runs(ledger, campaign):
    for _ in range(2):
        with campaign_lock(ledger, campaign):
            pass
    assert ledger.campaign("x").seconds > 0
