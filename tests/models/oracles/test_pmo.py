"""The tasks of PMO: the values of an independent implementation (tests/data/pmo), and what an oracle owes a campaign."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from data.chemistry.molecules import canonical
from models.pmo import classifiers, tasks
from models.pmo.tasks import TASKS
from models.registry import ComponentError, build

FOLDER = Path(__file__).resolve().parents[2] / "data" / "pmo"
with (FOLDER / "reference.csv").open() as file:
    REFERENCE = list(csv.DictReader(file))
CHANGED = {"qed": {"[2H]C([2H])([2H])Oc1ccccc1"}}
"""Molecules whose reference RDKit has changed since: QED counts the rotatable bonds of isotopes otherwise."""


def oracle(task, **options):
    return build("oracle", {"kind": "pmo", "task": task, **options})


def values(task, molecules):
    return [measurement.value for measurement in oracle(task).evaluate(molecules, keys=molecules)]


def test_the_reference_holds_hundreds_of_molecules_of_which_each_task_tells_apart_many():
    assert len(REFERENCE) >= 200
    assert set(TASKS) == set(REFERENCE[0]) - {"smiles"}
    assert len(TASKS) == 23
    for task in TASKS:
        found = sorted(float(row[task]) for row in REFERENCE)
        assert found[-1] > found[len(found) // 2] + 0.25
    assert json.loads((FOLDER / "reference.json").read_text())["code"].startswith("PyTDC 1.1.15")


@pytest.mark.parametrize("task", TASKS)
def test_a_task_gives_the_values_of_the_reference(task):
    rows = [row for row in REFERENCE if row["smiles"] not in CHANGED.get(task, ())]
    expected = [float(row[task]) for row in rows]
    assert values(task, [row["smiles"] for row in rows]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("task", "best"),
    [
        ("celecoxib_rediscovery", "Cc1ccc(cc1)-c1cc(nn1-c1ccc(cc1)S(N)(=O)=O)C(F)(F)F"),
        ("albuterol_similarity", "OCc1cc(ccc1O)C(O)CNC(C)(C)C"),
        ("isomers_c7h8n2o2", "COC(=O)c1ccnc(N)c1"),
    ],
)
def test_a_molecule_that_is_what_a_task_asks_for_has_the_score_one(task, best):
    assert values(task, [best]) == [pytest.approx(1.0, abs=1e-12)]


@pytest.mark.parametrize("task", ["qed", "drd2", "gsk3b", "deco_hop", "fexofenadine_mpo", "zaleplon_mpo"])
def test_the_way_a_molecule_is_written_does_not_matter(task):
    molecules = [row["smiles"] for row in REFERENCE[:40]]
    assert values(task, molecules) == pytest.approx(values(task, [canonical(smiles) for smiles in molecules]))


def test_a_text_that_is_no_molecule_fails_alone():
    bad, good = oracle("jnk3").evaluate(["C1CC", "CCO"], keys=["a", "b"])
    assert (bad.error, bad.value, good.error) == ("invalid", None, None)


def test_each_task_is_a_measurement_of_its_own_that_names_its_version():
    oracles = [oracle(task) for task in TASKS]
    assert len({one.identity() for one in oracles}) == 23
    for one, task in zip(oracles, TASKS, strict=True):
        assert one.parts()["version"].startswith(f"{task}/tdc-1.1.15/rdkit-")
    assert oracle("qed").identity() == oracle("qed", chunk=5, timeout=9, cost=2).identity()


def test_a_call_costs_one_unit_and_is_for_molecules():
    assert oracle("qed").cost == 1.0
    assert oracle("qed").spaces == ("molecules",)


def test_an_unknown_task_is_refused_with_the_nearest_spelling():
    with pytest.raises(ComponentError, match=r"'zaleplon' is no task of PMO; .*Did you mean 'zaleplon_mpo'"):
        oracle("zaleplon")


def test_classifiers_that_were_changed_are_refused_and_the_other_tasks_go_on(tmp_path, monkeypatch):
    shipped = Path(classifiers.__file__).parents[2] / "data" / "resources"
    for name in ("pmo_classifiers.npz", "pmo_classifiers.json"):
        shutil.copy(shipped / name, tmp_path)
    (tmp_path / "pmo_classifiers.npz").write_bytes(b"other")
    monkeypatch.setattr(classifiers, "files", lambda package: tmp_path)
    tasks.task.cache_clear()
    with pytest.raises(ComponentError, match=r"pmo_classifiers.npz, .* Install the package again; the other 20 tasks"):
        oracle("gsk3b").check()
    oracle("qed").check()
