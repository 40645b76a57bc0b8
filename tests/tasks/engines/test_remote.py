"""Calls by workers elsewhere, with a worker in this process: what is sent, taken back, resent and never taken."""

import json
from pathlib import Path

import pytest

from data.config import CampaignConfig, digest, parse_config
from data.ledger.book import OracleBook
from data.ledger.releasing import release
from models.parts import parts_of_oracle, space_of, written_oracle
from tasks.engines.base import EngineGone
from tasks.engines.remote import Asked, RemoteCalls, WorkerRefused, unit_size
from tasks.workspace import Workspace
from tests.tasks.engines.fleets import Here

MOLECULES = ["C" * n for n in range(1, 8)]
ORACLE = "def length(molecules):\n    return [len(smiles) / 3 for smiles in molecules]\n"


class Calls:
    """The calls of one oracle, and a ledger in a list."""

    def __init__(self, home: Path, fleet: Here, *, once: bool = False, batch: int | None = None, **changes):
        folder = home
        (folder / "my_oracle.py").write_text(ORACLE)
        oracle = {"kind": "python", "function": "my_oracle:length"}
        config: CampaignConfig = parse_config({"name": "x", "objectives": [{"name": "a", "oracle": oracle}]})
        asked = {
            "oracle": written_oracle(config),
            "space": space_of(config),
            "folder": folder,
            "campaign": "x",
            "identity": digest(parts_of_oracle(config, folder)),
            "chunk": 1,
            "once": once,
            "lasting": "a test",
        }
        self.submitted: list[str] = []
        self.released: list[str] = []
        self.answers: dict = {}
        self.fleet = fleet
        self.calls = RemoteCalls(fleet, Asked(**(asked | changes)), self.released.extend, batch=batch, patience=0.2)

    def run(self, on_result=None, on_left=None):
        def note(key, measurement):
            assert key in self.submitted
            assert key not in self.answers, "a job was answered twice"
            self.answers[key] = measurement
            if on_result:
                on_result(key, measurement)

        jobs = [(f"key-{smiles}", smiles) for smiles in MOLECULES]
        with self.calls as calls:
            calls.run(jobs, self.submitted.extend, note, on_left)


def test_every_job_is_answered_once_by_units_of_several_with_the_values_to_the_last_bit(tmp_path):
    calls = Calls(tmp_path, Here(), batch=3)
    calls.run()
    assert [len(order["jobs"]) for order in calls.fleet.orders] == [3, 3, 1]
    assert {key: found.value for key, found in calls.answers.items()} == {f"key-{s}": len(s) / 3 for s in MOLECULES}
    assert calls.submitted == [f"key-{smiles}" for smiles in MOLECULES]
    assert calls.released == []


def test_only_text_travels_and_the_space_is_built_by_the_worker(tmp_path):
    calls = Calls(tmp_path, Here())
    calls.run()
    assert set(calls.fleet.orders[0]) == {
        "version",
        "folder",
        "campaign",
        "identity",
        "oracle",
        "space",
        "lasting",
        "jobs",
    }


@pytest.mark.parametrize(
    ("jobs", "slots", "chunk", "once", "size"),
    [(24, 2, 1, False, 3), (24, 2, 2, False, 2), (8, 4, 1, False, 1), (10_000, 2, 1, False, 50), (24, 2, 5, True, 5)],
)
def test_units_keep_all_places_busy_and_are_single_calls_where_a_call_must_not_be_repeated(
    jobs, slots, chunk, once, size
):
    assert unit_size(jobs, slots, chunk, once=once) == size


def test_a_unit_whose_worker_died_is_sent_again_and_entered_as_sent_once(tmp_path):
    calls = Calls(tmp_path, Here(loses=lambda n: n == 1), batch=3)
    calls.run()
    assert len(calls.fleet.orders) == 4
    assert {key for key, found in calls.answers.items() if found.error is None} == set(calls.submitted)
    assert len(calls.submitted) == len(set(calls.submitted))


def test_a_unit_that_ends_every_worker_is_given_up(tmp_path):
    calls = Calls(
        tmp_path, Here(loses=lambda n: json.dumps(calls.fleet.orders[n]["jobs"]).count("CCCCCC") > 0), batch=3
    )
    calls.run()
    failed = {key for key, found in calls.answers.items() if found.error == "crashed"}
    assert failed == {"key-CCCCCC", "key-CCCCCCC"} | (failed & {"key-CCCC", "key-CCCCC"})
    assert "It was sent 3 times" in calls.answers["key-CCCCCC"].message


def test_a_call_that_must_not_be_repeated_is_lost_and_not_sent_again(tmp_path):
    calls = Calls(tmp_path, Here(loses=lambda n: n == 2), once=True)
    calls.run()
    assert len(calls.fleet.orders) == len(MOLECULES)
    assert [key for key, found in calls.answers.items() if found.error == "crashed"] == ["key-CCC"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"identity": "0" * 64}, "has another oracle in"),
        ({"folder": Path("/nowhere/at/all")}, "has no folder /nowhere/at/all"),
        ({"oracle": {"kind": "python", "function": "missing:length"}}, "There is no module 'missing'"),
        ({"oracle": {"kind": "of_a_plugin"}}, "There is no oracle of kind 'of_a_plugin'"),
    ],
)
def test_a_worker_that_has_not_the_same_oracle_measures_nothing_and_says_why(tmp_path, changes, told):
    calls = Calls(tmp_path, Here(), **changes)
    with pytest.raises(WorkerRefused, match=told) as caught:
        calls.run()
    assert "The worker on" in str(caught.value)
    assert calls.answers == {}
    assert calls.released == calls.submitted != []


def test_another_release_of_the_program_on_a_worker_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.engines.remote.version", lambda: "0.0.1")
    with pytest.raises(WorkerRefused, match=r"the campaign 0\.0\.1\. Install the same version"):
        Calls(tmp_path, Here()).run()


@pytest.mark.parametrize(
    "says",
    ["no JSON", "[]", '{"answers": 3, "refused": null, "begun": true}', '{"answers": {"key-C": {"value": "x"}}}'],
)
def test_what_is_no_answer_is_taken_for_a_crash(tmp_path, says):
    calls = Calls(tmp_path, Here(says=lambda n, reply: says if n == 0 else reply), batch=1)
    calls.run()
    assert calls.answers["key-C"].error == "crashed"
    assert all(found.error is None for key, found in calls.answers.items() if key != "key-C")


def test_a_value_that_is_no_number_is_a_failure_as_it_is_here(tmp_path):
    def says(n, reply):
        told = json.loads(reply)
        for answer in told["answers"].values():
            answer["value"] = float("inf")
        return json.dumps(told)

    calls = Calls(tmp_path, Here(says=says), batch=7)
    calls.run()
    assert {found.error for found in calls.answers.values()} == {"not_finite"}


def test_when_the_scheduler_is_gone_what_had_come_is_told(tmp_path):
    calls = Calls(tmp_path, Here(gone_after=3), batch=1)
    with pytest.raises(EngineGone, match="The scheduler is gone"):
        calls.run()
    assert set(calls.answers) < set(calls.submitted)
    assert len(calls.answers) >= 1


def test_without_any_worker_it_gives_up_and_takes_back_what_nobody_had_begun(tmp_path):
    fleet = Here()
    calls = Calls(tmp_path, fleet, batch=1)

    def leaves(key, measurement):
        fleet.workers = 0

    with pytest.raises(EngineGone, match=r"has had no worker for 0\.2 s\. Start workers"):
        calls.run(leaves)
    assert len(calls.answers) == 1
    assert set(calls.released) == set(calls.submitted) - set(calls.answers)


def test_an_error_of_the_caller_ends_it_after_what_is_in_flight_has_come_back(tmp_path):
    def refuses(key, measurement):
        raise ValueError("enough")

    calls = Calls(tmp_path, Here(), batch=2)
    with pytest.raises(ValueError, match="enough"):
        calls.run(refuses)
    assert set(calls.answers) == set(calls.submitted)
    assert len(calls.submitted) < len(MOLECULES)


def test_interrupted_it_tells_what_had_come_and_takes_back_what_nobody_had_begun(tmp_path):
    def interrupts(key, measurement):
        raise KeyboardInterrupt

    left = {}
    calls = Calls(tmp_path, Here(), batch=2)
    with pytest.raises(KeyboardInterrupt):
        calls.run(interrupts, left.__setitem__)
    assert {"key-C", "key-CC"} <= set(left)
    assert set(calls.released) == set(calls.submitted) - set(left) - set(calls.answers)


def test_calls_that_were_not_made_are_booked_again_at_no_further_count(tmp_path):
    ledger = Workspace(tmp_path).ledger()
    config = parse_config({"name": "x", "objectives": [{"name": "a", "oracle": {"kind": "rdkit"}}]})
    book = OracleBook(ledger, ledger.begin_campaign(config, tmp_path).id, "o", "1", semantics="unsafe")
    book.reserve(0, [("a", "C"), ("b", "CC")], cost=1.0)
    book.submit(["a", "b"])
    release(book, ["b"])
    assert [(row["object_id"], row["state"], row["attempts"]) for row in book.rows(0)] == [
        ("a", "submitted", 1),
        ("b", "reserved", 0),
    ]
    assert book.recover("unsafe") == ["a"]
    assert book.spent().calls == 2
    ledger.close()
