"""Pause, resume, stop: a campaign that another process runs does what a person asks, and buys nothing twice."""

import os
import signal
import time

import psutil
import pytest

from data.ledger.campaigns import CampaignState
from data.ledger.health import Finding, Level
from data.ledger.lock import campaign_lock
from data.ledger.requests import ask_to_end, requested
from tasks.reporting import announcing
from tasks.stages import CampaignRef
from tasks.workspace import Workspace
from tests.conftest import use

GATE = """
def gated(smiles):
    import time
    here = LOG.parent
    if calls() == 11 and not (here / "let_through").exists():
        (here / "at_the_gate").touch()
        until = time.monotonic() + 60
        while not (here / "let_through").exists() and time.monotonic() < until:
            time.sleep(0.02)
    return value(smiles)
"""
"""The initial design has 8 calls, the round 4: the third of these waits until it is let through."""


def eventually(question, seconds=30.0):
    """Ask again until the answer is truthy."""
    until = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def gated(bench):
    bench.config["objectives"][0]["oracle"]["chunk"] = 1
    bench.write_config()
    bench.write_oracle("gated(smiles)")
    with (bench.folder / "tiny_oracle.py").open("a") as file:
        file.write(GATE)
    return bench


@pytest.fixture
def running(gated, warm):
    """The campaign in a process of its own, whose third call of the round is on its way."""
    environment = {"DISCOVER_HOME": str(gated.home), "DISCOVER_WORKERS": "1"}
    environment["MLFLOW_TRACKING_URI"] = os.environ["MLFLOW_TRACKING_URI"]
    command = warm.start(("run", str(gated.file), "--plain"), environment)
    try:
        eventually(lambda: (gated.folder / "at_the_gate").exists(), 60)
        yield command
    finally:
        command.kill()


def let_through(bench):
    (bench.folder / "let_through").touch()


def bought_once(bench):
    return len(bench.calls()) == len(set(bench.calls()))


def test_a_pause_lets_the_call_in_flight_be_answered_and_sends_no_further_one(gated, running):
    told = gated.discover("pause", "tiny")
    assert told.exit == 0
    assert "will hold after the calls that are in flight" in told.message
    let_through(gated)
    eventually(lambda: gated.state() == "paused")
    assert len(gated.calls()) == 11
    assert not running.has_ended
    refused = gated.run()
    assert refused.exit != 0
    assert len(gated.calls()) == 11
    assert gated.discover("pause", "tiny").exit == 2
    assert "paused: process" in gated.discover("status").message

    assert "goes on, in the process that held it" in gated.discover("resume", "tiny").message
    running.ended()
    assert running.code == 0
    assert gated.state() == "done"
    assert len(gated.calls()) == 12
    assert bought_once(gated)


@pytest.mark.slow
def test_a_stop_ends_the_process_after_the_call_in_flight_and_the_same_command_goes_on(gated, running, warm):
    stop = warm.start(("stop", "tiny"), {"DISCOVER_HOME": str(gated.home)})
    eventually(lambda: gated.state() == "stopping")
    let_through(gated)
    assert "is stopped" in stop.ended()
    assert running.ended()
    assert running.code == 3
    assert gated.state() == "stopped"
    assert len(gated.calls()) == 11
    told = gated.run()
    assert told.exit == 0, told.message
    assert len(gated.calls()) == 12
    assert bought_once(gated)


@pytest.mark.slow
def test_a_paused_process_that_is_killed_leaves_a_paused_campaign(gated, running):
    gated.discover("pause", "tiny")
    let_through(gated)
    eventually(lambda: gated.state() == "paused")
    running.kill()
    told = gated.run()
    assert told.exit == 3
    assert "discover resume tiny" in told.message
    assert "No process holds it" in gated.discover("resume", "tiny").message
    told = gated.run()
    assert told.exit == 0, told.message
    assert bought_once(gated)


@pytest.mark.slow
def test_a_pause_that_its_process_is_interrupted_in_stays(gated, running):
    gated.discover("pause", "tiny")
    let_through(gated)
    eventually(lambda: gated.state() == "paused")
    os.kill(running.pid, signal.SIGINT)
    running.ended()
    assert running.code == 130
    assert gated.state() == "paused"


@pytest.mark.slow
def test_a_held_process_can_be_stopped(gated, running, warm):
    gated.discover("pause", "tiny")
    let_through(gated)
    eventually(lambda: gated.state() == "paused")
    told = gated.discover("stop", "tiny")
    assert told.exit == 0
    assert "is stopped" in told.message
    running.ended()
    assert running.code == 3


@pytest.mark.slow
def test_a_campaign_that_nobody_runs_is_paused_at_once_and_keeps_why_it_ended(gated):
    gated.write_config(budget={"calls": 10})
    let_through(gated)
    assert gated.run().exit == 3
    told = gated.discover("pause", "tiny")
    assert "neither `discover run` nor a schedule goes on" in told.message
    assert "Before that: budget exhausted. Round 1: the budget is spent" in gated.discover("status", "tiny").message
    assert gated.run().exit == 3
    assert len(gated.calls()) == 10
    assert gated.run("--fresh").exit == 3  # another campaign of the name, with the same budget: not held
    assert gated.state() == "budget_exhausted"


def test_what_cannot_be_asked_is_refused_in_a_sentence(finished, tracking, monkeypatch):
    use(finished, tracking, monkeypatch)
    for command, sentence in (
        ("pause", "is done, so there is nothing to pause"),
        ("resume", "is not paused; its state is done"),
        ("stop", "No process runs campaign 'finished'"),
    ):
        told = finished.discover(command, "finished")
        assert told.exit == 2
        assert sentence in told.message
        assert finished.discover(command, "nobody").exit == 2


@pytest.mark.slow
def test_running_time_does_not_grow_while_a_campaign_is_held(gated, running, monkeypatch):
    gated.discover("pause", "tiny")
    let_through(gated)
    eventually(lambda: gated.state() == "paused")
    began = psutil.Process(running.pid).create_time()
    held = time.time()
    eventually(lambda: time.time() - held > 3.0)
    gated.discover("resume", "tiny")
    running.ended()
    lived = time.time() - began
    seconds = Workspace(gated.home).ledger().campaign("tiny").seconds
    assert seconds < lived - 2.5


@pytest.mark.slow
def test_a_campaign_that_nothing_improves_ends_by_itself_if_it_is_to(bench):
    bench.write_oracle("1.0")
    bench.write_config(rounds=4, budget={"calls": 40, "stalled": 2})
    told = bench.run()
    assert told.exit == 3
    assert bench.state() == "stalled"
    assert "Rounds 1 to 2 brought nothing better than the value 1" in told.message
    assert len(bench.calls()) == 16
    told = bench.run("--set", "budget.stalled=null")
    assert told.exit == 0, told.message
    assert len(bench.calls()) == 24


def test_nothing_stalls_where_no_answer_is_better(bench):
    bench.config["objectives"][0]["goal"] = "observe"
    bench.write_config(budget={"stalled": 2}, space={"kind": "interventions"})
    told = bench.run()
    assert told.exit == 2
    assert "budget.stalled beside the goal observe" in told.message


def test_a_second_stop_leaves_a_campaign_stopped_whose_process_still_reports(bench):
    assert bench.run("--set", "rounds=1").exit == 0
    ledger = Workspace(bench.home).ledger()
    campaign = ledger.campaign("tiny")
    with campaign_lock(ledger, campaign):
        ledger.set_state(campaign.id, CampaignState.RUNNING)
        ask_to_end(ledger, campaign, "Stopped by one.")
        assert requested(ledger, campaign.id) == (CampaignState.STOPPING, "Stopped by one.")
        ledger.set_state(campaign.id, CampaignState.STOPPED, "Stopped by one.")
        ask_to_end(ledger, campaign, "Stopped by another.")
        assert requested(ledger, campaign.id) == (CampaignState.STOPPED, "Stopped by one.")
    ledger.close()


def test_each_warning_of_a_round_is_told_once_however_often_the_campaign_goes_on(bench, monkeypatch):
    assert bench.run("--set", "rounds=1").exit == 0
    told = []
    monkeypatch.setattr(announcing.TaskRunContext, "get", staticmethod(lambda: object()))
    monkeypatch.setattr(announcing, "create_markdown_artifact", lambda **artifact: None)
    monkeypatch.setattr(announcing, "emit_event", lambda event, **rest: told.append(rest["payload"]["kind"]))
    slow = Finding(1, "oracle_slowing", Level.WARNING, "Slow.")
    flat = Finding(1, "acquisition_flat", Level.WARNING, "Flat.")
    with CampaignRef(str(bench.home), 1).open() as context:
        for findings in ([slow], [slow], [slow, flat]):
            announcing.announce(context, 1, findings, "page")
        announcing.announce(context, 2, [slow], "page")
    assert told == ["oracle_slowing", "acquisition_flat", "oracle_slowing"]
