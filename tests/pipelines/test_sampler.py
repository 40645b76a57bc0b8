"""`discover sampler`: one file, a table in the terminal, everything in MLflow; killed, it goes on where it was."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from models.gflownet.training.trainer import Trainer
from pipelines.cli import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from tasks.progress import listening

CONFIG = {
    "environment": {"kind": "hypergrid", "dimensions": 2, "height": 5},
    "policy": {"kind": "mlp", "hidden": [16]},
    "training": {
        "steps": 40,
        "batch_size": 8,
        "learning_rate": 0.01,
        "replay_share": 0.25,
        "evaluate_every": 10,
        "checkpoint_every": 8,
    },
    "evaluation": {"mode_reward": 0.55},
}
SAMPLED = {"evaluation": {"max_states": 0, "held_out": 8, "draws": 2, "samples": 8}}


@pytest.fixture
def sampler(bench, request, monkeypatch):
    """Writes a sampler file of this test's own name, which names its experiment, and runs it; pictures are empty."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr("tasks.samplers.plots.learning", lambda _: None)
        monkeypatch.setattr("tasks.samplers.plots.plane", lambda _: None)
        for module in ("train", "summary"):
            monkeypatch.setattr(f"tasks.samplers.{module}.png", lambda _: b"")
    name = re.sub(r"\W+", "-", request.node.name)
    file = bench.folder / f"{name}.yaml"

    def run(*arguments, **keys):
        file.write_text(yaml.safe_dump(CONFIG | keys))
        return bench.discover("sampler", str(file), "--plain", *arguments)

    run.name, run.file, run.home = name, file, bench.home
    return run


@pytest.fixture
def pictures():
    """Has the pictures drawn, which takes half of the time."""


def runs(address, name):
    """The runs of a sampler, those of all seeds first."""
    client = MlflowClient(tracking_uri=address)
    found = client.search_runs([client.get_experiment_by_name(f"samplers/{name}").experiment_id])
    return sorted(found, key=lambda run: "mlflow.parentRunId" in run.data.tags)


def points(address, run):
    client = MlflowClient(tracking_uri=address)
    return {
        key: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)]
        for key in run.data.metrics
    }


def files(address, run, path=""):
    client = MlflowClient(tracking_uri=address)
    return {item.path for item in client.list_artifacts(run.info.run_id, path or None)}


def results(home):
    """Everything that a training gave but the time it took, by seed."""
    out = {}
    for path in Path(home).glob("samplers/*/seed-*/result.json"):
        result = {key: value for key, value in json.loads(path.read_text()).items() if "cpu" not in key}
        rows = [line.split(",") for line in (path.parent / "history.csv").read_text().splitlines()]
        keep = [place for place, name in enumerate(rows[0]) if name != "cpu_seconds"]
        out[path.parent.name] = result, [[row[place] for place in keep] for row in rows]
    return out


def test_a_file_gives_a_table_files_and_runs_that_show_whether_it_learnt(sampler, tracking, pictures):
    told = sampler()
    assert told.exit == 0, told.message
    assert "judged exactly, over 25 objects (50 states)" in told.message
    for figure in ("tv", "spearman", "log z error", "modes", "cpu seconds", "trajectories per cpu second"):
        assert re.search(rf"^{figure} +[\d.e,+-]+ *$", told.out, flags=re.M), told.out
    parent, child = runs(tracking, sampler.name)
    assert {run.info.status for run in (parent, child)} == {"FINISHED"}
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.info.run_id in told.out
    assert child.data.params["environment.height"] == "5"
    assert child.data.params["training.clip_norm"] == "10.0"  # a default
    course = points(tracking, child)
    assert [step for step, _ in course["loss"]] == list(range(1, 41))
    assert [step for step, _ in course["tv"]] == [10, 20, 30, 40]
    assert points(tracking, parent)["tv"] == course["tv"]
    assert course["final/trajectories"] == [(40, 320.0)]
    assert {"plots", "sampler.pt", "history.csv"} <= files(tracking, child)
    assert files(tracking, child, "plots") == {"plots/learning.png", "plots/law.png"}
    assert "all-seeds/learning.png" in files(tracking, parent, "all-seeds")
    (folder,) = Path(sampler.home).glob("samplers/*/seed-0")
    assert {path.name for path in folder.iterdir()} == {
        "best.csv",
        "history.csv",
        "plots",
        "result.json",
        "sampler.pt",
    }


def test_a_space_that_is_not_enumerated_is_judged_from_samples(sampler, tracking):
    told = sampler(**SAMPLED)
    assert told.exit == 0, told.message
    assert "judged from samples" in told.message
    course = points(tracking, runs(tracking, sampler.name)[1])
    assert "tv" not in course
    (folder,) = Path(sampler.home).glob("samplers/*/seed-0")
    best = pd.read_csv(folder / "best.csv")
    assert best["log_reward"].is_monotonic_decreasing
    assert 1 < len(best) == len(set(best["object"]))
    for figure in ("spearman", "pearson", "modes", "reward_calls", "top_reward", "top_diversity", "mean_reward"):
        assert [step for step, _ in course[figure]] == [10, 20, 30, 40]


def test_what_has_ended_is_told_again_and_not_trained_again(sampler, tracking, monkeypatch):
    first = sampler()
    before = [points(tracking, run) for run in runs(tracking, sampler.name)]
    monkeypatch.setattr(Trainer, "step", lambda self: pytest.fail("trained again") if self.options.steps > 2 else {})
    again = sampler()
    assert again.exit == 0, again.message
    assert again.out[again.out.index("at the end") :] == first.out[first.out.index("at the end") :]
    assert [points(tracking, run) for run in runs(tracking, sampler.name)] == before


@pytest.mark.parametrize(
    ("keys", "killed_at"),
    [({}, 5), ({}, 17), ({}, 40), (SAMPLED, 24)],
    ids=["exact-5", "exact-17", "exact-40", "samples-24"],
)
def test_an_interrupted_training_goes_on_and_ends_as_if_nothing_had_happened(
    sampler, tracking, monkeypatch, tmp_path, keys, killed_at
):
    def interrupt(event):
        if event.done == killed_at:
            raise KeyboardInterrupt

    monkeypatch.setattr("tasks.samplers.train.PUBLISH_SECONDS", 0.0)
    monkeypatch.setenv("DISCOVER_HOME", str(tmp_path / "undisturbed"))
    assert sampler(**keys).exit == 0
    experiment = f"{sampler.name} in {sampler.home}"  # the other workspace has the plain name
    monkeypatch.setenv("DISCOVER_HOME", str(sampler.home))
    with listening(interrupt):
        assert sampler(**keys).exit == EXIT_INTERRUPTED
    assert [run.info.status for run in runs(tracking, experiment) if "mlflow.parentRunId" in run.data.tags] == [
        "KILLED"
    ]
    assert sampler(**keys).exit == 0
    assert results(sampler.home) == results(tmp_path / "undisturbed")
    parent, child = runs(tracking, experiment)
    assert {run.info.status for run in (parent, child)} == {"FINISHED"}
    for run in (parent, child):
        for key, course in points(tracking, run).items():
            steps = [step for step, _ in course]
            assert len(steps) == len(set(steps)), (key, course)


def test_several_seeds_are_nested_and_told_by_median_and_range(sampler, tracking):
    told = sampler(seeds=[0, 1, 2])
    assert told.exit == 0, told.message
    assert re.search(r"at the end +median of 3 seeds +least +greatest", told.out)
    parent, *children = runs(tracking, sampler.name)
    assert {run.data.tags["discovery.seed"] for run in children} == {"0", "1", "2"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    ends = sorted(run.data.metrics["tv"] for run in children)
    assert len(set(ends)) == 3
    assert parent.data.metrics["tv"] == ends[1]
    (line,) = re.findall(r"^tv +([\d.]+) +([\d.]+) +([\d.]+)", told.out, flags=re.M)
    assert [float(x) for x in line] == pytest.approx([ends[1], ends[0], ends[2]], rel=1e-3)


def test_a_seed_that_is_added_leaves_those_that_were_trained(sampler, tracking):
    assert sampler(seeds=[0]).exit == 0
    before = results(sampler.home)["seed-0"]
    told = sampler(seeds=[0, 1])
    assert told.exit == 0, told.message
    assert set(results(sampler.home)) == {"seed-0", "seed-1"}
    assert results(sampler.home)["seed-0"] == before
    newest = [run for run in runs(tracking, sampler.name) if run.data.tags["discovery.seed"] == "0,1"]
    nested = [run for run in runs(tracking, sampler.name) if run.data.tags["discovery.seeds"] == "one"]
    assert len(newest) == 1
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {newest[0].info.run_id}


def test_another_value_is_another_run_of_the_same_experiment(sampler, tracking):
    assert sampler().exit == 0
    assert sampler("--set", "objective.kind=detailed_balance").exit == 0
    found = runs(tracking, sampler.name)
    assert {run.data.params["objective.kind"] for run in found} == {"trajectory_balance", "detailed_balance"}
    assert len(found) == 4
    assert len(list(Path(sampler.home).glob("samplers/*"))) == 2


def test_a_reward_of_ones_own_is_a_function_beside_the_file(sampler):
    (sampler.file.parent / "own.py").write_text("def reward(pairs):\n    return [1 + x + y for x, y in pairs]\n")
    told = sampler(reward={"kind": "python", "function": "own:reward"}, evaluation={})
    assert told.exit == 0, told.message


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"enviroment": {}}, "unknown key 'enviroment'"),
        ({"enviroment": {}}, "Did you mean 'environment'?"),
        ({"training": {"stps": 1}}, "Did you mean 'steps'?"),
        ({"policy": {"kind": "mpl"}}, "Did you mean 'mlp'?"),
        ({"objective": {"kind": "reverse_kl"}}, "expected 0 and none"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_message_before_anything_is_there(sampler, keys, message):
    told = sampler(**keys)
    assert told.exit == EXIT_BAD_INPUT
    assert message in told.message
    assert not Path(sampler.home, "samplers").exists()


def test_a_file_that_is_not_there_is_refused(bench):
    told = bench.discover("sampler", "nowhere.yaml", "--plain")
    assert told.exit == EXIT_BAD_INPUT
    assert "no sampler file 'nowhere.yaml'" in told.message


FAILING = """
calls = 0

def reward(objects):
    global calls
    calls += 1
    return [{bad} if calls > 3 else 1.0 + sum(item) for item in objects]
"""


@pytest.mark.parametrize(
    ("bad", "message"), [("float('nan')", "must be finite numbers"), ("1 / 0", "own:reward raised ZeroDivisionError")]
)
def test_a_reward_that_fails_in_the_middle_ends_the_training_with_a_message_and_its_run_failed(
    sampler, tracking, bad, message
):
    (sampler.file.parent / "own.py").write_text(FAILING.replace("{bad}", bad))
    told = sampler(reward={"kind": "python", "function": "own:reward"}, **SAMPLED)
    assert told.exit == EXIT_BAD_INPUT
    assert message in told.message
    assert "seed 0" in told.message
    assert runs(tracking, sampler.name)[1].info.status == "FAILED"


def test_a_training_that_diverges_says_what_to_change(sampler):
    told = sampler("--set", "training.learning_rate=1e30", "--set", "training.schedule=constant")
    assert told.exit == EXIT_BAD_INPUT
    assert "Lower the learning rate" in told.message


def test_one_process_trains_a_sampler_at_a_time(sampler):
    met = []

    def again(event):
        if event.done == 1:
            met.append(sampler())

    with listening(again):
        assert sampler().exit == 0
    assert met[0].exit == EXIT_BAD_INPUT
    assert "Another process trains" in met[0].message


def test_without_mlflow_it_is_trained_and_published_by_the_next_call(sampler, tracking, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    lost = sampler()
    assert lost.exit == 0, lost.message
    assert "could not be reached" in lost.message
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    assert sampler().exit == 0
    parent, child = runs(tracking, sampler.name)
    assert [step for step, _ in points(tracking, child)["tv"]] == [10, 20, 30, 40]
    assert "tv" in parent.data.metrics


REWARD = """
import os, signal
calls = 0

def reward(objects):
    global calls
    calls += 1
    if calls == int(os.environ.get("KILL_AT", 0)):
        os.kill(os.getpid(), signal.SIGKILL)
    return [1.0 + sum(item) for item in objects]
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_flow_killed_in_the_middle_goes_on_and_ends_as_if_nothing_had_happened(bench, tmp_path, monkeypatch):
    file = tmp_path / "grid.yaml"
    (tmp_path / "deadly.py").write_text(REWARD)
    # Large enough that every step meets new objects: known ones are not asked for again.
    large = {**CONFIG["environment"], "height": 64}
    own = {"environment": large, "reward": {"kind": "python", "function": "deadly:reward"}, **SAMPLED}
    file.write_text(yaml.safe_dump(CONFIG | own))

    def discover(home, **more):
        environment = {**os.environ, "DISCOVER_HOME": str(home), **more}
        del environment["MLFLOW_TRACKING_URI"]  # the workspace's own
        command = [sys.executable, "-m", "pipelines", "sampler", str(file)]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    whole, home = tmp_path / "whole", tmp_path / "killed"
    monkeypatch.setenv("DISCOVER_HOME", str(whole))
    told = bench.discover("sampler", str(file), "--plain")
    assert told.exit == 0, told.message
    assert discover(home, KILL_AT="30").returncode == -signal.SIGKILL
    assert list(home.glob("samplers/*/seed-0/checkpoint.pt"))
    again = discover(home)
    assert again.returncode == 0, again.stdout + again.stderr
    assert results(home) == results(whole)
    assert len(runs(f"sqlite:///{home / 'mlflow.db'}", "grid")) == 2
