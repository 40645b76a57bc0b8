"""Workspaces of earlier programs: what they hold is shown, taken over and gone on with."""

import csv
import io
import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import yaml

from data.objects import handle
from tasks.reporting.report import final_report
from tasks.stages import CampaignRef
from tests.conftest import Bench, use

ARCHIVE = Path(__file__).with_name("finished_4fc8956.tar.xz")
"""What commit 4fc8956, whose ledger has revision 0001, left of a campaign of one round, without pictures and MLflow."""

QED = {
    "CCCNC/C(Cl)=C/Cl": 0.634766129,
    "CSC(Cl)(Cl)C=CCl": 0.60409067,
    "Clc1cncc(Cl)c1Cl": 0.600895612,
    "Cn1cnc(Cl)c1Cl": 0.551492096,
    "CNC(=O)C(Cl)(Cl)Cl": 0.550430613,
    "N[C@@H]1CS(=O)(=O)C[C@H]1Cl": 0.490610977,
    "Nn1ncc2nc[nH]c21": 0.462487859,
    "ClC=CCl": 0.432798364,
    "CC(C)(C)OC(=O)CCl": 0.41908596,
    "NCCCCNC(=S)S": 0.322273382,
}
"""What it bought, best first, as its own `discover candidates` showed it."""


@pytest.fixture(scope="module")
def runs_of_old(tmp_path_factory):
    """A database of its own: the campaign is called as one of other tests is."""
    return f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}"


@pytest.fixture
def old(tmp_path, runs_of_old, monkeypatch):
    bench = Bench(tmp_path)
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    bench.config = yaml.safe_load(bench.file.read_text())
    use(bench, runs_of_old, monkeypatch)
    return bench


@pytest.fixture
def migrated(old):
    assert old.discover("doctor").exit == 0
    return old


def test_status_says_that_the_ledger_is_old_and_then_shows_the_campaign(old):
    told = old.discover("status")
    assert told.exit == 2
    assert "earlier discovery-flows (revision 0001" in told.message
    assert old.discover("doctor").exit == 0
    assert (old.home / "ledger.db.0001").is_file()
    told = old.discover("status")
    assert told.exit == 0, told.message
    assert "finished done 1 of 1 10 of 10 0.6348 0.5069" in told.message
    told = old.discover("status", "finished")
    assert "maximise score, 10 candidates" in told.message
    assert "0 6 0 0.6348 0.4948 (of 6) - -" in told.message
    assert (
        "1 10 0 0.6348 0.5069 0.55 (0.30 to 0.79), n 3 0.4625, n 1" in told.message
    )  # means of 3 and of 1 of the values


def test_candidates_are_shown_and_exported_in_every_format(migrated):
    def told(format):
        answer = migrated.discover("candidates", "finished", "--format", format)
        assert answer.exit == 0, answer.message
        return answer.out

    rows = json.loads(told("json"))
    assert [(row["smiles"], row["value"]) for row in rows] == list(QED.items())
    assert [row["id"] for row in rows] == [handle(smiles) for smiles in QED]
    assert {row["state"] for row in rows} == {"done"}
    table = list(csv.DictReader(io.StringIO(told("csv"))))
    assert [(row["smiles"], float(row["value"])) for row in table] == list(QED.items())
    assert told("smi") == "".join(f"{smiles}\t{handle(smiles)}\n" for smiles in QED)
    assert told("sdf").count("$$$$") == 10
    assert "0.6348" in told("table")


def test_the_page_is_made_anew(migrated):
    folder = Path(final_report.fn(CampaignRef(str(migrated.home), 1)))
    page = (folder / "candidates.html").read_text()
    assert all(smiles in page for smiles in QED)
    rows = json.loads((folder / "candidates.json").read_text())
    assert [(row["smiles"], row["value"]) for row in rows] == list(QED.items())


def test_nothing_is_bought_when_it_is_given_again_and_a_new_generation_takes_its_values_over(migrated):
    told = migrated.run()  # what its stages compute has another meaning today
    assert told.exit == 2
    assert "begin anew with --fresh" in told.message
    assert migrated.state() == "done"
    told = migrated.run("--fresh", "--set", "rounds=0")
    assert told.exit == 0, told.message
    rows = {row["smiles"]: (row["value"], row["origin"]) for row in migrated.candidates()}
    assert rows == {smiles: (value, "reused") for smiles, value in QED.items() if smiles in rows}
    assert len(rows) == 6


NEWER = (
    ("oracle_calls", "outputs"),
    ("oracle_calls", "entered"),
    ("oracle_calls", "told_by"),
    ("candidates", "predicted"),
)


def test_a_campaign_begun_when_objects_were_called_smiles_goes_on_without_buying_twice(bench, monkeypatch):
    with monkeypatch.context() as patch:
        for name in ("to_parquet", "to_csv"):
            patch.setattr(pd.DataFrame, name, _as_smiles(getattr(pd.DataFrame, name)))
        assert bench.run().exit == 0
    (batch,) = bench.home.glob("campaigns/tiny/round-001/select_batch/batch.parquet")
    assert "smiles" in pd.read_parquet(batch)
    with closing(sqlite3.connect(bench.home / "ledger.db")) as ledger:
        for table in ("candidates", "oracle_calls"):
            ledger.execute(f"ALTER TABLE {table} RENAME COLUMN object TO smiles")
        ledger.execute("ALTER TABLE oracle_calls RENAME COLUMN part TO fidelity")
        for table, column in NEWER:
            ledger.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        ledger.execute("DROP TABLE revisions")
        ledger.execute("UPDATE alembic_version SET version_num = '0004'")
        ledger.commit()
    told = bench.run("--set", "rounds=2")
    assert told.exit == 0, told.message
    assert (bench.home / "ledger.db.0004").is_file()
    assert len(bench.calls()) == len(set(bench.calls())) == 8 + 4 + 4
    bought = [(row["smiles"], row["value"], row["round"]) for row in bench.candidates()]
    bench.write_config(name="whole", rounds=2)
    assert bench.run().exit == 0
    assert [(row["smiles"], row["value"], row["round"]) for row in bench.candidates()] == bought
    assert len(bench.calls()) == 16


def _as_smiles(write):
    """Return what writes a table as the stages did then: the texts of objects in the column `smiles`."""
    return lambda table, *given, **options: write(table.rename(columns={"object": "smiles"}), *given, **options)
