"""What somebody meets who tries the program with a file of their own: what is lost is said, and how to mend it."""

import json

import pandas as pd
import pytest

from pipelines.api import Campaign
from pipelines.cli import EXIT_BAD_INPUT

ACID, SALT = "OC(=O)c1ccccc1", "[Na+].[O-]C(=O)c1ccccc1"
OTHERS = [("CCO", 1), ("CCN", 2), ("CCC", 3), ("CCF", 4), ("CCCC", 5), ("CCCO", 6)]


@pytest.fixture
def own(bench):
    """A campaign over a file of the user's with values."""
    bench.write_config(
        space={"max_heavy_atoms": 12, "min_heavy_atoms": 1, "elements": ["H", "C", "N", "O", "F", "Cl"]},
        data={"kind": "csv", "path": "library.csv", "value": "y"},
        screens=[],
        rounds=0,
    )
    return bench


def write(bench, *rows, header="smiles,y", mark=","):
    bench.write_library(*(f"{smiles}{mark}{value}" for smiles, value in rows), header=header)


def validated(bench, *arguments):
    return bench.discover("validate", str(bench.file), *arguments)


def value_of(bench, smiles):
    (row,) = [row for row in bench.candidates() if row["smiles"] == smiles]
    return row


@pytest.mark.parametrize("rows", [[(ACID, -1.55), (SALT, 0.5)], [(SALT, 0.5), (ACID, -1.55)]])
def test_a_salt_does_not_change_the_value_of_the_free_acid_and_its_line_is_named(own, rows):
    write(own, *rows, *OTHERS)
    line = 2 + rows.index((SALT, 0.5))
    told = "1 value of other forms (salts, solvates, ions) of 1 molecule was not used, as another species has another "
    named = f"line {line}, {SALT} (0.5; kept -1.55 for O=C(O)c1ccccc1)"
    for answer in (validated(own), own.run(), own.discover("status", "tiny")):
        assert told in answer.message
        assert named in answer.message
    assert value_of(own, "O=C(O)c1ccccc1")["value"] == -1.55
    (file,) = own.home.glob("campaigns/*/round-000/prepare_data/merged.csv")
    assert str(file) in own.discover("status", "tiny").message
    listed = pd.read_csv(file).set_index("line")
    assert listed["used"][line] == "no: another form, written with counter-ions or solvent, which were taken off"
    assert listed["used"][5 - line] == "yes"
    (page,) = own.home.glob("campaigns/*/report/candidates.html")
    assert "line " + str(line) in page.read_text(encoding="utf-8")


def test_of_salts_without_their_parent_the_first_one_counts_and_repeated_rows_of_it_are_replicates(own):
    write(own, (SALT, 1), ("[K+].[O-]C(=O)c1ccccc1", 9), (SALT, 2), *OTHERS)
    assert "line 3, [K+]" in own.run().message
    assert value_of(own, "O=C(O)c1ccccc1")["value"] == 1.5


def test_a_value_of_another_form_alone_is_marked_on_the_candidate_listed_and_named_with_its_line(own):
    others = [row for row in OTHERS if row[0] not in ("CCN", "CCCO")]
    write(own, ("CCC=O", ""), *others, ("CCCO.O", 9), ("CCN", ""), ("CCN.Cl", 5), ("CCCCN", "<1"), ("CCCCN.Br", 2),
          ("CCCCCN.Cl", 1))  # fmt: skip
    own.config["data"] |= {"initial": 1}
    own.config["space"]["elements"].append("Br")
    own.write_config()
    lines = {row[0]: at for at, row in enumerate([("",), ("CCC=O",), *others, ("CCCO.O",), ("CCN",), ("CCN.Cl",),
             ("CCCCN",), ("CCCCN.Br",)], 1)}  # fmt: skip
    named = "; ".join(f"line {lines[form]}, {form}" for form in ("CCCO.O", "CCN.Cl", "CCCCN.Br"))
    assert f"the value stands for the molecule that is left ({named}; and 1 more)" in validated(own).message
    assert own.run().exit == 0
    assert value_of(own, "CCCO")["message"] == f"value of CCCO.O as written in line {lines['CCCO.O']}"
    assert value_of(own, "CCN")["message"] == f"value of CCN.Cl as written in line {lines['CCN.Cl']}"
    told = value_of(own, "CCCCN")["message"]
    assert told.startswith(f"value of CCCCN.Br as written in line {lines['CCCCN.Br']}; ")
    assert f"its own row, line {lines['CCCCN']}, was refused: the value '<1' is a bound" in told
    (file,) = own.home.glob("campaigns/*/round-000/prepare_data/merged.csv")
    listed = pd.read_csv(file).set_index("line")
    assert listed["used"][lines["CCN.Cl"]].startswith("yes: another form, written with counter-ions")
    assert listed["used"][lines["CCCCN"]].startswith("no: refused: the value '<1'")
    frame = Campaign.load("tiny", own.home).measurements().set_index("object")
    assert frame["message"]["CCN"].startswith("value of CCN.Cl")


def test_a_table_that_is_looked_up_does_not_average_a_salt_with_its_acid_either(own):
    (own.folder / "values.csv").write_text(f"smiles,value\n{SALT},0.5\n{ACID},-1.55\n")
    write(own, (ACID, ""), *OTHERS)
    own.write_config(objectives=[{"name": "affinity", "oracle": {"kind": "table", "path": "values.csv"}}])
    assert "line 2, [Na+]" in own.run().message
    assert value_of(own, "O=C(O)c1ccccc1")["value"] == -1.55


def test_the_value_of_repeated_rows_says_of_how_many_it_is_made_and_the_furthest_apart_are_named(own):
    doubled = [row for smiles, value in OTHERS for row in ((smiles, value), (smiles, value + value))]
    write(own, *doubled)
    told = own.run().message
    assert "The replicates of 6 molecules differ; their mean was kept." in told
    assert "Furthest apart: lines 12 and 13, CCCO (6 to 12, kept 9); lines 10 and 11" in told
    assert "; and 3 more." in told
    assert value_of(own, "CCO")["message"] == "made of 2 values that came with the data, lines 2, 3"
    frame = Campaign.load("tiny", own.home).measurements().set_index("object")
    assert frame["message"]["CCCO"] == "made of 2 values that came with the data, lines 12, 13"


def test_a_value_column_that_is_lost_altogether_is_an_error_with_the_option_that_mends_it_first(own):
    write(own, *((smiles, f"{value},5") for smiles, value in OTHERS), header="smiles;y", mark=";")
    own.config["data"] |= {"delimiter": ";"}
    own.write_config()
    for told in (validated(own), own.run()):
        assert told.exit == EXIT_BAD_INPUT
        mend = 'Give the option `decimal: ","`: the values have decimal commas. Every one of the 6 values'
        assert mend in told.message
    assert own.calls() == []
    assert validated(own).message.startswith("Give the option")
    assert validated(own, "--set", "data.decimal=','").exit == 0


def test_most_values_lost_is_a_warning_that_cannot_be_missed(own):
    write(own, *OTHERS, *((f"{smiles}C", ">10") for smiles, _ in OTHERS), ("CCCCCN", "<1"))
    told = validated(own)
    assert told.exit == 0
    assert "MOST VALUES ARE LOST: 7 of 13 are refused." in told.message


def test_molecules_of_the_file_that_nothing_measures_are_counted_and_how_to_have_them_is_said(own):
    write(own, *OTHERS, *((f"CC{smiles}", "") for smiles, _ in OTHERS))
    own.config["data"] |= {"initial": 2}
    own.write_config()
    told = (
        "Of 6 molecules without a value, the initial design (round 0) measures 2 (`data.initial`); the other 4 are left"
    )
    for answer in (validated(own), own.run(), own.discover("status", "tiny")):
        assert told in answer.message
        assert "`generator: {kind: pool, path: library.csv}`" in answer.message
        assert "`data.initial: 6`" in answer.message
    own.write_config(generator={"kind": "pool", "path": "library.csv", "proposals": 20})
    assert "the generator reads the same file and may propose the other 4" in validated(own).message


def test_a_file_in_which_every_row_has_a_value_needs_no_key_initial(own):
    write(own, *OTHERS)
    own.write_config(budget={"calls": 40})
    assert validated(own).exit == 0
    assert own.run().exit == 0
    assert own.calls() == []
    assert own.run().exit == 0  # the same command goes on


def test_a_file_with_fewer_unmeasured_molecules_than_the_default_has_all_of_them_measured_first(own):
    write(own, *OTHERS, ("CCCCO", ""), ("CCCCN", ""))
    assert own.run().exit == 0
    assert sorted(own.calls()) == ["CCCCN", "CCCCO"]


def test_a_budget_below_the_default_design_names_the_key_the_default_and_what_to_write(own):
    write(own, *((f"{'C' * n}{end}", "") for n in range(1, 9) for end in ("O", "N", "F", "Cl", "C#N", "C=O", "OC")))
    own.write_config(budget={"calls": 40})
    told = validated(own)
    assert told.exit == EXIT_BAD_INPUT
    assert "48 is the default of `data.initial`, which the file does not give" in told.message
    assert "`initial: 0`" in told.message


def test_validate_shows_the_planned_cost_and_both_budgets(bench):
    bench.write_config(objectives=[{"name": "yield", "oracle": {"kind": "laboratory", "cost": 120}}])
    bench.write_config(budget={"cost": 2400.0})
    told = " ".join(validated(bench).message.split())
    assert "oracle calls 12 planned, no limit in `budget`" in told
    assert "cost 1440 planned, 120 each, budget 2400" in told


def test_an_arm_that_waits_for_its_values_is_said_to_and_not_to_be_missing(bench):
    bench.write_config(name="lab", objectives=[{"name": "yield", "oracle": {"kind": "laboratory"}}])
    bench.run()
    rows = json.loads(bench.discover("candidates", "lab", "--format", "json").out)
    file = bench.folder / "results.csv"
    file.write_text("id,yield\n" + "".join(f"{row['id']},{k}\n" for k, row in enumerate(rows)))
    bench.discover("tell", "lab", str(file))
    told = bench.run().message
    assert "Round 1: 0 of 4" in told
    assert "The control arm is not measured yet" in told
    assert "There is no control arm" not in told


def test_told_values_that_look_wrong_are_taken_and_remarked_on_with_their_line(bench):
    oracle = {"kind": "laboratory", "outputs": {"yield": "%"}}
    bench.write_config(name="lab", objectives=[{"name": "yield", "oracle": oracle}])
    bench.run()
    rows = json.loads(bench.discover("candidates", "lab", "--format", "json").out)
    values = ["430", "0.495", "80 %", 41, 52, 63, 74, 55]
    file = bench.folder / "results.csv"
    file.write_text("id,yield\n" + "".join(f"{row['id']},{v}\n" for row, v in zip(rows, values, strict=True)))
    told = bench.discover("tell", "lab", str(file)).message
    assert "Line 2: yield 430.0 % is outside 0 to 100 %. It was taken as it is" in told
    assert "Line 3: yield 0.4950 % may be a share of one, which is 49.50 %" in told
    assert "Line 4" not in told
    assert "8 answers taken. 0 left to measure." in told


@pytest.mark.parametrize(
    ("content", "changes", "told"),
    [
        (b"smiles,y\nCCO,1\nCCN,=70+1\n", {}, "is a formula, which is not computed; write the number it gives"),
        (b"smiles,y\nCCO,1\nCCN,80 %\n", {}, "it has a percent sign, and the values have another unit or none"),
        (b"smiles,y\nCCO,1\n", {"delimiter": ";"}, 'The option `delimiter: ";"` is wrong for'),
        (b"PK\x03\x04\x14\0\0\0", {}, "is a workbook of a spreadsheet program (such as .xlsx)"),
    ],
)
def test_what_people_write_and_save_is_refused_by_its_own_name(own, content, changes, told):
    (own.folder / "library.csv").write_bytes(content)
    own.config["data"] |= changes | {"initial": 0}
    own.write_config()
    assert told in validated(own).message


def test_a_key_in_the_wrong_section_is_told_where_it_belongs(bench):
    bench.write_config(tolerated_failure_rate=0.8)
    told = validated(bench)
    assert told.exit == EXIT_BAD_INPUT
    assert "'tolerated_failure_rate' belongs to each element of `objectives`: move it there." in told.message


def test_a_run_that_goes_on_says_which_stages_are_already_done(bench):
    bench.write_config(rounds=0)
    first = " ".join(bench.run().message.split())
    assert "round 0 prepare data" in first
    assert "already done" not in first
    again = " ".join(bench.run().message.split())
    assert "round 0 prepare data: already done" in again
    assert "round 0 measure: already done" in again
