"""`discover tune`: a search, a proof, a comparison at equal cost, and a file that runs as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient

from pipelines.cli import EXIT_BAD_INPUT
from tasks.tuning.outcome import write_settings
from tasks.tuning.reference import TuningRef

CONFIG: dict[str, Any] = {
    "environment": {"kind": "hypergrid", "dimensions": 2, "height": 4},
    "policy": {"kind": "mlp", "hidden": [8]},
    "training": {"steps": 30, "batch_size": 8, "learning_rate": 1e-5, "log_z_learning_rate": 1e-3, "replay_share": 0},
}
UNITS = ("--units", "160", "--population", "2", "--plain")
RATES = ("--over", "lr=[1e-2, 2e-1]", "--over", "log_z_learning_rate=[0.05, 0.5]")


@pytest.fixture
def file(bench: Any) -> Path:
    path: Path = bench.folder / "grid.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    return path


def folder_of(bench: Any) -> Path:
    (found,) = (bench.home / "tuning").iterdir()
    return Path(found)


def test_better_settings_are_written_into_a_file_that_gives_what_was_told(bench: Any, file: Path) -> None:
    told = bench.discover("tune", str(file), *UNITS, *RATES)
    assert told.exit == 0, told.message
    assert "kept" in told.out
    tuned = yaml.safe_load((bench.folder / "grid.tuned.yaml").read_text())
    assert tuned["training"]["learning_rate"] >= 1e-2
    assert tuned["environment"] == CONFIG["environment"]
    outcome = json.loads((folder_of(bench) / "outcome.json").read_text())
    assert outcome["proof"]["units"] + 80 == outcome["as_it_is"]["units"] == 160, "the same steps in all"
    assert outcome["proof"]["score"] > outcome["as_it_is"]["score"]
    ran = bench.discover("sampler", str(bench.folder / "grid.tuned.yaml"), "--plain")
    (result,) = bench.home.glob("samplers/grid.tuned-*/seed-0/result.json")
    assert ran.exit == 0, ran.message
    assert json.loads(result.read_text())["metrics"]["tv"] == pytest.approx(-outcome["proof"]["score"], abs=1e-9)


def test_every_member_has_a_run_in_that_of_the_tuning(bench: Any, file: Path, tracking: str) -> None:
    file = file.rename(file.with_name("watched.yaml"))
    assert bench.discover("tune", str(file), *UNITS, *RATES).exit == 0
    client = MlflowClient(tracking_uri=tracking)
    runs = client.search_runs([client.get_experiment_by_name("tuning/watched").experiment_id])
    parent = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    members = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parent) == 1
    assert sorted(run.info.run_name for run in members) == ["member 0", "member 1"]
    assert {run.data.tags["mlflow.parentRunId"] for run in members} == {parent[0].info.run_id}
    assert all("total variation" in run.data.metrics for run in members)


def test_the_same_command_gives_the_same_file_and_searches_once(
    bench: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench.discover("tune", str(file), *UNITS, *RATES, "--out", str(bench.folder / "a.yaml"))
    monkeypatch.setattr("models.tuning.population.Population.search", None)
    again = bench.discover("tune", str(file), *UNITS, *RATES, "--out", str(bench.folder / "b.yaml"))
    assert (first.exit, again.exit) == (0, 0)
    assert (bench.folder / "a.yaml").read_text() == (bench.folder / "b.yaml").read_text()


def test_settings_that_are_no_better_leave_the_file_as_it_was(tmp_path: Path) -> None:
    ref = TuningRef(
        str(tmp_path), "grid", "sampler", CONFIG, str(tmp_path), {"kind": "population"}, 2, None, 0, None, 8
    )
    found = {"settings": {"training.learning_rate": 1.0}, "before": {}, "measure": "total variation", "sign": -1.0,
             "cpu_seconds": 1.0}  # fmt: skip
    one = {"score": -0.2, "units": 4, "cpu_seconds": 1.0}
    tuned = write_settings.fn(ref, found, one, {**one, "score": -0.1})
    assert not tuned.better
    assert "0.2" in tuned.verdict
    assert "the file's settings stay" in tuned.verdict
    assert yaml.safe_load(tuned.text) == CONFIG


def test_cpu_minutes_are_those_of_all_members_and_end_the_search(bench: Any, file: Path) -> None:
    told = bench.discover("tune", str(file), "--cpu-minutes", "0.01", "--population", "2", "--plain", *RATES)
    assert told.exit == 0, told.message
    found = json.loads((folder_of(bench) / "search.json").read_text())
    assert found["cpu_seconds"] < 0.6
    assert found["rows"][-1]["cpu_seconds"] <= found["cpu_seconds"]


def test_what_cannot_change_in_the_course_is_left_to_the_model(bench: Any, file: Path) -> None:
    over = ("--over", "objective.kind=[trajectory_balance, detailed_balance]")
    refused = bench.discover("tune", str(file), *UNITS, *over)
    assert refused.exit == EXIT_BAD_INPUT
    assert "--method model_based" in refused.err


@pytest.mark.slow
def test_the_model_chooses_among_losses_too(bench: Any, file: Path) -> None:
    over = ("--over", "objective.kind=[trajectory_balance, detailed_balance]")
    told = bench.discover("tune", str(file), *UNITS, *over, "--method", "{kind: model_based, rungs: 2}")
    assert told.exit == 0, told.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--population", "2"), "--cpu-minutes"),
        (("--units", "100", "--population", "1"), "two members"),
        (("--units", "100", "--over", "lr"), "KEY=[LOW, HIGH]"),
        (("--units", "100", "--over", "leraning_rate=[0, 1]"), "no option 'leraning_rate'"),
        (("--units", "100", "--method", "evolution"), "no tuner of kind 'evolution'"),
        (("--units", "10", "--population", "2"), "fewer members"),
        (("--units", "100", "--out", "/nowhere/x.yaml"), "cannot be written"),
    ],
)
def test_what_cannot_be_tuned_is_refused_in_words(
    bench: Any, file: Path, arguments: tuple[str, ...], message: str
) -> None:
    told = bench.discover("tune", str(file), "--plain", *arguments)
    assert told.exit == EXIT_BAD_INPUT
    assert message in " ".join(told.err.split())


def test_a_file_that_tune_did_not_write_is_not_written_over(bench: Any, file: Path) -> None:
    mine = bench.folder / "grid.tuned.yaml"
    mine.write_text("# my own notes\n")
    told = bench.discover("tune", str(file), *UNITS)
    assert told.exit == EXIT_BAD_INPUT
    assert "did not write it" in " ".join(told.err.split())
    assert mine.read_text() == "# my own notes\n"


def test_a_file_with_a_density_is_not_tuned(bench: Any) -> None:
    path = bench.folder / "wells.yaml"
    path.write_text(yaml.safe_dump({"density": {"kind": "funnel"}}))
    told = bench.discover("tune", str(path), *UNITS)
    assert told.exit == EXIT_BAD_INPUT
    assert "whose diffusion samplers are not tuned" in " ".join(told.err.split())


def words(bench: Any, proxy: dict[str, Any], measured: int = 60) -> Path:
    """Return a campaign of words of which some are measured."""
    rng = np.random.default_rng(0)
    texts = sorted({"".join(rng.choice(list("ACGT"), 6)) for _ in range(200)})[:measured]
    rows = ["sequence,value"] + [f"{text},{text.count('A') + 0.1 * rng.standard_normal():.4f}" for text in texts]
    (bench.folder / "known.csv").write_text("\n".join(rows))
    (bench.folder / "oracle.py").write_text("def measure(texts):\n    return [float(t.count('A')) for t in texts]\n")
    config = {
        "name": "words",
        "space": {"kind": "sequences", "alphabet": "ACGT", "length": 6},
        "objectives": [{"name": "a", "goal": "maximise", "oracle": {"kind": "python", "function": "oracle:measure"}}],
        "data": {"kind": "csv", "path": "known.csv", "value": "value", "initial": 0},
        "proxy": proxy,
    }
    file: Path = bench.folder / "words.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


PROXY = ("--what", "proxy", "--units", "20", "--population", "2", "--plain")


def test_a_proxy_is_tuned_on_what_is_measured_and_proven_on_what_the_search_never_saw(bench: Any) -> None:
    file = words(bench, {"kind": "random_forest", "members": 20})
    told = bench.discover("tune", str(file), *PROXY)
    assert told.exit == 0, told.message
    assert "negative log-likelihood" in told.out
    assert bench.discover("validate", str(bench.folder / "words.tuned.yaml")).exit == 0
    refused = bench.discover("tune", str(file), "--what", "proxy", "--units", "20", "--method", "population", "--plain")
    assert refused.exit == EXIT_BAD_INPUT
    assert "--method model_based" in refused.err


def test_too_few_values_are_counted_in_the_campaign_and_in_its_file(bench: Any) -> None:
    file = words(bench, {"kind": "random_forest", "members": 20}, measured=7)
    told = " ".join(bench.discover("tune", str(file), *PROXY).err.split())
    assert "No campaign words was begun in this workspace, and its data source alone has 7." in told
    few = {"rounds": 1, "batch_size": 3, "generator.kind": "random", "generator.proposals": 30}
    run = bench.discover("run", str(file), "--plain", *(x for k, v in few.items() for x in ("--set", f"{k}={v}")))
    assert run.exit == 0, run.message
    refused = bench.discover("tune", str(file), *PROXY)
    told = " ".join(refused.err.split())
    assert refused.exit == EXIT_BAD_INPUT
    assert "has 10 with a value in this workspace, and its data source alone has 7. Measure more" in told


def test_values_of_options_that_the_features_do_not_allow_are_not_tried(bench: Any) -> None:
    file = words(bench, {"kind": "gaussian_process"})
    told = bench.discover("tune", str(file), *PROXY)
    assert told.exit == 0, told.message
    rows = json.loads((folder_of(bench) / "search.json").read_text())["rows"]
    assert {row["settings"]["proxy.kernel"] for row in rows} <= {"sum", "descriptors"}
    assert "failed" not in told.out
    refused = bench.discover("validate", str(file), "--set", "proxy.kernel=tanimoto")
    assert refused.exit == EXIT_BAD_INPUT
    assert "The kernel 'tanimoto' needs counts" in refused.message


def test_why_a_member_failed_is_told_and_kept(bench: Any) -> None:
    file = words(bench, {"kind": "gaussian_process"})
    told = bench.discover("tune", str(file), *PROXY, "--over", "kernel=[sum, tanimoto]")
    assert told.exit == 0, told.message
    rows = json.loads((folder_of(bench) / "search.json").read_text())["rows"]
    reasons = {row["failure"] for row in rows if row["settings"]["proxy.kernel"] == "tanimoto"}
    assert [reason[:37] for reason in reasons] == ["The kernel 'tanimoto' needs counts, w"]
    assert "failed: The kernel 'tanimoto' needs counts" in " ".join(told.out.split())
