"""The proxies of a campaign on the command line: versions, a table predicted row by row, refusals."""

import gzip
import io
import os
import signal
import time

import mlflow
import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from models.tails import quantile
from tasks.storage import load_proxy
from tests.conftest import LIBRARY, Bench, use


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tracking):
    """A campaign with a champion."""
    bench = Bench(tmp_path_factory.mktemp("trained"))
    bench.write_config(name="trained", rounds=2, data={"kind": "csv", "path": "library.csv", "initial": 12})
    # Round 1 buys so many that err so much that round 2 widens its intervals, beside the store that all share.
    bench.write_config(batch_size=24)
    bench.write_oracle("value(smiles) + (25 if calls() > 12 else 0)")
    with pytest.MonkeyPatch.context() as patch:
        use(bench, tracking, patch)
        patch.setattr("tasks.reporting.report.round_figures", lambda *_: {})
        assert bench.run("--set", "budget.calls=60").exit == 0
        assert "is the champion now" in bench.discover("retrain", "trained", "--plain").message
    return bench


@pytest.fixture
def champion(trained, tracking, monkeypatch):
    use(trained, tracking, monkeypatch)
    return trained


def predicted(bench, text, *more):
    file = bench.folder / "asked.csv"
    file.write_text(text)
    told = bench.discover("predict", "trained", str(file), *more)
    assert told.exit == 0, told.message
    return pd.read_csv(io.StringIO(told.out), dtype=str, keep_default_na=False)


def test_versions_are_listed_with_the_champion_and_what_became_of_them(champion):
    told = champion.discover("models", "trained").message
    assert "trained-proxy predicts score (a.u.)" in told
    assert "of a round" in told
    assert told.count("champion.") == 1
    assert "nothing to roll back" not in told
    refused = champion.discover("rollback", "trained")
    assert refused.exit == 2
    assert "There was no champion before version" in refused.message
    assert champion.discover("models", "nobody").exit == 2


def test_a_smiles_of_any_length_gets_a_note_and_ends_nothing(champion):
    table = predicted(champion, f"SMILES\n{'C' * 20_000}\nCCCO\n")
    assert table["note"].tolist() == ["20,000 characters, of a SMILES at most 2,000", ""]
    assert table["mean"].tolist()[0] == ""


def test_every_row_of_a_table_comes_back_with_its_columns_and_a_prediction_or_a_reason(champion):
    measured = champion.candidates()[0]["smiles"]
    table = predicted(champion, f"name,SMILES,price\na,{measured},1\nb,nonsense,\nc,,3\nd,OCCC,\ne,CCCO,5\n")
    assert table["name"].tolist() == ["a", "b", "c", "d", "e"]
    assert table["price"].tolist() == ["1", "", "3", "", "5"]
    assert table["note"].tolist()[1:3] == ["no valid SMILES", "empty"]
    assert table["mean"].tolist()[1:3] == ["", ""]
    assert table["measured"].tolist() == ["yes", "", "", "no", "no"]
    assert table.loc[3, ["mean", "std"]].tolist() == table.loc[4, ["mean", "std"]].tolist()
    for row in (0, 3):
        mean, low, high = (float(table.loc[row, name]) for name in ("mean", "low_90", "high_90"))
        assert low < mean < high
        assert 0 <= float(table.loc[row, "similarity"]) <= 1
        assert table.loc[row, "unit"] == "a.u."
    assert float(table.loc[0, "similarity"]) == 1.0


def test_what_is_outside_the_space_is_predicted_and_said(champion):
    table = predicted(champion, "smiles\nCCCCCCCCCCCCCCCCCCCC\n")
    assert table.loc[0, "mean"]
    assert table.loc[0, "note"] == "outside the space: more than 9 heavy atoms"


def test_a_table_with_columns_of_our_names_keeps_them(champion):
    table = predicted(champion, "smiles,mean\nCCCO,7\n")
    assert table.loc[0, "mean"] == "7"
    assert float(table.loc[0, "predicted_mean"]) != 7


def test_predictions_into_a_file_are_counted_and_written_over_nothing(champion):
    out = champion.folder / "predicted.csv"
    (champion.folder / "asked.csv").write_text("smiles\nCCCO\nnonsense\n")
    command = ("predict", "trained", str(champion.folder / "asked.csv"), "--out", str(out))
    told = champion.discover(*command)
    assert told.exit == 0, told.message
    assert "1 row predicted by version" in told.message
    assert "1 row not predicted; `note` says why" in told.message
    assert len(pd.read_csv(out)) == 2
    told = champion.discover(*command)
    assert told.exit == 2
    assert "which exists" in told.message


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("asked.csv", "--column", "nope"),
            "has no column 'nope'; it has 'smiles'. The column of the objects is named with --column",
        ),
        (("asked.csv", "--version", "99"), "There is no version '99' of campaign 'trained'"),
        (("nowhere.csv",), "There is no file"),
        (("asked.xlsx",), "does not tell what it is; expected one of .csv, .tsv, .parquet, .smi"),
        (("headless.csv",), "'CCO', is an object and no heading. Write a line 'smiles' above it"),
        (("rowless.csv",), "has no rows; expected an object in each"),
        (("latin.csv",), "is not UTF-8 text (invalid continuation byte in line 2); it may be Latin-1 or Windows-1252"),
        (("twice.csv",), "has several columns named 'a'"),
        (("again.csv",), "has columns named predicted_mean, as those that are added"),
        (("asked.smi", "--column", "name"), "has no columns of objects, so --column name means nothing"),
        (("asked.csv", "--out", "predicted.txt"), "Name a file that ends in .csv"),
        (("asked.csv", "--out", "nowhere/predicted.csv"), "Name a file in a folder that exists"),
    ],
)
def test_what_cannot_be_predicted_is_refused_in_a_sentence(champion, arguments, told, monkeypatch):
    files = {
        "asked.csv": "smiles\nCCCO\n",
        "asked.xlsx": "smiles\nCCCO\n",
        "headless.csv": "CCO\nCCCO\n",
        "rowless.csv": "smiles\n",
        "latin.csv": "name,smiles\nT\u00e4st,CCCO\n",
        "twice.csv": "smiles,a,a\nCCO,1,2\n",
        "again.csv": "smiles,mean,predicted_mean\nCCO,1,2\n",
        "asked.smi": "CCO ethanol\n",
    }
    for name, text in files.items():
        (champion.folder / name).write_bytes(text.encode("cp1252"))
    monkeypatch.chdir(champion.folder)
    out = () if "--out" in arguments else ("--out", "refused.csv")
    said = champion.discover("predict", "trained", *arguments, *out)
    assert said.exit == 2
    assert told in said.message
    assert not list(champion.folder.glob("*refused*")) + list(champion.folder.glob(".*partial*"))


def test_a_version_predicts_as_the_round_that_registered_it_did_and_as_the_model_in_mlflow(champion):
    (champion.folder / "asked.csv").write_text("\n".join(["smiles", *LIBRARY]) + "\n")
    told = champion.discover("predict", "trained", str(champion.folder / "asked.csv"), "--version", "2")
    table = pd.read_csv(io.StringIO(told.out))
    (folder,) = (file.parent for file in champion.home.rglob("round-002/train_proxy/proxy.pt"))
    assert (folder / "calibration.json").is_file()
    used = load_proxy(folder).predict(table["smiles"].tolist())
    assert table["mean"].to_numpy() == pytest.approx(used.mean, rel=1e-5, abs=1e-5)
    assert table["std"].to_numpy() == pytest.approx(used.std, rel=1e-5)
    half = quantile(np.array([0.95]), used.freedom)[..., 0] * used.std
    assert table["low_90"].to_numpy() == pytest.approx(used.mean - half, rel=1e-5, abs=1e-5)
    assert table["high_90"].to_numpy() == pytest.approx(used.mean + half, rel=1e-5, abs=1e-5)
    model = mlflow.pyfunc.load_model("models:/trained-proxy/2").predict(table[["smiles"]])
    assert model["mean"].to_numpy() == pytest.approx(used.mean)
    assert model["std"].to_numpy() == pytest.approx(used.std)


def test_damaged_files_of_a_version_are_told_as_such(champion):
    whole = {file: file.read_bytes() for file in champion.home.rglob("artifacts/train_proxy/proxy.json")}
    for file, content in whole.items():
        file.unlink()  # it is the same file as the store's
        file.write_bytes(content[:10])
    try:
        (champion.folder / "asked.csv").write_text("smiles\nCCCO\n")
        told = champion.discover("predict", "trained", str(champion.folder / "asked.csv"), "--version", "1")
    finally:
        for file, content in whole.items():
            file.write_bytes(content)
    assert told.exit == 2
    assert "The files of version 1 of trained-proxy are damaged" in told.message


def test_files_of_molecules_are_predicted_alike_and_keep_what_they_say(champion):
    folder, molecules = champion.folder, ["CCCO", "CCCF"]
    with gzip.open(folder / "asked.smi.gz", "wt") as file:
        file.write("# a comment\nCCCO propanol, dry\nCCCF\n")
    blocks = [Chem.MolToMolBlock(Chem.MolFromSmiles(smiles)) for smiles in molecules]
    blocks[0] = f"mol-0\n{blocks[0].partition(chr(10))[2]}"
    records = [f"{blocks[0]}> <vendor>\nA\n\n$$$$\n", f"{blocks[1]}> <vendor>\nB\n\n> <price>\n-7\n\n$$$$\n"]
    (folder / "asked.sdf").write_text("".join(records))
    pd.DataFrame({"Structure": molecules, "n": [1, 2]}).to_parquet(folder / "asked.parquet")
    (folder / "asked.tsv").write_text("Smiles\tname\nCCCO\t=1+1\nCCCF\t-2\n")
    (folder / "excel.csv").write_bytes("\ufeffname;SMILES;dose\nT\u00e4st;CCCO;-1,5\nb;CCCF;2,5\n".encode())
    means = []
    for name, more, kept in (
        ("asked.smi.gz", (), {"smiles": molecules, "name": ["propanol, dry", ""]}),
        ("asked.sdf", (), {"smiles": molecules, "name": ["mol-0", ""], "vendor": ["A", "B"], "price": ["", "-7"]}),
        ("asked.parquet", ("--column", "Structure"), {"Structure": molecules, "n": ["1", "2"]}),
        ("asked.tsv", (), {"Smiles": molecules, "name": ["'=1+1", "-2"]}),
        ("excel.csv", (), {"name": ["T\u00e4st", "b"], "SMILES": molecules, "dose": ["-1,5", "2,5"]}),
    ):
        told = champion.discover("predict", "trained", str(folder / name), *more)
        assert told.exit == 0, told.message
        table = pd.read_csv(io.StringIO(told.out), dtype=str, keep_default_na=False)
        assert {one: table[one].tolist() for one in table.columns[: len(kept)]} == kept
        means.append(table["mean"].tolist())
    assert means.count(means[0]) == 5
    assert "excel.csv: Cells are separated by ';'." in told.err


def test_rows_without_a_prediction_are_counted_beside_a_table_that_is_printed(champion):
    (champion.folder / "asked.csv").write_text("smiles\nnonsense\nCCCO\nnonsense\nCCCO\n")
    told = champion.discover("predict", "trained", str(champion.folder / "asked.csv"))
    assert told.exit == 0
    table = pd.read_csv(io.StringIO(told.out), keep_default_na=False, dtype=str)
    assert table["smiles"].tolist() == ["nonsense", "CCCO", "nonsense", "CCCO"]
    assert [bool(mean) for mean in table["mean"]] == [False, True, False, True]
    assert "2 rows predicted by version" in told.err
    assert "2 rows not predicted; `note` says why: 2 no valid SMILES." in told.err
    (champion.folder / "asked.csv").write_text("smiles\nnonsense\n")
    assert champion.discover("predict", "trained", str(champion.folder / "asked.csv")).exit == 2


def test_a_large_file_is_written_as_it_is_read_and_an_interruption_leaves_nothing(champion, warm, tracking):
    environment = {"DISCOVER_HOME": str(champion.home), "MLFLOW_TRACKING_URI": tracking}
    (champion.folder / "large.csv").write_text("smiles\n" + "CCCO\nnonsense\n" * 1_000_000)
    out = champion.folder / "large_predicted.csv"
    command = warm.start(("predict", "trained", str(champion.folder / "large.csv"), "--out", str(out)), environment)
    try:
        until = time.monotonic() + 50
        while sum(file.stat().st_size for file in champion.folder.glob(".large*")) < 100_000:
            assert time.monotonic() < until
            assert not command.has_ended, command.log.read_text()
            time.sleep(0.02)
        os.kill(command.pid, signal.SIGINT)
        assert "large_predicted.csv was not written. The same command begins anew." in command.ended()
    finally:
        command.kill()
    assert command.code == 130
    assert not list(champion.folder.glob("*large_predicted*"))


def test_a_campaign_without_a_champion_names_its_versions(finished):
    (finished.folder / "asked.csv").write_text("smiles\nCCCO\n")
    told = finished.discover("predict", "finished", str(finished.folder / "asked.csv"))
    assert told.exit == 2
    assert (
        "has no champion. `discover retrain finished` makes one, or name a version with --version: 1, 2" in told.message
    )


def test_a_retraining_that_nothing_asks_for_is_one_line(champion):
    before = champion.discover("models", "trained").out
    told = champion.discover("retrain", "trained", "--plain", "--when", "drift")
    assert told.exit == 0
    assert "The champion stays: 0 measurements since champion version" in told.message
    assert champion.discover("models", "trained").out == before
