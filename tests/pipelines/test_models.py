"""The proxies of a campaign on the command line: versions, a table predicted row by row, refusals."""

import io

import pandas as pd
import pytest

from tests.conftest import Bench, use


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tracking):
    """A campaign with a champion."""
    bench = Bench(tmp_path_factory.mktemp("trained"))
    bench.write_config(name="trained", rounds=2, data={"kind": "csv", "path": "library.csv", "initial": 12})
    with pytest.MonkeyPatch.context() as patch:
        use(bench, tracking, patch)
        patch.setattr("tasks.reporting.report.round_figures", lambda *_: {})
        assert bench.run("--set", "budget.calls=30").exit == 0
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
        (("asked.csv", "--column", "nope"), "has no column 'nope' of objects; it has smiles"),
        (("asked.csv", "--version", "99"), "There is no version '99' of campaign 'trained'"),
        (("nowhere.csv",), "There is no file"),
    ],
)
def test_what_cannot_be_predicted_is_refused_in_a_sentence(champion, arguments, told):
    (champion.folder / "asked.csv").write_text("smiles\nCCCO\n")
    said = champion.discover("predict", "trained", str(champion.folder / arguments[0]), *arguments[1:])
    assert said.exit == 2
    assert told in said.message


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
