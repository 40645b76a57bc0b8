"""Campaigns over process conditions and over the rows of a table, as they are shipped."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.conftest import Bench

CAMPAIGNS = Path(__file__).resolve().parent.parent.parent / "campaigns"


@pytest.fixture
def shipped(bench):
    """A shipped campaign, in a folder of its own."""

    def copied(name):
        shutil.copytree(CAMPAIGNS / name, bench.folder, dirs_exist_ok=True)
        return Bench(bench.folder, yaml.safe_load((CAMPAIGNS / name / "campaign.yaml").read_text()))

    return copied


def test_process_conditions_are_bought_from_a_sobol_design_and_shown_by_name(shipped):
    process = shipped("process")
    told = process.run("--set", "rounds=1", "--set", "batch_size=2", "--set", "data.initial=8")
    assert told.exit == 0, told.message
    rows = process.candidates()
    assert len(rows) == 10
    design = [row for row in rows if row["round"] == 0]
    assert {row["solvent"] for row in design} == {"water", "ethanol", "toluene", "dmf"}
    assert all(0 <= row["value"] <= 88.23 for row in rows)
    page = (process.home / "campaigns" / "process" / "report" / "candidates.html").read_text()
    assert rows[0]["vector"] in page
    assert "SMILES" not in page


def test_rows_of_a_table_are_bought_once_each(shipped):
    rows = shipped("rows")
    told = rows.run("--set", "rounds=1", "--set", "generator={kind: genetic, generations: 2, proposals: 50}")
    assert told.exit == 0, told.message
    bought = rows.candidates()
    assert len(bought) == len({row["alloy"] for row in bought}) == 16
    assert {row["alloy"][0] for row in bought} == {"A"}
    page = (rows.home / "campaigns" / "rows" / "report" / "candidates.html").read_text()
    assert "ageing_h" in page
    assert "density" not in page


@pytest.mark.slow
def test_conformers_are_proposed_measured_and_exported_with_their_geometries(shipped):
    conformers = shipped("conformers")
    few = ["rounds=1", "batch_size=3", "data.initial=6", "generator.steps=10", "generator.proposals=20"]
    told = conformers.run(*(part for change in few for part in ("--set", change)))
    assert told.exit == 0, told.message
    rows = conformers.candidates()
    assert len(rows) == 9
    assert {row["unit"] for row in rows} == {"kcal/mol"}
    assert all(-180 < row["phi"] <= 180 and row["phi"] % 5 == 0 for row in rows)
    page = (conformers.home / "campaigns" / "conformers" / "report" / "candidates.html").read_text()
    assert rows[0]["conformer"] in page
    exported = conformers.discover("candidates", "conformers", "--format", "sdf")
    assert exported.out.count("$$$$") == 9
    assert "RDKit          3D" in exported.out


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("process", "space.variables.temperature=[120, 20]", "the range of 'temperature' goes from 120 to 20"),
        ("process", "proxy={kind: gaussian_process, features: morgan_counts}", "The featuriser 'morgan_counts' is for"),
        ("conformers", "space.smiles=CC(=O)NC(C)C(=O)NC", "leaves open atom 4"),
        ("conformers", "space={kind: torsions, smiles: CCB(C)CC}", "needs MMFF94 parameters"),
        ("rows", "space.columns=[Si, silver]", "has no column 'silver'"),
        ("rows", "space.key=ageing_h", "the column 'ageing_h' is named twice"),
        ("rows", "space.path=none.csv", "There is no file"),
    ],
)
def test_a_space_that_cannot_be_is_refused_before_anything_is_bought(shipped, name, change, told):
    bench = shipped(name)
    refused = bench.discover("validate", str(bench.file), "--set", change)
    assert refused.exit == 2, refused.message
    assert told in refused.message
