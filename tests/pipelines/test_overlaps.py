"""Two runs at once: the second one says who has what it wanted."""

import os
from contextlib import nullcontext

import pytest

from data.ledger.lock import CampaignLocked
from pipelines import running
from pipelines.following import Following
from pipelines.overlaps import ALREADY_RUNNING, ended_for_another, retraining_alone
from pipelines.scheduling import is_served, serving
from tasks.workspace import Workspace


def test_a_proxy_is_retrained_by_one_process_at_a_time_and_the_other_is_told_by_whom_and_since_when(finished):
    workspace = Workspace.open()
    ledger = workspace.ledger()
    campaign = ledger.campaign("finished")
    ledger.close()
    with retraining_alone(workspace, campaign):
        told = finished.discover("retrain", "finished", "--plain")
    assert told.exit == 2
    assert f"is being retrained by process {os.getpid()} on" in told.message
    assert " UTC; one process does so at a time" in told.message
    with retraining_alone(workspace, campaign):
        pass


def test_a_retraining_whose_server_ends_before_it_begins_says_that_nothing_was_retrained(finished, monkeypatch):
    monkeypatch.setattr(running, "served", lambda *_, **__: nullcontext())
    monkeypatch.setattr(running, "wait_for_prefect", lambda: None)
    monkeypatch.setattr(running, "following_prefect", lambda _: setattr(Following, "outcome", None))
    told = finished.discover("retrain", "finished")
    assert told.exit == 2
    assert "Nothing was retrained: Prefect's server ended" in told.message


def test_a_run_of_a_schedule_that_finds_another_at_work_ends_in_a_state_of_its_own(monkeypatch):
    locked = CampaignLocked("Campaign 'a' is being run by process 1.")
    with pytest.raises(CampaignLocked):
        ended_for_another(locked)
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "8c7b8b9c-0b6d-4f5e-9b0e-0d7f9b7f6a11")
    state = ended_for_another(locked)
    assert (state.name, state.message) == (ALREADY_RUNNING, str(locked))
    assert not state.is_crashed()
    assert not state.is_failed()


def test_a_schedule_is_served_by_one_process_at_a_time(bench):
    workspace = Workspace.open()
    assert not is_served(workspace, "a-campaign")
    with serving(workspace, "a-campaign"):
        assert is_served(workspace, "a-campaign")
        assert not is_served(workspace, "b-campaign")
        with pytest.raises(Exception, match="being served by another process"), serving(workspace, "a-campaign"):
            pass
    assert not is_served(workspace, "a-campaign")
