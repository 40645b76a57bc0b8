"""Training of a round's proxy: held-out figures stay honest when networks go on from round to round."""

import numpy as np
import pandas as pd
import pytest

from data.config import ProxyConfig
from data.records import Prediction
from models.registry import Component
from models.spaces.molecules import Molecules
from tasks.storage import load_proxy, read_json
from tasks.train_proxy import TrainingData, trained
from tasks.workspace import Workspace

CORES = ("c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccsc1", "c1ccoc1", "C1CCNCC1", "C1CCOC1", "C1CC1", "C1CCC1")
MOLECULES = [f"{head}{core}" for head in ("C", "CC", "CO", "CN", "F", "Cl", "O") for core in CORES]


class Remembering(Component):
    """Predicts what it ever saw, and 1000 for all else."""

    group = "proxy"
    kind = "remembering_for_the_training_test"

    class Options(Component.Options):
        refit: str = "replay"

    def __init__(self, options=None, /, **values):
        super().__init__(options, **values)
        self.seen = {}

    def fit(self, molecules, values, *, seed):
        self.seen = dict(zip(molecules, values.tolist(), strict=True))

    def refit(self, previous_state, molecules, values, new_mask, *, seed):
        assert set(previous_state["seen"]) == {m for m, new in zip(molecules, new_mask, strict=True) if not new}
        self.seen = {**previous_state["seen"], **dict(zip(molecules, values.tolist(), strict=True))}

    def predict(self, molecules):
        mean = np.array([self.seen.get(smiles, 1000.0) for smiles in molecules])
        return Prediction(mean, np.ones(len(mean)))

    def state(self):
        return {"seen": self.seen}

    def load_state(self, state):
        self.seen = dict(state["seen"])


def data(n):
    rows = [(f"ID{i:03d}", smiles, float(i)) for i, smiles in enumerate(MOLECULES[:n])]
    return TrainingData.of(pd.DataFrame(rows, columns=["id", "object", "value"]), Molecules())


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path)


def rounds(workspace, config, sizes=(20, 30, 45), *, replay=True):
    folders = [None]
    for n in sizes:
        folders.append(trained(workspace, config, data(n), 0, previous=folders[-1] if replay else None))
    return folders[1:]


def test_no_model_is_tested_on_a_molecule_that_it_or_its_forerunner_saw(workspace):
    for folder in rounds(workspace, ProxyConfig(kind=Remembering.kind)):
        for file in ("heldout.csv", "random.csv"):
            assert (pd.read_csv(folder / file)["mean"] == 1000.0).all(), folder
        assert read_json(folder / "training.json")["split"].endswith("by scaffold")


def test_a_network_that_replays_goes_on_and_one_that_does_not_keeps_nothing(workspace):
    small = {"kind": "mlp_ensemble", "members": 2, "width": 8, "depth": 1, "steps": 40, "refit_steps": 10}
    replayed = rounds(workspace, ProxyConfig(**small, refit="replay"))
    anew = rounds(workspace, ProxyConfig(**small), replay=False)
    assert (replayed[-1] / "models.pt").is_file()
    assert not (anew[-1] / "models.pt").exists()
    assert read_json(replayed[0] / "training.json")["n"] == 20
    last = [pd.read_csv(folder / "heldout.csv")["mean"] for folder in (replayed[-1], anew[-1])]
    assert not np.allclose(*last)


def test_what_is_gone_on_from_is_part_of_a_proxys_key(workspace):
    config = ProxyConfig(kind="mlp_ensemble", members=2, width=8, depth=1, steps=20, refit_steps=5, refit="replay")
    first = trained(workspace, config, data(20), 0)
    assert trained(workspace, config, data(30), 0) != trained(workspace, config, data(30), 0, previous=first)
    assert trained(workspace, config, data(30), 0, previous=first) == trained(
        workspace, config, data(30), 0, previous=first
    )


def test_a_campaign_whose_network_replays_runs_and_resumes(bench):
    bench.write_config(
        rounds=2,
        budget={"calls": 30},
        proxy={"kind": "mlp_ensemble", "members": 2, "width": 8, "steps": 30, "refit_steps": 10, "refit": "replay"},
    )
    assert bench.run().exit == 0
    models = sorted(path.parent.parent.name for path in bench.home.glob("campaigns/*/*/train_proxy/models.pt"))
    assert len(models) == 2
    calls = len(bench.calls())
    assert bench.run().exit == 0
    assert len(bench.calls()) == calls


@pytest.mark.parametrize(
    "damage", [lambda content: content[: len(content) // 2], lambda content: b"", lambda content: b"x" + content[1:]]
)
def test_a_damaged_proxy_in_the_store_is_trained_again_to_the_same_bytes(tmp_path, damage):
    frame = pd.DataFrame({"id": MOLECULES[:12], "object": MOLECULES[:12], "value": np.arange(12.0)})
    workspace, config, data = (
        Workspace(tmp_path),
        ProxyConfig(kind="gaussian_process"),
        TrainingData.of(frame, Molecules()),
    )
    folder = trained(workspace, config, data, 3)
    whole = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert {"proxy.pt", "proxy.json", "training.json"} <= set(whole)
    for name, content in whole.items():
        if damage(content) == content:
            continue
        (folder / name).write_bytes(damage(content))
    assert trained(workspace, config, data, 3) == folder
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == whole
    (tmp_path / "proxies" / f"{folder.name}.sha256").write_bytes(b"")
    assert trained(workspace, config, data, 3) == folder
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == whole


class Telling(Remembering):
    """A proxy that says 7 for whatever its fold is without, where it is asked."""

    kind = "telling_for_the_training_test"

    class Options(Component.Options):
        refit: str = "none"

    def held_out(self, objects, values, fold):
        assert len(self.seen) == len(objects) == len(fold)
        return Prediction(np.full(len(objects), 7.0), np.ones(len(objects)))


def test_from_so_many_labels_a_proxy_is_asked_what_it_predicts_without_a_fold_and_trained_once(workspace, monkeypatch):
    monkeypatch.setattr("tasks.train_proxy.ONE_FIT", 30)
    fewer, enough = rounds(workspace, ProxyConfig(kind=Telling.kind), sizes=(29, 30), replay=False)
    for folder, mean, refitted in ((fewer, 1000.0, True), (enough, 7.0, False)):
        for file in ("heldout.csv", "random.csv"):
            assert (pd.read_csv(folder / file)["mean"] == mean).all(), folder
        assert read_json(folder / "training.json")["refitted_folds"] is refitted


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda whole: b""])
def test_a_trained_proxy_damaged_under_all_its_names_is_trained_again_to_the_same_bytes(bench, damage):
    bench.write_config(rounds=1)
    assert bench.run().exit == 0
    (file,) = bench.home.rglob("round-001/train_proxy/proxy.pt")
    whole = file.read_bytes()
    assert file.stat().st_nlink > 1, "the store, the stage and MLflow's view have one file"
    file.write_bytes(damage(whole))  # in place: every name leads to it
    assert bench.run().exit == 0
    assert file.read_bytes() == whole
    (stored,) = bench.home.glob("proxies/*/proxy.pt")
    assert stored.read_bytes() == whole


def test_what_purchases_say_of_deviations_is_kept_beside_the_state_that_all_share(bench, monkeypatch):
    monkeypatch.setattr("tasks.train_proxy.purchase_factor", lambda bought: 3.0)
    bench.write_config(rounds=1)
    assert bench.run().exit == 0
    (folder,) = (file.parent for file in bench.home.rglob("round-001/train_proxy/proxy.pt"))
    (stored,) = (file.parent for file in bench.home.glob("proxies/*/proxy.pt"))
    assert (folder / "proxy.pt").stat().st_ino == (stored / "proxy.pt").stat().st_ino
    own, shared = (load_proxy(place).predict(["CCO", "c1ccccc1"]) for place in (folder, stored))
    np.testing.assert_array_equal(own.mean, shared.mean)
    np.testing.assert_allclose(own.std, 3.0 * shared.std, rtol=1e-9)


def test_a_proxy_beside_a_table_is_stored_by_the_tables_content_and_an_edited_table_is_noticed(bench):
    rows = ["molecule,a,b", *(f"{'C' * k}O,{k},{-k}" for k in range(1, 50))]
    (bench.folder / "earlier.csv").write_text("\n".join(rows) + "\n")
    small = {"steps": 3, "width": 8, "layers": 1, "latents": 2, "features": "descriptors"}
    bench.write_config(selector={"kind": "top_k"})
    bench.write_config(proxy={"kind": "neural_process", "table": "earlier.csv", "column": "molecule", **small})
    told = bench.run()
    assert told.exit == 0, told.message
    assert len(list(bench.home.glob("proxies/*/proxy.pt"))) == 1
    (bench.folder / "earlier.csv").write_text("\n".join(rows[:-1]) + "\n")
    told = bench.run()
    assert told.exit == 2
    assert "stage train_proxy, was finished with other inputs" in told.message
    assert "earlier.csv" in told.message
