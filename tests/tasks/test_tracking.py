"""MLflow shows the whole campaign once, whatever happens to it; losing it loses no campaign."""

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tasks.stages import CampaignContext
from tasks.storage import load_proxy
from tasks.tracking import CHAMPION, PUBLISHED_TAG, Tracker
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
    assert run.data.metrics["train_proxy/heldout_n"] == 12
    assert run.data.metrics["measure/measured"] == 4
    assert run.data.metrics["seconds/train_generator"] > 0
    (given,) = run.inputs.dataset_inputs
    assert given.dataset.name == "finished after round 2"
    assert '"num_rows": 16' in given.dataset.profile
    assert "data/dataset.csv" in artifacts(tracking, run, "data")
    assert "generator/generator.pt" in artifacts(tracking, run, "generator")
    assert "report/candidates.html" in artifacts(tracking, run, "report")
    history = points(tracking, "finished")["round 2", "evaluated"]
    assert [step for step, _ in history] == [1, 2]  # two generations


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
    bench.write_config(name="twice", rounds=0)
    assert bench.run().exit == 0
    assert bench.run("--fresh").exit == 0
    client = MlflowClient(tracking_uri=tracking)
    found = client.search_runs([client.get_experiment_by_name("twice").experiment_id])
    assert sorted(run.info.run_name for run in found) == ["initial design", "initial design", "twice", "twice~2"]


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
    assert {"slope", "evaluated", "share"} <= {key for run, key in told if run == "round 2"}
    shares = [share for _, share in told["round 2", "share"]]
    assert shares[0] + shares[-1] == pytest.approx(1.0)
    page = (bench.home / "campaigns" / "union" / "report" / "candidates.html").read_text()
    assert "Hits, one per scaffold" in page
