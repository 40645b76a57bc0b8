"""MLflow shows the whole campaign once, whatever happens to it; losing it loses no campaign."""

import json
import re

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tasks.progress import listening
from tasks.reporting.round_metrics import MOST
from tasks.stages import CampaignContext
from tasks.storage import load_proxy
from tasks.tracking import CHAMPION, PUBLISHED_TAG, VIEW, Tracker, key_of
from tasks.workspace import Workspace


def runs(address, name):
    """The runs of a campaign and its rounds by name; a name that stands twice fails."""
    client = MlflowClient(tracking_uri=address)
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    found = [run for run in found if run.data.tags.get("discovery.what") != "retrain"]
    by_name = {run.info.run_name: run for run in found}
    assert len(by_name) == len(found)
    return by_name


def points(address, name):
    """Every metric of every run: how often which value stands at which step."""
    client = MlflowClient(tracking_uri=address)
    return {
        (run_name, key): [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, key)]
        for run_name, run in runs(address, name).items()
        for key in run.data.metrics
        if key != "running_seconds"  # is longer at every publication
    }


def artifacts(address, run, path):
    return {item.path for item in MlflowClient(tracking_uri=address).list_artifacts(run.info.run_id, path)}


def test_a_campaign_is_a_run_with_a_nested_run_for_each_round(finished, tracking):
    found = runs(tracking, "finished")
    assert set(found) == {"finished", "initial design", "round 1", "round 2"}
    parent = found.pop("finished")
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
    assert {run.info.status for run in [parent, *found.values()]} == {"FINISHED"}
    assert parent.data.tags["discovery.state"] == "done"


def test_the_parent_has_the_configuration_the_course_and_the_best_candidates(finished, tracking):
    parent = runs(tracking, "finished")["finished"]
    assert parent.data.params["batch_size"] == "4"
    assert parent.data.params["generator.kind"] == "genetic"
    assert parent.data.params["objectives.0.oracle.function"] == "tiny_oracle:measure"
    rows = finished.candidates()
    best = rows[0]["value"]
    course = points(tracking, "finished")
    assert [step for step, _ in course["finished", "best"]] == [0, 1, 2]
    assert course["finished", "best"][-1] == (2, pytest.approx(best))
    assert [value for _, value in course["finished", "calls"]] == [8, 12, 16]
    assert course["finished", "best_so_far"][-1] == (16, pytest.approx(best))
    assert parent.data.metrics["cost"] == 16
    assert rows[0]["smiles"] in parent.data.tags["mlflow.note.content"]
    names = artifacts(tracking, parent, "report")
    assert {"report/candidates.html", "report/candidates.csv", "report/candidates.json", "report/plots"} <= names


def test_a_round_has_parameters_metrics_training_data_and_artifacts(finished, tracking):
    run = runs(tracking, "finished")["round 2"]
    assert run.data.params["round"] == "2"
    assert run.data.params["acquisition"] == "upper_confidence_bound"
    assert run.data.metrics["proxy/measurements"] == 12
    assert run.data.metrics["batch/measured"] == 4
    assert run.data.metrics["cost/seconds_train_generator"] > 0
    (given,) = run.inputs.dataset_inputs
    assert given.dataset.name == "finished after round 2"
    assert '"num_rows": 16' in given.dataset.profile
    assert "data/dataset.csv" in artifacts(tracking, run, "data")
    assert "generator/generator.pt" in artifacts(tracking, run, "generator")
    assert "report/candidates.html" in artifacts(tracking, run, "report")
    history = points(tracking, "finished")["round 2", "generator/evaluated"]
    assert [step for step, _ in history] == [1, 2]  # two generations


def test_a_round_shows_few_metrics_in_groups_and_keeps_all_of_them_beside_the_report(finished, tracking):
    run = runs(tracking, "finished")["round 2"]
    shown = run.data.metrics
    assert len(shown) <= MOST
    assert {name.partition("/")[0] for name in shown} == {
        "result",
        "batch",
        "proxy",
        "calibration",
        "generator",
        "cost",
    }
    file = MlflowClient(tracking_uri=tracking).download_artifacts(run.info.run_id, "metrics.csv")
    every = pd.read_csv(file)
    assert len(every) > 60
    (value,) = every[(every["stage"] == "train_proxy") & (every["metric"] == "heldout_spearman")]["value"]
    assert value == pytest.approx(shown["proxy/spearman"])


def test_descriptions_begin_with_what_was_found(finished, tracking):
    found = runs(tracking, "finished")
    first = found["finished"].data.tags["mlflow.note.content"].splitlines()[0]
    best = finished.candidates()[0]
    assert first.startswith(f"**Done after 2 rounds. Best score {best['value']:.3f} a.u. (round {best['round']}")
    assert re.search("Gain over control|Not distinguishable from the control: gain", first)
    assert "16 calls of 20" in first
    assert "[Page of candidates](/#/experiments/" in first
    told = found["round 2"].data.tags["mlflow.note.content"]
    assert told.startswith(f"**4 bought, best so far {best['value']:.3f} a.u.")
    assert "held-out Spearman" in told


def test_the_best_three_are_drawn_where_the_description_shows_them(finished, tracking):
    parent = runs(tracking, "finished")["finished"]
    note = parent.data.tags["mlflow.note.content"]
    for place in (1, 2, 3):
        address = f"/get-artifact?path=report%2Fbest_{place}.svg&run_uuid={parent.info.run_id}"
        # MLflow folds a description to a few lines: the list of the best fills them, drawings would be cut.
        assert note.index("**Best candidates**") < note.index(address)
    assert {f"report/best_{place}.svg" for place in (1, 2, 3)} <= artifacts(tracking, parent, "report")


def test_tags_for_people_are_few_and_short(finished, tracking):
    for run in runs(tracking, "finished").values():
        told = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
        assert set(told) <= {"discovery.state", "discovery.health"}
        assert all(len(value) < 60 for value in told.values())


def test_the_experiment_is_described_and_has_a_view_with_the_columns_that_matter(finished, tracking):
    experiment = MlflowClient(tracking_uri=tracking).get_experiment_by_name("finished")
    assert "maximise score" in experiment.tags["mlflow.note.content"]
    view = json.loads(experiment.tags[f"mlflow.sharedViewState.{VIEW}"])
    parent = runs(tracking, "finished")["finished"]
    for column in view["selectedColumns"]:
        kind, _, name = column.partition(".")
        assert name.strip("`") in {"tags": parent.data.tags, "metrics": parent.data.metrics}[kind], column


def test_a_campaign_shows_where_its_data_came_from_and_what_it_measured(finished, tracking):
    parent = runs(tracking, "finished")["finished"]
    inputs = {given.tags[0].value: given.dataset for given in parent.inputs.dataset_inputs}
    assert inputs["source"].name == "source csv"
    assert inputs["measured"].name == "finished after round 2"
    assert all(len(dataset.digest) >= 32 for dataset in inputs.values())


def test_a_registered_proxy_says_what_it_is(finished, tracking):
    client = MlflowClient(tracking_uri=tracking)
    for version in client.search_model_versions("name = 'finished-proxy'"):
        assert version.description.startswith("Predicts score a.u.; trained on ")
        assert "inside their 90 % intervals" in version.description
        model = client.get_logged_model(version.source.removeprefix("models:/"))
        assert {metric.key for metric in model.metrics} >= {"proxy/spearman", "calibration/coverage_90"}
        described = mlflow.models.get_model_info(version.source)
        assert described.signature.inputs.input_names() == ["smiles"]
        assert described.saved_input_example_info["artifact_path"] == "input_example.json"


def test_a_campaign_that_waits_for_a_laboratory_is_a_run_that_is_running(bench, tracking):
    laboratory = [{"name": "yield", "oracle": {"kind": "laboratory", "outputs": {"yield": "%"}}}]
    bench.write_config(name="waits", objectives=laboratory)
    assert bench.run().exit == 3
    found = runs(tracking, "waits")
    assert {run.info.status for run in found.values()} == {"RUNNING"}
    assert found["waits"].data.tags["discovery.state"] == "waiting"
    note = found["initial design"].data.tags["mlflow.note.content"]
    assert note.startswith("**0 of 8 measured, 8 not answered yet, asked since 20")
    assert "discover tell waits FILE" in note
    waiting = [row["id"] for row in bench.candidates()]
    results = bench.folder / "results.csv"
    results.write_text(f"id,yield\n{waiting[0]},12\n{waiting[1]},15\n")
    assert bench.discover("tell", "waits", str(results)).exit == 0
    told = runs(tracking, "waits")["initial design"]
    assert told.data.tags["mlflow.note.content"].startswith("**2 of 8 measured, 6 not answered yet")
    assert sorted(value for _, value in points(tracking, "waits")["initial design", "batch/value"]) == [12, 15]


def test_a_round_is_a_run_from_its_beginning_on_and_fills_as_answers_come(bench, tracking, monkeypatch):
    monkeypatch.setattr("tasks.reporting.live.EVERY_SECONDS", 0.0)
    bench.config["objectives"][0]["oracle"] |= {"chunk": 1}
    bench.write_config(name="watched", rounds=1)
    seen = {}

    def look(event):
        if (event.round, event.stage, event.done) == (1, "measure", 4):
            seen.update(runs(tracking, "watched"))

    with listening(look):
        assert bench.run().exit == 0
    assert {seen[name].info.status for name in ("watched", "round 1")} == {"RUNNING"}
    assert seen["initial design"].info.status == "FINISHED"
    assert "batch/value" in seen["round 1"].data.metrics
    assert "measure, " in seen["round 1"].data.tags["mlflow.note.content"]
    over = runs(tracking, "watched")
    assert {run.info.status for run in over.values()} == {"FINISHED"}
    assert [step for step, _ in points(tracking, "watched")["round 1", "batch/value"]] == [1, 2, 3, 4]


def test_names_of_people_are_shown_as_they_are(bench, tracking):
    """Markdown in a name neither formats nor links, and HTML stays text."""
    hostile = "<img src=x onerror=alert(1)> [a](javascript:alert(1)) `x` |"
    bench.config["objectives"][0]["name"] = hostile
    bench.write_config(name="hostile-names", rounds=0)
    assert bench.run().exit == 0
    note = runs(tracking, "hostile-names")["hostile-names"].data.tags["mlflow.note.content"]
    assert r"&lt;img src=x" in note
    assert re.search(r"(?<!\\)(<img|\]\(java|`x)", note) is None


def test_publishing_twice_makes_no_second_run_and_no_second_point(finished, tracking):
    client = MlflowClient(tracking_uri=tracking)
    before = points(tracking, "finished")
    versions = client.search_model_versions("name = 'finished-proxy'")
    assert len(versions) == 2
    for run in runs(tracking, "finished").values():  # as if each publication had died at its last step
        client.delete_tag(run.info.run_id, PUBLISHED_TAG)
    assert finished.run().exit == 0
    assert all(PUBLISHED_TAG in run.data.tags for run in runs(tracking, "finished").values())
    assert points(tracking, "finished") == before
    assert len(client.search_model_versions("name = 'finished-proxy'")) == 2


def test_a_generation_that_began_anew_has_runs_of_its_own(bench, tracking):
    bench.write_config(name="begun-twice", rounds=0)
    assert bench.run().exit == 0
    assert bench.run("--fresh").exit == 0
    client = MlflowClient(tracking_uri=tracking)
    found = client.search_runs([client.get_experiment_by_name("begun-twice").experiment_id])
    assert sorted(run.info.run_name for run in found) == [
        "begun-twice",
        "begun-twice~2",
        "initial design",
        "initial design",
    ]


def test_the_champion_loads_without_pickles_and_predicts_like_the_proxy(finished, tracking, monkeypatch):
    assert finished.discover("retrain", "finished", "--plain").exit == 0
    version = MlflowClient(tracking_uri=tracking).get_model_version_by_alias("finished-proxy", CHAMPION)
    ledger = Workspace(finished.home).ledger()
    with CampaignContext(Workspace(finished.home), ledger, ledger.campaign("finished")) as context:
        champion = Tracker(context.workspace, context.campaign).champion()
    assert champion[0] == str(version.version)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", tracking)
    model = mlflow.pyfunc.load_model(f"models:/finished-proxy@{CHAMPION}")
    smiles = ["CCOCC", "CCSCC", "c1ccccc1"]
    told = model.predict(pd.DataFrame({"smiles": smiles}))
    expected = load_proxy(finished.home / "proxies" / champion[1]).predict(smiles)
    np.testing.assert_array_equal(told["mean"], expected.mean)
    np.testing.assert_array_equal(told["std"], expected.std)
    files = [path for path in (finished.home / "artifacts").rglob("*") if path.is_file()]
    assert any(path.name == "proxy.pt" for path in files)
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".joblib", ".cloudpickle")]


@pytest.mark.parametrize("address", ["sqlite:////dev/null/mlflow.db", "http://127.0.0.1:9", "nonsense://server"])
def test_an_address_that_does_not_answer_ends_no_campaign_and_a_later_run_makes_up_for_it(
    bench, tracking, monkeypatch, caplog, address
):
    name = f"late-{address.partition(':')[0]}"
    bench.write_config(name=name, rounds=0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert bench.run().exit == 0
    assert "The campaign goes on" in caplog.text
    rows, calls = bench.candidates(), bench.calls()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    assert runs(tracking, name) == {}
    assert bench.run().exit == 0
    assert set(runs(tracking, name)) == {name, "initial design"}
    assert (bench.candidates(), bench.calls()) == (rows, calls)


def test_a_database_that_was_lost_is_filled_again_by_the_same_command(finished, tracking, tmp_path, monkeypatch):
    before, calls = points(tracking, "finished"), finished.calls()
    fresh = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", fresh)
    assert finished.run().exit == 0
    assert points(fresh, "finished") == before
    assert finished.calls() == calls


def test_a_model_version_of_before_finds_what_its_code_imports():
    from tasks.components import load_proxy as imported_by_earlier_versions

    assert imported_by_earlier_versions is load_proxy


def test_a_union_of_members_that_tell_different_things_is_shown_with_its_shares(bench, tracking, caplog):
    edits = {"kind": "edits", "starts": 5, "parents": 5, "edits": 3}
    genetic = {"kind": "genetic", "generations": 2, "offspring": 10}
    members = [{"generator": edits}, {"generator": genetic}]
    bench.write_config(name="union", generator={"kind": "union", "proposals": 40, "members": members}, rounds=2)
    assert bench.run().exit == 0
    assert "publishing" not in caplog.text
    told = points(tracking, "union")
    assert {"generator/slope", "generator/evaluated", "generator/share"} <= {
        key for run, key in told if run == "round 2"
    }
    shares = [share for _, share in told["round 2", "generator/share"]]
    assert shares[0] + shares[-1] == pytest.approx(1.0)
    page = (bench.home / "campaigns" / "union" / "report" / "candidates.html").read_text()
    assert "Hits, one per scaffold" in page


@pytest.mark.parametrize("names", [("y%", "y$"), ("α/β", "α_β"), ("x" * 300, "x" * 299)])
def test_two_names_of_people_are_two_keys_that_mlflow_takes(names, tracking):
    client = MlflowClient(tracking_uri=tracking)
    experiment = client.get_experiment_by_name("keys") or client.get_experiment(client.create_experiment("keys"))
    run = client.create_run(experiment.experiment_id).info.run_id
    for value, name in enumerate(names):
        client.log_metric(run, key_of(name), value)
    assert sorted(client.get_run(run).data.metrics.values()) == [0, 1]
