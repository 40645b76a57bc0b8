"""SIGKILL, then the same command: the results are those of a campaign that nothing happened to."""

import json
import signal

import pytest

from tests.chaos.conftest import HERE, calls, copied, results

MAX_RUNS = 400
KILLED_AT = (3, 4, 5, 8)
"""Most stages have three moments: renamed, before and after they are recorded. The stage train_proxy has seven, and
killed earlier it begins anew: only a run that lives as long gets beyond it."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # each test is several whole campaigns


@pytest.mark.slow
def test_killed_at_every_stage_boundary_it_ends_with_the_same_bytes_and_no_call_made_twice(
    arena, undisturbed, tmp_path
):
    moments = [m for m in undisturbed.moments if m.startswith(("before", "after"))]
    stages = {moment.partition(" ")[2] for moment in moments}
    assert {f"{r}/{s}" for r in (1, 2) for s in ("train_proxy", "train_generator", "propose", "screen")} < stages
    assert {f"{r}/{s}" for r in (1, 2) for s in ("select_batch", "measure", "report")} < stages
    home = tmp_path / "home"
    for moment in moments:
        assert arena.run(home, kill_at=moment)["signal"] == signal.SIGKILL, moment
    assert arena.run(home)["state"] == "done"
    assert {"round-002/measure/dataset.parquet", "report/candidates.json"} < set(results(home))
    assert results(home) == results(undisturbed.home)
    assert sorted(calls(home)) == sorted(set(calls(undisturbed.home)))


@pytest.mark.parametrize("call", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (11, 14))])
def test_killed_in_the_middle_of_a_measurement_it_makes_that_call_and_no_other_again(
    arena, undisturbed, tmp_path, call
):
    home = tmp_path / "home"
    killed = arena.run(home, environment={"KILL_CAMPAIGN_AT_CALL": str(call)})
    assert killed["signal"] == signal.SIGKILL
    assert len(calls(home) if call else []) == call
    assert arena.run(home)["state"] == "done"
    assert results(home) == results(undisturbed.home)
    assert sorted(calls(home)) == sorted(set(calls(undisturbed.home)))


def test_killed_in_the_middle_of_training_it_goes_on_from_the_checkpoint(arena, undisturbed, tmp_path):
    home = tmp_path / "home"
    saved = [i for i, m in enumerate(undisturbed.moments) if m.startswith("rename generator.0-gflownet")]
    assert len(saved) >= 4  # two rounds, several checkpoints each
    assert arena.run(home, kill=saved[0] + 2)["signal"] == signal.SIGKILL
    assert list(home.rglob("checkpoint/*"))
    assert arena.run(home)["state"] == "done"
    assert results(home) == results(undisturbed.home)


def test_a_call_that_must_not_be_repeated_waits_for_a_person(arena, tmp_path):
    config = copied(HERE / "campaign.yaml", tmp_path, **{"semantics: pure": "semantics: unsafe"})
    home = tmp_path / "home"
    arena.run(home, config, environment={"KILL_CAMPAIGN_AT_CALL": "3"})
    assert arena.run(home, config)["state"] == "in_doubt"
    assert len(calls(home)) == 3
    (doubtful,) = [row for row in json.loads(exported(home)) if row["state"] == "in_doubt"]
    settle(home, doubtful["id"])
    assert arena.run(home, config)["state"] == "done"
    assert doubtful["smiles"] not in calls(home)
    assert len(calls(home)) == len(set(calls(home))) == 15


def test_a_finished_campaign_given_again_does_nothing(arena, undisturbed):
    before, made = results(undisturbed.home), calls(undisturbed.home)
    assert arena.run(undisturbed.home)["state"] == "done"
    assert results(undisturbed.home) == before
    assert calls(undisturbed.home) == made


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_every_moment_in_turn_it_ends_with_the_same_bytes(arena, undisturbed, tmp_path):
    home = tmp_path / "home"
    for run in range(MAX_RUNS):
        answer = arena.run(home, kill=KILLED_AT[run % len(KILLED_AT)])
        if answer["signal"] is None:
            break
    assert run >= len(undisturbed.moments) // 5
    assert answer["state"] == "done"
    assert results(home) == results(undisturbed.home)


def exported(home):
    from pipelines.inspection import exported
    from tasks.workspace import Workspace

    return json.dumps(exported(Workspace(home), "chaos"))


def settle(home, candidate):
    from pipelines.inspection import settle_call
    from pipelines.terminal import Terminal
    from tasks.workspace import Workspace

    settle_call(Workspace(home), "chaos", candidate, ["0.5"], False, Terminal())
