"""A workspace that was copied or renamed: real MLflow clients find its files there, and the original is not touched."""

import hashlib
import re
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from data.wording import figure
from tasks.stages import CampaignContext
from tasks.tracking import Tracker
from tasks.workspace import Workspace
from tests.conftest import Bench, use


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file; of a database that of its rows, since opening it may move them between its files."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(("-wal", "-shm")))
    return {str(p.relative_to(folder)): hashlib.sha256(_content(p)).hexdigest() for p in files}


def _content(path: Path) -> bytes:
    if path.suffix != ".db":
        return path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump()).encode()


@pytest.fixture
def discover(warm):
    """Run a command in a process of its own, as after a move: this one still has the former files open."""

    def run(home: Path, *arguments: str) -> None:
        # MLflow's client leaves the address it was given in the environment.
        command = warm.start(arguments, {"DISCOVER_HOME": str(home), "MLFLOW_TRACKING_URI": None})
        told = command.ended()
        assert command.code == 0, told
        assert "MLflow:" not in told

    return run


pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]  # whole campaigns: `make test` has to stay under 12 minutes


@pytest.fixture(scope="module")
def retrained_once(tmp_path_factory):
    """A campaign with a champion, whose runs are in its workspace's own database; nobody may change it."""
    bench = Bench(tmp_path_factory.mktemp("retrained"))
    bench.write_config(name="mv")
    with pytest.MonkeyPatch.context() as patch:
        use(bench, "", patch)
        patch.delenv("MLFLOW_TRACKING_URI")
        patch.setattr("tasks.reporting.report.round_figures", lambda *_: {})
        assert bench.run().exit == 0
        assert bench.discover("retrain", "mv", "--plain").exit == 0
    return bench


@pytest.fixture
def retrained(retrained_once, bench, discover, monkeypatch):
    """A copy of it that was used once."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    bench.write_config(name="mv")
    shutil.copytree(retrained_once.home, bench.home)
    discover(bench.home, "status")
    return bench


def predictions(home: Path):
    uri = f"sqlite:///{home / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setenv("MLFLOW_REGISTRY_URI", uri)
        model = mlflow.pyfunc.load_model("models:/mv-proxy@champion")
    return list(model.predict(pd.DataFrame({"smiles": ["CCOCC", "c1ccccc1"]}))["mean"])


def pages(home: Path) -> int:
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mv")
    found = 0
    for run in client.search_runs([experiment.experiment_id]):
        if client.list_artifacts(run.info.run_id, "report"):
            path = client.download_artifacts(run.info.run_id, "report/candidates.html")
            assert run.info.artifact_uri.startswith(home.as_uri())
            found += "<html" in Path(path).read_text()
    return found


def test_a_copy_that_runs_on_writes_nothing_into_the_original_and_a_renamed_one_still_loads(
    retrained, retrained_once, discover, tmp_path
):
    original, copy, renamed = retrained.home, tmp_path / "a copy", tmp_path / "renamed"
    expected, before = predictions(original), contents(original)
    shutil.copytree(original, copy)
    discover(copy, "run", str(retrained_once.file), "--plain", "--set", "rounds=2")
    discover(copy, "retrain", "mv", "--plain")
    assert contents(original) == before
    assert pages(copy) == 4  # the campaign, the initial design and two rounds
    original.rename(renamed)
    discover(renamed, "status")
    assert predictions(renamed) == expected
    assert pages(renamed) == 3


def test_nothing_in_a_renamed_workspace_names_its_former_place(retrained, retrained_once, discover, tmp_path):
    renamed = tmp_path / "renamed"
    formers = [str(home).encode() for home in (retrained.home, retrained_once.home)]
    retrained.home.rename(renamed)
    discover(renamed, "run", str(retrained_once.file), "--plain", "--set", "rounds=2")
    with closing(sqlite3.connect(renamed / "mlflow.db")) as connection:
        connection.execute("VACUUM")  # else pages that are free still hold what stood there
    files = [p for p in renamed.rglob("*") if p.is_file()]
    assert [(str(p), former) for p in files for former in formers if former in p.read_bytes()] == []


def test_a_workspace_whose_note_was_lost_finds_its_files(retrained, discover, tmp_path):
    expected = predictions(retrained.home)
    (retrained.home / "workspace.json").unlink()
    renamed = tmp_path / "renamed"
    retrained.home.rename(renamed)
    discover(renamed, "status")
    assert predictions(renamed) == expected


def test_copies_that_share_a_database_of_the_users_keep_their_files_apart(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'team.db'}")
    bench.write_config(name="shared", rounds=0)
    assert bench.run().exit == 0
    copy = tmp_path / "copy"
    shutil.copytree(bench.home, copy)
    before = contents(bench.home)
    monkeypatch.setenv("DISCOVER_HOME", str(copy))
    assert bench.run("--set", "rounds=1").exit == 0
    assert contents(bench.home) == before
    assert list((copy / "artifacts").rglob("candidates.html"))


def test_a_deleted_experiment_is_restored(bench, tmp_path, monkeypatch, caplog):
    uri = f"sqlite:///{tmp_path / 'own.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    bench.write_config(name="deleted", rounds=0)
    assert bench.run().exit == 0
    client = MlflowClient(tracking_uri=uri)
    client.delete_experiment(client.get_experiment_by_name("deleted").experiment_id)
    assert bench.run("--set", "rounds=1").exit == 0
    assert "is restored" in caplog.text
    experiment = client.get_experiment_by_name("deleted")
    assert experiment.lifecycle_stage == "active"
    assert "round 1" in {run.info.run_name for run in client.search_runs([experiment.experiment_id])}


def test_retraining_with_nothing_new_leaves_a_line_and_no_run(bench, tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path / 'own.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    bench.write_config(name="nightly")
    assert bench.run().exit == 0
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("nightly").experiment_id
    counts = []
    for _ in range(3):
        assert bench.discover("retrain", "nightly", "--plain").exit == 0
        counts.append(len(client.search_runs([experiment])))
    assert counts[0] == counts[1] == counts[2]
    (parent,) = client.search_runs([experiment], "attributes.run_name = 'nightly'")
    assert "nothing new since version" in parent.data.tags["discovery.retrained"]


def test_the_description_starts_with_verdict_best_gain_and_page(finished, tracking):
    client = MlflowClient(tracking_uri=tracking)
    experiment = client.get_experiment_by_name("finished").experiment_id
    (parent,) = client.search_runs([experiment], "attributes.run_name = 'finished'")
    first, *_ = parent.data.tags["mlflow.note.content"].splitlines()
    rows = finished.candidates()
    means = {
        arm: pd.Series([row["value"] for row in rows if row["arm"] == arm]).mean() for arm in ("acquisition", "control")
    }
    assert first.startswith(f"**Done after 2 rounds. Best score {figure(rows[0]['value'])} a.u.")
    gain = re.search(r"(?:Gain over control|Not distinguishable from the control: gain) ([+-]?[\d.]+) a\.u\. \(", first)
    assert gain, first
    digits = len(gain[1].partition(".")[2])  # as many as the interval allows
    assert float(gain[1]) == pytest.approx(means["acquisition"] - means["control"], abs=0.51 * 10**-digits)
    assert "report/candidates.html" in first


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_workspace_and_its_databases_are_for_their_owner_only(bench, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    bench.write_config(rounds=0)
    assert bench.run().exit == 0
    assert mode(bench.home) == 0o700
    assert {p.name: mode(p) for p in bench.home.glob("*.db")} == {"ledger.db": 0o600, "mlflow.db": 0o600}
    Workspace(bench.home).token()
    assert mode(bench.home / "services" / "token") == 0o600


def test_a_folder_with_other_things_in_it_keeps_its_mode_but_the_databases_do_not(bench):
    bench.home.mkdir(mode=0o755)
    (bench.home / "mine.txt").touch()
    bench.write_config(rounds=0)
    assert bench.run().exit == 0
    assert mode(bench.home) == 0o755
    (bench.home / "ledger.db").chmod(0o644)
    assert bench.discover("doctor") is not None
    assert mode(bench.home / "ledger.db") == 0o600


def test_the_champion_of_the_tracker_and_of_the_registry_are_one_after_a_move(retrained, tmp_path):
    renamed = tmp_path / "renamed"
    retrained.home.rename(renamed)
    ledger = Workspace.open(renamed).ledger()
    with CampaignContext(Workspace(renamed), ledger, ledger.campaign("mv")) as context:
        assert Tracker(context.workspace, context.campaign).champion() is not None


def test_two_workspaces_of_one_process_have_databases_of_their_own(bench, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    bench.write_config(rounds=0)
    for home in ("one", "two"):
        monkeypatch.setenv("DISCOVER_HOME", str(tmp_path / home))
        assert bench.run().exit == 0
        assert list((tmp_path / home / "artifacts").rglob("candidates.html"))
        assert (tmp_path / home / "mlflow.db").exists()
