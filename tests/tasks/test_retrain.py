"""Retraining: when a challenger is promoted and when it is refused, and that nothing is trained twice."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen

from data.chemistry.molecules import canonical, identity
from data.config import parse_config
from data.wording import figure
from models.spaces.molecules import Molecules
from tasks.champions import history, inputs_of, judged, roll_back, versions
from tasks.drift import look_for_drift
from tasks.oracles.booking import book_of
from tasks.retrain import all_measurements, compare_with_champion, in_holdout, promote, train_challenger
from tasks.stages import BadInput, CampaignContext, CampaignRef
from tasks.tracking import Tracker
from tasks.train_proxy import TrainingData
from tasks.workspace import Workspace

CORES = ("c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccsc1", "c1ccoc1", "C1CCNCC1", "C1CCOC1", "C1CC1", "c1ccc2ccccc2c1")
HEADS = ("C", "CC", "OC", "NC", "N", "O", "F", "Cl", "CCO", "SC", "OC(=O)", "FC(F)(F)")
MOLECULES = [str(canonical(head + core)) for core, head in itertools.product(CORES, HEADS)]
TAILS = ("O", "N", "F", "Cl", "S", "C(=O)O", "C#N", "OC", "C(=O)N", "SC")
ALONE = sorted({str(canonical("C" * n + tail)) for n in range(1, 13) for tail in TAILS})
"""Without rings, so that each is a family of its own."""


class Measured:
    """A campaign whose ledger is filled by the test."""

    def __init__(self, name, home):
        self.workspace = Workspace.open(home)
        ledger = self.workspace.ledger()
        config = {"name": name, "objectives": [{"name": "logp", "oracle": {"kind": "rdkit", "property": "logp"}}]}
        self.campaign = ledger.begin_campaign(parse_config(config), home)
        ledger.close()
        self.ref = CampaignRef(str(home), self.campaign.id)

    def measure(self, molecules, values):
        with self.ref.open() as context:
            book = book_of(context)
            book.import_values(0, [(identity(s), s, float(v)) for s, v in zip(molecules, values, strict=True)])

    def retrain(self):
        comparison = compare_with_champion.fn(self.ref, train_challenger.fn(self.ref))
        return promote.fn(self.ref, comparison)

    def champion(self):
        with self.ref.open() as context:
            return Tracker(context.workspace, context.campaign).champion()

    def data(self):
        with self.ref.open() as context:
            return all_measurements(context)

    def trained(self):
        return {path.name: path.stat().st_mtime_ns for path in (self.workspace.home / "proxies").iterdir()}


@pytest.fixture
def measured(request, tmp_path, tracking, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    monkeypatch.delenv("DISCOVER_LEDGER", raising=False)
    return Measured(f"retrain-{request.node.name[:40].rstrip('_')}", tmp_path)


def logp(molecules):
    return [Crippen.MolLogP(Chem.MolFromSmiles(smiles)) for smiles in molecules]


def shuffled(molecules, seed=0):
    return [molecules[i] for i in np.random.default_rng(seed).permutation(len(molecules))]


def test_without_enough_measurements_there_is_nothing_to_train(measured):
    measured.measure(MOLECULES[:5], logp(MOLECULES[:5]))
    with pytest.raises(BadInput, match=r"5 measurements of rdkit:logp.*at least 6"):
        measured.retrain()


def test_the_first_challenger_becomes_champion_and_the_same_data_are_nothing_new(measured):
    molecules = shuffled(MOLECULES)[:15]
    measured.measure(molecules, logp(molecules))
    first = measured.retrain()
    assert first["promote"]
    assert first["reason"] == "There is no champion yet."
    assert measured.champion() == (first["version"], first["challenger"])
    before = measured.trained()
    again = measured.retrain()
    assert not again["promote"]
    assert "nothing is new" in again["reason"]
    assert again["version"] == first["version"]
    assert again["n_champion"] == again["n_challenger"] == 15
    assert measured.trained() == before


def test_more_of_the_same_data_make_a_better_proxy_which_is_promoted(measured):
    molecules = shuffled(ALONE)
    measured.measure(molecules[:20], logp(molecules[:20]))
    old = measured.retrain()
    measured.measure(molecules[20:], logp(molecules[20:]))
    new = measured.retrain()
    assert (new["n_champion"], new["n_challenger"], new["n_newest"]) == (20, len(ALONE), len(ALONE) - 20)
    for where in ("holdout", "newest"):
        assert new[f"{where}_challenger"]["nll"] < new[f"{where}_champion"]["nll"]
    assert new["promote"], new["reason"]
    assert measured.champion() == (new["version"], new["challenger"]) != (old["version"], old["challenger"])


def test_a_challenger_that_was_spoilt_is_refused_and_the_champion_stays(measured):
    molecules = shuffled(MOLECULES)
    measured.measure(molecules[:70], logp(molecules[:70]))
    good = measured.retrain()
    spoilt = [smiles for smiles, held in zip(*holdout_of(molecules[70:]), strict=True) if not held]
    measured.measure(spoilt, np.random.default_rng(1).normal(0, 50, len(spoilt)))
    bad = measured.retrain()
    assert bad["holdout_challenger"]["nll"] > bad["holdout_champion"]["nll"]
    assert not bad["promote"]
    assert bad["reason"].startswith("Not better")
    assert measured.champion() == (good["version"], good["challenger"])


def holdout_of(molecules):
    """The molecules in the order of their ids, and which of them are held out."""
    frame = pd.DataFrame({"id": [identity(s) for s in molecules], "object": molecules, "value": 0.0})
    data = TrainingData.of(frame, Molecules())
    return data.objects, in_holdout(data)


def test_a_molecule_never_changes_sides_as_data_grow():
    everything = dict(zip(*holdout_of(MOLECULES), strict=True))
    for n in (10, 40, 90):
        part = dict(zip(*holdout_of(shuffled(MOLECULES, n)[:n]), strict=True))
        assert part == {smiles: everything[smiles] for smiles in part}
    acyclic = ["C" * n for n in range(1, 200)]
    share = holdout_of(acyclic)[1].mean()
    assert 0.1 < share < 0.3  # a fifth, each acyclic molecule being a group of its own


def test_a_version_that_was_rolled_back_is_not_promoted_again_by_the_same_data(measured):
    molecules = shuffled(ALONE)
    measured.measure(molecules[:20], logp(molecules[:20]))
    old = measured.retrain()
    with measured.ref.open() as context, pytest.raises(BadInput, match="no champion before version"):
        roll_back(Tracker(context.workspace, context.campaign), None, "me")
    measured.measure(molecules[20:], logp(molecules[20:]))
    new = measured.retrain()
    assert new["promote"]
    with measured.ref.open() as context:
        tracker = Tracker(context.workspace, context.campaign)
        assert roll_back(tracker, None, "me") == (new["version"], old["version"])
        assert [one["version"] for one in history(tracker)] == [old["version"], new["version"], old["version"]]
    again = measured.retrain()
    assert not again["promote"]
    assert again["reason"].startswith(f"Version {new['version']}, trained on the same data, was rolled back")
    assert measured.champion()[0] == old["version"]
    with measured.ref.open() as context:
        tracker = Tracker(context.workspace, context.campaign)
        assert roll_back(tracker, new["version"], "me") == (old["version"], new["version"])
        assert not next(one for one in versions(tracker) if one.champion).rolled_back
        with pytest.raises(BadInput, match="There is no version '99'"):
            roll_back(tracker, "99", "me")


def test_why_a_challenger_was_refused_stands_in_its_version(measured):
    molecules = shuffled(MOLECULES)
    measured.measure(molecules[:70], logp(molecules[:70]))
    measured.retrain()
    spoilt = [smiles for smiles, held in zip(*holdout_of(molecules[70:]), strict=True) if not held]
    measured.measure(spoilt, np.random.default_rng(1).normal(0, 50, len(spoilt)))
    bad = measured.retrain()
    with measured.ref.open() as context:
        tracker = Tracker(context.workspace, context.campaign)
        refused = next(one for one in versions(tracker) if one.number == bad["version"])
    assert not refused.champion
    assert refused.reason == bad["reason"]
    runs = len(tracker.client.search_runs([tracker.experiment()]))
    again = measured.retrain()
    assert again["reason"] == f"Nothing is new. {bad['reason']}"
    assert len(tracker.client.search_runs([tracker.experiment()])) <= runs + 1  # the campaign's own, for the line
    measured.retrain()
    assert len(tracker.client.search_runs([tracker.experiment()])) <= runs + 1
    assert refused.note.endswith(f"Gate: {bad['reason']}")
    assert refused.gate["newest_nll"] == pytest.approx(bad["newest_challenger"]["nll"] - bad["newest_champion"]["nll"])


def test_a_champion_of_other_inputs_is_not_compared(measured):
    molecules = shuffled(MOLECULES)
    measured.measure(molecules[:40], logp(molecules[:40]))
    first = measured.retrain()
    with measured.ref.open() as context:
        tracker = Tracker(context.workspace, context.campaign)
        inputs = inputs_of(tracker, first["version"])
        judged(tracker, first["version"], "", {}, inputs | {"unit": "furlong"})
    measured.measure(molecules[40:], logp(molecules[40:]))
    told = measured.retrain()
    assert not told["promote"]
    assert "other inputs than the champion (unit furlong, now" in told["reason"]
    assert "newest_champion" not in told


def test_only_a_drift_asks_for_another_training(measured):
    ringless = ["C" * n + head for n in range(1, 30) for head in ("O", "N", "F")]
    molecules = shuffled(MOLECULES)
    measured.measure(molecules[:60], logp(molecules[:60]))
    assert look_for_drift.fn(measured.ref) == {"drifted": True, "reason": "There is no champion here to keep."}
    measured.retrain()
    assert "below 8 nothing can be told" in look_for_drift.fn(measured.ref)["reason"]
    measured.measure(molecules[60:], logp(molecules[60:]))
    same = look_for_drift.fn(measured.ref)
    assert not same["drifted"], same
    assert "no feature moved, and the champion errs no more" in same["reason"]
    measured.measure(ringless, logp(ringless))
    other = look_for_drift.fn(measured.ref)
    assert other["drifted"]
    assert "features moved" in other["reason"] or "its NLL is" in other["reason"]


def _challenger(bench):
    (comparison,) = bench.home.glob("campaigns/*/retrain/comparison.json")
    return json.loads(comparison.read_text())["challenger"]


def stage(bench, round, name):
    ledger = Workspace(bench.home).ledger()
    with CampaignContext(Workspace(bench.home), ledger, ledger.campaign(bench.config["name"])) as context:
        return context.finished(round, name)


def test_the_next_round_of_a_campaign_uses_the_champion_that_has_its_data(bench):
    bench.write_config(name="reusing")
    assert bench.run().exit == 0
    told = bench.discover("retrain", "reusing", "--plain")
    assert told.exit == 0
    assert "There is no champion yet. Version 2 is the champion now." in told.message
    assert "Version 1 is of the campaign's rounds." in told.message
    rows = pd.read_csv(next((bench.home / "proxies").glob(f"{_challenger(bench)}/heldout.csv")))
    rmse = ((rows["value"] - rows["mean"]) ** 2).mean() ** 0.5
    assert f"heldout rmse (n=12) - {figure(rmse)}" in told.message
    proxies = sorted(path.name for path in (bench.home / "proxies").iterdir() if path.is_dir())
    assert len(proxies) == 2  # after 8 measurements, and after 12
    assert bench.run("--set", "rounds=2").exit == 0
    assert stage(bench, 1, "train_proxy").metrics["reused"] == 0
    assert stage(bench, 2, "train_proxy").metrics["reused"] == 1
    assert sorted(path.name for path in (bench.home / "proxies").iterdir() if path.is_dir()) == proxies
    used = json.loads(stage(bench, 2, "train_proxy").path(_context(bench), "training.json").read_text())
    ledger = Workspace(bench.home).ledger()
    tracker = Tracker(Workspace(bench.home), ledger.campaign("reusing"))
    ledger.close()
    assert tracker.champion() == ("2", used["key"])


def _context(bench):
    ledger = Workspace(bench.home).ledger()
    context = CampaignContext(Workspace(bench.home), ledger, ledger.campaign(bench.config["name"]))
    ledger.close()
    return context


def test_retraining_without_measurements_is_refused(bench):
    bench.write_config(name="empty")
    bench.run("--set", "screens=[{kind: property_range, descriptor: RingCount, min: 20}]")
    told = bench.discover("retrain", "empty", "--plain")
    assert told.exit == 2
    assert "0 measurements" in told.message


def test_retraining_after_the_oracle_changed_says_so(bench):
    bench.write_config(name="changed")
    assert bench.run().exit == 0
    bench.write_oracle("2 * value(smiles)")
    told = bench.discover("retrain", "changed", "--plain")
    assert told.exit == 2
    assert "of this campaign are of the oracle as it was" in told.message
    bench.write_config(name="another")  # measures enough with the changed oracle
    assert bench.run().exit == 0
    told = bench.discover("retrain", "changed", "--plain")
    assert told.exit == 2
    assert "of this campaign are of the oracle as it was" in told.message
    bench.write_oracle()
    assert bench.discover("retrain", "changed", "--plain").exit == 0


@pytest.mark.parametrize("address", ["sqlite:////dev/null/mlflow.db", "http://127.0.0.1:9"])
def test_retraining_without_a_registry_is_refused_and_promotes_nothing(bench, monkeypatch, address):
    bench.write_config(name="offline", rounds=0)
    assert bench.run().exit == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    told = bench.discover("retrain", "offline", "--plain")
    assert told.exit == 2
    assert "MLflow" in told.message
    assert address in told.message


def test_a_challenger_keeps_the_members_of_a_family_that_the_champion_knew(measured):
    molecules = shuffled(MOLECULES)
    measured.measure(molecules[:60], logp(molecules[:60]))
    measured.retrain()
    measured.measure(molecules[60:], logp(molecules[60:]))
    second = measured.retrain()
    champion, challenger = (second[f"newest_{side}"]["rmse"] for side in ("champion", "challenger"))
    # Without a core's every molecule, which is what whole families left out would mean, it errs more than the champion.
    assert challenger < champion
