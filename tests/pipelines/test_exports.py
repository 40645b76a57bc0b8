"""Exports read back: every property, exact values, the same molecules; and no text becomes a formula."""

import csv
import io
import json
import math

import pandas as pd
import pytest
from rdkit import Chem

from data.tables.spreadsheets import original_text, safe_text, write_csv
from models.spaces.columns import COLUMNS
from models.spaces.molecule_exports import as_sdf, as_smi
from pipelines.exports import as_csv, as_json
from pipelines.inspection import exported
from tasks.workspace import Workspace

TEXTS = ["engine log\n$$$$\nend", "a\n\nb", "$$$$", ">  <value>", "", " blank ", '"quoted"', "=1+1", "Å \x1b[1m"]
MOLECULES = ["C[C@H](O)F", "C/C=C/C", "CC=CC", "[H]/N=C/C", "C[S@](=O)CC", "C1CCCCCC/C=C/CC1", "[13CH4]", "c1cc[nH]c1"]


def row(smiles: str = "CCO", **more):
    return dict.fromkeys(COLUMNS) | {"id": "m1", "smiles": smiles, "value": 0.1 + 0.2} | more


@pytest.mark.parametrize("text", TEXTS)
def test_no_text_breaks_an_sd_file(text):
    first, second = Chem.ForwardSDMolSupplier(io.BytesIO(as_sdf([row(message=text), row("CCN")]).encode()))
    assert Chem.MolToSmiles(second) == "CCN"
    assert float(first.GetProp("value")) == 0.1 + 0.2
    read = first.GetProp("message") if first.HasProp("message") else ""
    assert (json.loads(read) if read.startswith('"') else read) == text


@pytest.mark.parametrize("smiles", MOLECULES)
def test_molecules_read_back_with_their_stereochemistry(smiles):
    text = as_sdf([row(smiles)])
    (mol,) = Chem.ForwardSDMolSupplier(io.BytesIO(text.encode()))
    assert Chem.MolToSmiles(mol) == Chem.CanonSmiles(smiles)
    assert (text.splitlines()[3][12:15].strip() == "1") == ("[C@" in smiles or "[S@" in smiles)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'quoted", "plain"])
def test_no_text_is_a_formula_and_each_reads_back(text):
    (read,) = csv.DictReader(io.StringIO(as_csv([row(message=text, value=-1.5)]), newline=""))
    assert read["message"][0] not in "=+-@\t\r"
    assert original_text(read["message"]) == text
    assert read["value"] == "-1.5"
    assert safe_text(-1.5) == -1.5


@pytest.mark.parametrize(
    ("name", "format", "written"),
    [
        ("best.sdf", "table", as_sdf),
        ("best.JSON", "table", as_json),
        ("best.smi", "table", as_smi),
        ("best", "table", as_csv),
        ("best", "smi", as_smi),
        ("best.csv", "csv", as_csv),
    ],
)
def test_a_file_has_the_format_of_its_name_where_none_is_asked_for(finished, tmp_path, name, format, written):
    assert finished.discover("candidates", "finished", "--format", format, "--out", str(tmp_path / name)).exit == 0
    rows = exported(Workspace(finished.home), "finished")
    assert (tmp_path / name).read_text(encoding="utf-8") == written(rows)


@pytest.mark.parametrize(
    ("name", "format", "told"),
    [
        ("best.xlsx", "table", "its ending '.xlsx' names no format"),
        ("best.xlsx", "csv", "its ending '.xlsx' names no format"),
        ("best.csv.gz", "table", "its ending '.gz' names no format"),
        ("best.SDF", "csv", "its ending says sdf, and --format says csv"),
        ("best.csv", "smi", "its ending says csv, and --format says smi"),
    ],
)
def test_a_file_whose_ending_names_another_format_is_refused(finished, tmp_path, name, format, told):
    refused = finished.discover("candidates", "finished", "--format", format, "--out", str(tmp_path / name))
    assert refused.exit == 2
    assert told in refused.message
    assert ".csv, .json, .sdf, .smi" in refused.message
    assert not list(tmp_path.iterdir())


def test_a_smiles_file_reads_back_with_its_ids():
    supplier = Chem.SmilesMolSupplierFromText(as_smi([row(), row("CCN", id="m2")]), delimiter="\t", titleLine=False)
    assert [(Chem.MolToSmiles(mol), mol.GetProp("_Name")) for mol in supplier] == [("CCO", "m1"), ("CCN", "m2")]


@pytest.mark.parametrize("text", ["a;=1+1", "a\t@SUM(A1)", "a\n-1", "a;'=1", "x;''+1;-2", "=1;=2", "\t=1", "a;\t=1"])
@pytest.mark.parametrize("separator", [";", "\t"])
def test_no_text_is_a_formula_with_another_separator_either(text, separator):
    written = as_csv([row(message=text, error="x")])
    for line in io.StringIO(written).read().split("\n"):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in line.split(separator))
    (read,) = csv.DictReader(io.StringIO(written, newline=""))
    assert original_text(read["message"]) == text


@pytest.mark.parametrize("text", ["a\rb", "a\r\nb", "\r", "a;=1", "plain", "", 'say "x", y'])
def test_frames_are_written_so_that_every_text_reads_back(tmp_path, text):
    file = tmp_path / "refused.csv"
    write_csv(pd.DataFrame({"line": [1, 2], "text": [text, "CCO"], "value": [0.1 + 0.2, math.nan]}), file)
    first, second = csv.DictReader(io.StringIO(file.read_bytes().decode(), newline=""))
    assert original_text(first["text"]) == text
    assert (float(first["value"]), second) == (0.1 + 0.2, {"line": "2", "text": "CCO", "value": ""})
    table = pd.read_csv(file)
    assert len(table) == 2
    assert table["line"].tolist() == [1, 2]


def test_an_export_tells_labels_of_the_file_from_measurements():
    rows = [row(origin="imported"), row(origin="called")]
    assert [read["origin"] for read in csv.DictReader(io.StringIO(as_csv(rows)))] == ["imported", "called"]
