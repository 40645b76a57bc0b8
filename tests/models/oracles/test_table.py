"""Look-up in a file: identity, replicates, and what is said of a molecule that is not there."""

import gzip

import pandas as pd
import pytest

from data.tables.readers import SourceError
from data.tables.shipped import labelled_library
from models.registry import ComponentError, build

TABLE = """smiles,value,other
CCO,1.5,10
C(O)C,2.5,20
CC(=O)[O-].[Na+],3.0,30
CCC,,40
CCN,high,50
c1ccccc1,4.0,60
not-a-molecule,5.0,70
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "values.csv"
    path.write_text(TABLE)
    return path


def lookup(path, **options):
    return build("oracle", {"kind": "table", "path": str(path), **options})


def ask(oracle, *molecules):
    return list(oracle.evaluate(molecules, keys=molecules))


def test_a_molecule_is_found_however_the_table_writes_it(table):
    assert [m.value for m in ask(lookup(table), "CC(=O)O", "c1ccccc1")] == [3.0, 4.0]


def test_replicates_are_averaged_or_chosen(table):
    assert ask(lookup(table), "CCO")[0].value == 2.0
    assert ask(lookup(table, replicate=1), "CCO")[0].value == 2.5
    (measurement,) = ask(lookup(table, replicate=2), "CCO")
    assert measurement.error == "missing"
    assert "lines 2, 3" in measurement.message


def test_what_is_missing_is_named_with_the_file_and_the_line(table):
    absent, empty, words = ask(lookup(table), "CCCC", "CCC", "CCN")
    assert [m.error for m in (absent, empty, words)] == ["missing"] * 3
    assert "values.csv has no row of CCCC among its" in absent.message
    assert "line 5: no value" in empty.message
    assert "line 6: 'high' is not a finite number" in words.message


def test_another_column_and_unit_can_be_named(table):
    oracle = lookup(table, value="other", unit="kJ/mol")
    assert ask(oracle, "CCC")[0].value == 40.0
    assert oracle.unit == "kJ/mol"


def test_each_tautomer_has_its_own_value(tmp_path):
    path = tmp_path / "dipoles.csv.gz"
    path.write_bytes(gzip.compress(b"smiles,value\nO=c1cccc[nH]1,5.11\nOc1ccccn1,2.28\n"))
    assert [m.value for m in ask(lookup(path), "Oc1ccccn1", "O=c1cccc[nH]1")] == [2.28, 5.11]


def test_a_value_is_not_given_to_another_tautomer(tmp_path):
    path = tmp_path / "dipoles.csv"
    path.write_text("smiles,value\nO=c1cccc[nH]1,5.11\n")
    assert ask(lookup(path), "Oc1ccccn1")[0].error == "missing"


def test_a_shipped_table_answers_its_own_molecules():
    oracle = build("oracle", {"kind": "table", "source": "electron_affinities"})
    shipped = labelled_library()
    some = shipped.iloc[:: len(shipped) // 20]
    assert [m.value for m in ask(oracle, *some.smiles)] == list(some.value)


def test_parquet_is_read_too(tmp_path):
    pd.DataFrame({"smiles": ["CCO", "CC"], "value": [1.0, None]}).to_parquet(tmp_path / "t.parquet")
    assert [m.error for m in ask(lookup(tmp_path / "t.parquet"), "CCO", "CC")] == [None, "missing"]


def test_the_content_is_part_of_the_version(table):
    before = lookup(table).version
    assert lookup(table, value="other").version != before
    table.write_text(TABLE.replace("1.5", "1.6"))
    assert lookup(table).version != before


def test_a_table_that_cannot_be_used_is_refused(table, tmp_path):
    with pytest.raises(SourceError, match=r"There is no file .*valuse\.csv\. Did you mean 'values\.csv'"):
        lookup(tmp_path / "valuse.csv").check()
    with pytest.raises(SourceError, match="has no column 'valeu'"):
        lookup(table, value="valeu").check()
    (tmp_path / "empty.csv").write_text("smiles,value\nCCO,\n")
    with pytest.raises(SourceError, match="no molecule with a value in its 1 row"):
        lookup(tmp_path / "empty.csv").prepare()
    (tmp_path / "list.smi").write_text("CCO\n")
    with pytest.raises(SourceError, match="values need a table"):
        lookup(tmp_path / "list.smi").check()


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("smiles,value,unit\nCCO,5,nM\nCCN,7,uM\n", {}, "in 2 units by the column 'unit'"),
        ("smiles,value,u\nCCO,5,nM\nCCN,7,uM\n", {"unit_column": "u"}, "Give `unit: nM`"),
        ("smiles;value\nCCO;1,5\nCCN;1.234\n", {"delimiter": ";"}, "decimal comma"),
        ("smiles,value\nCCO,\nnothing,5\n", {}, "no molecule with a value in its 2 rows"),
    ],
)
def test_what_cannot_be_loaded_is_found_by_the_check(tmp_path, text, options, told):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SourceError, match=told):
        lookup(tmp_path / "t.csv", **options).check()


def test_the_check_passes_over_the_units_of_rows_without_an_object(tmp_path):
    (tmp_path / "t.csv").write_text("smiles,value,unit\nCCO,5,nM\nnothing,7,uM\n")
    oracle = lookup(tmp_path / "t.csv")
    oracle.check()
    assert ask(oracle, "CCO")[0].value == 5


def test_one_source_is_named():
    with pytest.raises(ComponentError, match="give either `source`"):
        build("oracle", {"kind": "table"})
    with pytest.raises(ComponentError, match="no table named 'electron_afinities' is shipped"):
        build("oracle", {"kind": "table", "source": "electron_afinities"})


def test_config_round_trip(table):
    oracle = lookup(table, replicate=1)
    assert build("oracle", oracle.config()).config() == oracle.config()
    assert oracle.semantics == "pure"


def test_recorded_values_are_those_of_the_file_to_the_last_digit(tmp_path):
    path = tmp_path / "kd.csv"
    path.write_text("smiles,value\nCCO,3.2e-11\nCCN,4.7e-10\nCCC,2.5e-9\nCCCC,1.23456e-8\nCO,0.30000000000000004\n")
    measured = [m.value for m in ask(lookup(path), "CCO", "CCN", "CCC", "CCCC", "CO")]
    assert measured == [3.2e-11, 4.7e-10, 2.5e-9, 1.23456e-8, 0.30000000000000004]


@pytest.mark.parametrize(("rule", "value"), [("mean", 37.0), ("median", 10.0), ("geometric_mean", 10.0)])
def test_replicates_follow_the_rule_that_is_chosen(tmp_path, rule, value):
    path = tmp_path / "r.csv"
    path.write_text("smiles,value\nCCO,1\nOCC,10\nC(O)C,100\n")
    assert ask(lookup(path, replicate=rule), "CCO")[0].value == pytest.approx(value)


def test_bounds_and_other_units_are_no_values(tmp_path):
    path = tmp_path / "b.csv"
    path.write_text("smiles,value,Relation,Units\nCCO,1,=,nM\nCCN,2,>,nM\nCCC,>3,=,nM\nCCF,4,=,uM\nCCCl,5_1,=,nM\n")
    oracle = lookup(path, unit_column="Units", unit="nM")
    assert [m.error for m in ask(oracle, "CCO", "CCN", "CCC", "CCF", "CCCl")] == [None] + ["missing"] * 4
    with pytest.raises(SourceError, match="in 2 units"):
        lookup(path, unit_column="Units").prepare()


def test_a_table_reads_an_extension_as_a_data_source_does(tmp_path):
    path = tmp_path / "cx.tsv"
    path.write_text("smiles\tvalue\nOCCO |Sg:n:1,2,3::ht|\t1\nOCCO\t9\nO[C@H](Br)C |&1:1|\t2\nO[C@H](Br)C\t8\n")
    assert [m.value for m in ask(lookup(path), "OCCO", "O[C@H](Br)C")] == [9.0, 8.0]


@pytest.mark.parametrize("unit", [None, "nM"])
def test_values_in_several_units_are_not_answered_until_one_is_chosen(tmp_path, unit):
    path = tmp_path / "a.csv"
    path.write_text("smiles,value,units\nCCO,5,nM\nCCN,7,uM\nCCC,9,\n")
    with pytest.raises(SourceError, match=r"in 3 units by the column 'units' .*`unit_column`"):
        lookup(path, unit=unit).prepare()
    assert [m.value for m in ask(lookup(path, unit_column="units", unit="nM"), "CCO", "CCN")] == [5, None]
    path.write_text("smiles,value,units\nCCO,5,nM\nCCC,9,\n")
    assert ask(lookup(path), "CCC")[0].value == 9


def test_decimal_commas_are_read_where_the_option_says_so_and_make_no_thousandth(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("smiles;value\nCCO;1,5\nCCN;1.234\n")
    with pytest.raises(SourceError, match=r"Line 2 of a.csv has the value '1,5'.*line 3 has '1.234'.*thousandth"):
        lookup(path, delimiter=";").prepare()
    read = lookup(path, delimiter=";", decimal=",")
    assert [m.value for m in ask(read, "CCO", "CCN")] == [1.5, None]
    assert read.version != lookup(path, delimiter=";").version
    path.write_text("smiles;value\nCCO;1,5\nCCN;1.234\nCCC;0.5\n")  # 0.5 says that points are decimal here
    assert [m.value for m in ask(lookup(path, delimiter=";"), "CCO", "CCN")] == [None, 1.234]
