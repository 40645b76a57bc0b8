"""What the command line says of a data file: rows kept, merged and refused, and the commonest reasons."""

from pipelines.cli import EXIT_BAD_INPUT

LINE = (
    "10 rows read: 6 molecules kept (6 with a value), 1 rows merged into them, 3 refused: "
    "no valid SMILES (2); an isotope label (1)."
)
ROWS = ("CCO,1", "OCC,5", "c1cccn1,2", "[],3", "[2H]CC,4", "CCN,5", "CCC,6", "CCF,7", "CCCC,8", "CCCO,9")


def test_run_status_and_page_tell_what_became_of_the_rows(bench):
    bench.write_library(*ROWS, header="smiles,y")
    data = {"kind": "csv", "path": "library.csv", "value": "y", "initial": 0}
    bench.write_config(data=data, rounds=0, screens=[], space={"max_heavy_atoms": 12, "min_heavy_atoms": 1})
    told = bench.run()
    assert told.exit == 0, told.message
    assert LINE in told.message
    assert LINE in bench.discover("status", bench.config["name"]).message
    (page,) = bench.home.glob("campaigns/*/report/candidates.html")
    assert LINE in page.read_text(encoding="utf-8")


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
