"""What predictions rest on: contributions add up, and are right where the truth is known."""

from collections import Counter

import numpy as np
import pytest

from data.chemistry.fingerprint_atoms import COUNTED
from data.chemistry.fingerprints import FINGERPRINTS
from data.chemistry.molecules import shared
from data.records import Prediction
from data.tables.shipped import labelled_library
from models.proxies.attribution import NotAttributable, contributions
from models.proxies.base import BaseProxy
from models.registry import build

MOLECULES = labelled_library().sample(60, random_state=0)["smiles"].tolist()
SALTS = ["[Cl-].[Na+]", "C", "CC(=O)[O-].[NH4+]", "C1CC2CCC1CC2", "[2H]C([2H])Cl"]


@pytest.mark.parametrize("kind", FINGERPRINTS)
def test_counts_one_by_one_add_up_to_the_fingerprint(kind):
    for smiles in (*MOLECULES, *SALTS):
        mol = shared(smiles)
        columns, counts = FINGERPRINTS[kind](mol)
        assert Counter(column for column, _ in COUNTED[kind](mol)) == dict(
            zip(columns.tolist(), counts.tolist(), strict=True)
        )


class Linear(BaseProxy):
    """Adds up the features, each times a weight; it has no kind, or other tests would take it for a proxy of ours."""

    def predict(self, objects):
        found = self.featuriser(objects)
        rows = np.hstack([found.dense, found.counts])
        weights = np.random.default_rng(0).normal(size=rows.shape[1])
        return Prediction(rows @ weights, np.ones(len(rows)))


@pytest.mark.parametrize("features", ["morgan_counts", "both", "fingerprints", "descriptors"])
def test_of_a_linear_proxy_they_add_up_and_each_count_is_shared_evenly_by_its_atoms(features):
    proxy, smiles = Linear(features=features), MOLECULES[0]
    found = contributions(proxy, smiles, MOLECULES, pairs=4000 if features == "morgan_counts" else 4)
    empty = found.prediction - found.values.sum()
    assert empty == pytest.approx(found.reference, abs=1e-9)
    if features == "morgan_counts":
        weights = np.random.default_rng(0).normal(size=2048)
        shares = np.zeros(found.atoms)
        for column, among in COUNTED["morgan"](shared(smiles)):
            shares[list(among)] += weights[column] / len(among)
        assert np.abs(found.values - shares).max() < 5 * found.errors.max()
        assert found.reference == 0.0


@pytest.mark.parametrize(
    "proxy", [{"kind": "gaussian_process"}, {"kind": "random_forest", "members": 20, "features": "both"}]
)
def test_of_any_proxy_they_add_up_to_the_prediction(proxy):
    fitted = build("proxy", proxy)
    fitted.fit(MOLECULES, np.arange(60.0), seed=0)
    found = contributions(fitted, "CCO", MOLECULES, pairs=3)
    assert found.prediction == fitted.predict(["CCO"]).mean[0]
    assert found.values.sum() == pytest.approx(found.prediction - found.reference, abs=1e-9)
    assert found.names[: found.atoms] == ("C1", "C2", "O3")


def test_of_variables_each_has_its_own_and_what_is_typical_adds_nothing():
    space = {"variables": {"a": [0, 1], "solvent": ["water", "dmf"], "c": [0, 1]}}
    proxy = build("proxy", {"kind": "gaussian_process", "features": {"kind": "variables", "space": space}})
    rng = np.random.default_rng(0)
    rows = [(f"{a:.2f}", rng.choice(["water", "dmf"]), f"{c:.2f}") for a, c in rng.random((40, 2))]
    objects = [f"a={a}, solvent={word}, c={c}" for a, word, c in rows]
    proxy.fit(objects, np.array([3 * float(a) + (word == "dmf") for a, word, _ in rows]), seed=0)
    found = contributions(proxy, "a=0.90, solvent=dmf, c=0.10", objects)
    told = dict(zip(found.names, found.values, strict=True))
    assert set(told) == {"a", "solvent", "c"}
    assert told["a"] == pytest.approx(1.2, abs=0.2)
    assert told["solvent"] == pytest.approx(0.5, abs=0.1)
    assert abs(told["c"]) < 0.05


def test_a_proxy_that_reads_the_objects_themselves_is_refused_with_what_to_use():
    with pytest.raises(NotAttributable, match=r"gnn_ensemble.*Use gaussian_process"):
        contributions(build("proxy", {"kind": "gnn_ensemble"}), "CCO", MOLECULES)
