"""What the command line says of a data file: rows kept, merged and refused, and the commonest reasons."""

import pytest

from data.ledger.campaigns import LedgerError
from pipelines.cli import EXIT_BAD_INPUT

LINE = (
    "10 rows read: 6 molecules kept (6 with a value), 1 row merged into them, 3 refused: "
    "no valid SMILES (2); an isotope label (1)."
)
ROWS = ("CCO,1", "OCC,5", "c1cccn1,2", "[],3", "[2H]CC,4", "CCN,5", "CCC,6", "CCF,7", "CCCC,8", "CCCO,9")


def test_run_status_and_page_tell_what_became_of_the_rows(bench):
    bench.write_library(*ROWS, header="smiles,y")
    data = {"kind": "csv", "path": "library.csv", "value": "y", "initial": 0}
    bench.write_config(data=data, rounds=0, screens=[], space={"max_heavy_atoms": 12, "min_heavy_atoms": 1})
    told = bench.run()
    assert told.exit == 0, told.message
    assert told.out.startswith("Campaign    tiny: loading")
    assert LINE in told.message.partition("round 0 measure")[0]  # before anything is bought
    assert told.message.count(LINE) == 1
    assert LINE in bench.discover("status", bench.config["name"]).message
    (page,) = bench.home.glob("campaigns/*/report/candidates.html")
    assert LINE in page.read_text(encoding="utf-8")
    (refused,) = bench.home.glob("campaigns/*/*/*/refused.csv")
    place = f"data The refused rows, each with its reason: {refused}"
    assert place in told.message
    assert place in bench.discover("status", bench.config["name"]).message
    assert "each with its reason: round-000/prepare_data/refused.csv in" in page.read_text(encoding="utf-8")
    assert len(refused.read_text().splitlines()) == 4


def test_values_in_two_units_are_refused_before_anything_is_bought(bench):
    bench.write_library(*(f"{row},{'nM' if i % 2 else 'uM'}" for i, row in enumerate(ROWS)), header="smiles,y,u")
    bench.write_config(data={"kind": "csv", "path": "library.csv", "value": "y", "unit_column": "u", "initial": 0})
    told = bench.run()
    assert told.exit == EXIT_BAD_INPUT
    assert "in 2 units" in told.message
    assert bench.calls() == []


def test_a_vocabulary_counts_the_rows_that_it_cannot_read(bench):
    file = bench.folder / "list.smi"
    toluenes = "".join(f"{'C' * n}c1ccccc1\n" for n in range(1, 12))
    file.write_text(f"{toluenes}*CC |$R1;;$|\nrubbish\n")
    told = bench.discover("vocabulary", str(file), "--out", str(bench.folder / "v.json"), "--min-count", "1")
    assert told.exit == 0, told.message
    assert "2 rows of list.smi were refused" in told.message
    assert "an R-group, an attachment point or an unknown atom (*) (1)" in told.message


MANY = [f"{'C' * n}O,{n}" for n in range(3, 9)]


@pytest.mark.parametrize(
    ("rows", "changes", "told"),
    [
        (MANY, {"data": {"initial": 1}}, "only 0 unlabelled ones"),
        (MANY[:2], {"data": {"initial": 0}}, "begin with 2 measured molecules; a proxy needs at least"),
        ([f"{'C' * n}O," for n in range(3, 9)], {"data": {"initial": 7}}, "only 6 unlabelled ones"),
        ([f"{'C' * n}O," for n in range(3, 9)], {"data": {"initial": 0}}, "There is nothing to measure"),
        (["[],1", "c1cccn1,2", "CCO,3"], {"data": {"initial": 0}}, "Give more molecules with values. 2 of 3 rows read"),
        (["[],1", "CCO,3"], {"data": {"initial": 0}}, "1 of 2 rows read were refused: line 2 ('[]'): no valid SMILES."),
        (
            ["[],1", "CCO,3"],
            {"data": {"initial": 2}},
            "pass the screens. Give more molecules: a campaign begins with at least 6",
        ),
        (["CCO,1", *(f"{'C' * n}," for n in range(1, 6))], {"data": {"initial": 0}}, "Set data.initial to 5 at least"),
        (["[],1", "c1cccn1,2"], {"data": {"initial": 0}}, "All 2 rows of the data source 'csv' were refused"),
        (MANY, {"space": {"elements": ["H", "C", "o"]}}, "'o' is no symbol of an element"),
        (MANY, {"space": {"elements": ["H", "C", "CL"]}}, "Did you mean 'Cl'?"),
        (MANY, {"seed": -1}, "seed: "),
    ],
)
def test_what_run_would_refuse_validate_refuses_too_and_no_campaign_is_left(bench, rows, changes, told):
    bench.write_library(*rows, header="smiles,y")
    source = {"kind": "csv", "path": "library.csv", "value": "y", "initial": 0}
    space = {"max_heavy_atoms": 12, "min_heavy_atoms": 1}
    bench.write_config(screens=[], space=space | changes.pop("space", {}), data=source | changes.pop("data", {}))
    bench.write_config(**changes)
    validated, ran = bench.discover("validate", str(bench.file)), bench.run()
    assert (validated.exit, ran.exit) == (EXIT_BAD_INPUT, EXIT_BAD_INPUT)
    assert told in validated.message
    assert validated.err == ran.err
    assert "No campaign yet" in bench.discover("status").message
    assert bench.calls() == []


def test_validate_tells_what_becomes_of_the_rows_and_says_where_it_did_not_look(bench, monkeypatch):
    bench.write_library(*ROWS, header="smiles,y")
    data = {"kind": "csv", "path": "library.csv", "value": "y", "initial": 0}
    bench.write_config(data=data, screens=[], space={"max_heavy_atoms": 12, "min_heavy_atoms": 1})
    told = bench.discover("validate", str(bench.file))
    assert told.exit == 0, told.message
    assert LINE in told.message
    monkeypatch.setattr("pipelines.validation.LARGEST_READ", 10)
    told = bench.discover("validate", str(bench.file))
    assert LINE not in told.message
    assert "The rows of the source 'csv' were not read" in told.message


def test_where_no_campaign_is_known_the_reason_is_told():
    told = str(LedgerError.no_campaign("x", set()))
    assert "it has no campaign at all. A run that ended while it was loading leaves none, and bought nothing." in told
    assert "it has a, b. A run" in str(LedgerError.no_campaign("x", {"b", "a"}))
