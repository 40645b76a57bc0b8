"""A start design and a library named apart in a campaign file: what is taken of each, what is said, what is refused."""

import json

import pandas as pd
import pytest
import yaml

from data.config import CampaignConfig, load_config
from pipelines.cli import EXIT_BAD_INPUT

START = ("CCO,1", "OCC,3", "CCN,5", "CCC,6", "CCF,7", "CCCC,8", "CCCO,", "CCOC,", "c1cccn1,2")
LIBRARY = ("CCO", "CCCN", "CCCF", "CCCCl", "CC(C)O", "CC(C)N", "CCCO", "[2H]CC", "CCOCC")
SOURCES = {
    "start": {"kind": "csv", "path": "start.csv", "value": "y"},
    "library": {"kind": "csv", "path": "library.csv"},
}


@pytest.fixture
def campaign(bench):
    (bench.folder / "start.csv").write_text("\n".join(["smiles,y", *START]) + "\n")
    bench.write_library(*LIBRARY)
    bench.write_config(
        data=SOURCES | {"initial": 2}, rounds=0, screens=[], space={"max_heavy_atoms": 12, "min_heavy_atoms": 1}
    )
    return bench


def prepared(bench):
    (folder,) = bench.home.glob("campaigns/*/round-000/prepare_data")
    return folder


def test_the_start_is_taken_as_a_whole_and_the_rest_drawn_of_the_library(campaign):
    told = campaign.run()
    assert told.exit == 0, told.message
    initial = pd.read_parquet(prepared(campaign) / "initial.parquet")
    start, drawn = initial[initial["source"] == "start"], initial[initial["source"] == "csv"]
    assert start["object"].tolist() == ["CCO", "CCN", "CCC", "CCF", "CCCC", "CCCO", "CCOC"]
    assert start["value"].tolist()[:5] == [2.0, 5.0, 6.0, 7.0, 8.0]
    assert len(drawn) == 2
    assert drawn["object"].isin({"CCCN", "CCCF", "CCCCl", "CC(C)O", "CC(C)N", "CCOCC"}).all()
    assert sorted(campaign.calls()) == sorted(["CCCO", "CCOC", *drawn["object"]])
    library = pd.read_parquet(prepared(campaign) / "library.parquet")
    assert library["object"].tolist()[:7] == start["object"].tolist()
    assert len(library) == 7 + 6
    assert {row["source"] for row in campaign.candidates()} == {"start", "csv"}


def test_it_is_said_where_each_came_from_and_what_is_in_both(campaign):
    told = campaign.run()
    lines = (
        "start (csv start.csv): 9 rows read: 7 molecules kept (5 with a value), 1 row merged into them, 1 refused: no "
        "valid SMILES (1).",
        "library (csv library.csv): 9 rows read: 8 molecules kept (0 with a value), 0 rows merged into them, 1 refused: "
        "an isotope label (1).",
        "2 molecules of the library are in the start design too, and count as such.",
    )
    (page,) = campaign.home.glob("campaigns/*/report/candidates.html")
    for line in lines:
        assert line in told.message
        assert line in campaign.discover("status", "tiny").message
        assert line in campaign.discover("validate", str(campaign.file)).message
        assert line in " ".join(page.read_text(encoding="utf-8").split())
    refused = pd.read_csv(prepared(campaign) / "refused.csv")
    assert refused[["source", "line", "text"]].values.tolist() == [["start", 10, "c1cccn1"], ["library", 9, "[2H]CC"]]


def test_both_sources_are_on_record_with_their_contents(campaign):
    campaign.run()
    report = json.loads((prepared(campaign) / "report.json").read_text())
    assert {name: told["source"] for name, told in report["sources"].items()} == SOURCES
    contents = [told["content"] for told in report["sources"].values()]
    assert all(len(content) == 64 for content in contents)
    assert report["shared"] == 2
    counts = (report["rows"], report["kept"], report["merged"], report["refused"])
    assert counts == (18, 13, 3, 2)


@pytest.mark.parametrize("file", ["start.csv", "library.csv"])
def test_a_source_that_changed_is_another_campaign(campaign, file):
    campaign.run()
    path = campaign.folder / file
    path.write_text(path.read_text() + ("CCS,4\n" if file == "start.csv" else "CCS\n"))
    told = campaign.run()
    assert told.exit != 0
    assert file in told.message


def test_what_the_screens_refuse_of_a_start_is_said_and_not_bought(campaign):
    campaign.write_config(screens=[{"kind": "property_range", "descriptor": "NumHDonors", "max": 0}])
    told = campaign.run()
    assert told.exit == 0, told.message
    assert "1 molecule of the start design is not measured, as the screens refuse it" in told.message
    assert "CCOC" in campaign.calls()
    assert "CCCO" not in campaign.calls()


def test_a_start_alone_and_a_library_alone_are_enough(campaign):
    campaign.write_config(name="start-alone", data={"start": SOURCES["start"]})
    assert campaign.run().exit == 0
    assert sorted(campaign.calls()) == ["CCCO", "CCOC"]
    campaign.write_config(name="library-alone", data={"library": SOURCES["library"], "initial": 4})
    assert campaign.run().exit == 0
    assert len(campaign.calls()) <= 2 + 4


def test_a_drawn_library_stands_beside_a_start(campaign):
    campaign.write_config(data=SOURCES | {"library": {"kind": "random", "size": 20}, "initial": 3})
    told = campaign.run()
    assert told.exit == 0, told.message
    assert "library (random): 20 molecules drawn from the space." in told.message
    assert len(campaign.calls()) == 2 + 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (SOURCES | {"kind": "csv"}, "start and library beside kind: either one source is named by `kind`"),
        ({"start": SOURCES["start"], "path": "library.csv"}, "start beside path"),
        ({"start": None, "library": None}, "start and library: null names no source"),
        ({"start": SOURCES["start"], "initial": 3}, "no `library` is named"),
        ({"start": "start.csv"}, "data.start: expected keys with values"),
        ({"start": {"path": "start.csv"}}, "a component is written {kind: name, option: value}"),
        ({"start": {"kind": "cvs", "path": "start.csv"}}, "Did you mean 'csv'?"),
        ({"start": {"kind": "csv", "path": "star.csv"}}, "Did you mean 'start.csv'?"),
        ({"start": {"kind": "csv", "path": "start.csv"}, "library": {"kind": "csv", "path": "none.csv"}}, "none.csv"),
        (
            {"library": {"kind": "csv", "path": "start.csv", "value": "y"}, "initial": 2},
            "5 molecules of data.library with a value; a library is of candidates",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_bought(campaign, data, message):
    campaign.write_config(data=data)
    for told in (campaign.discover("validate", str(campaign.file)), campaign.run()):
        assert told.exit == EXIT_BAD_INPUT
        assert message in told.message
    assert campaign.calls() == []


def test_a_start_beyond_the_budget_is_refused(campaign):
    campaign.write_config(budget={"calls": 3})
    told = campaign.run()
    assert told.exit == EXIT_BAD_INPUT
    assert "have 4 molecules to be measured, and budget.calls is 3" in told.message


def test_validate_reads_the_small_source_where_the_other_is_large(campaign):
    campaign.write_config(data=SOURCES | {"library": {"kind": "zinc250k"}})
    told = campaign.discover("validate", str(campaign.file))
    assert told.exit == 0, told.message
    assert "start (csv start.csv): 9 rows read" in told.message
    assert "The rows of the source zinc250k (library) were not read" in told.message


def test_a_campaign_file_reads_back_from_what_the_ledger_keeps_and_others_keep_their_identity(campaign):
    config = load_config(campaign.file)
    again = CampaignConfig.model_validate(config.to_json())
    assert (again.to_json(), again.identity()) == (config.to_json(), config.identity())
    campaign.write_config(data={"kind": "csv", "path": "library.csv"})
    plain = load_config(campaign.file)
    assert plain.to_json()["data"] == {"kind": "csv", "initial": 48, "path": "library.csv"}
    assert yaml.safe_load(campaign.file.read_text())["data"] == plain.sparse()["data"]
