"""Columns beside the values: a bound or another unit is never taken for an exact value because nobody named a column."""

import pandas as pd
import pytest

from models.oracles.table import Table
from models.sources.base import read_source
from models.spaces.molecules import Molecules

SPACE = Molecules(max_heavy_atoms=40, min_heavy_atoms=1, elements=("H", "C", "N", "O"))
MOLECULES = ("CCO", "CCCO", "CCN", "CCCN", "CCCC", "CCC")


def as_csv(folder, table):
    table.to_csv(folder / "a.csv", index=False)


def as_parquet(folder, table):
    table.to_parquet(folder / "a.parquet")


def as_sdf(folder, table):
    text = ""
    for row in table.to_dict("records"):
        items = "".join(f">  <{name}>\n{cell}\n\n" for name, cell in row.items())
        text += f"\n\n\n  0  0  0  0  0  0            999 V2000\nM  END\n{items}$$$$\n"
    (folder / "a.sdf").write_text(text)


WRITERS = {"csv": as_csv, "parquet": as_parquet, "sdf": as_sdf}


def exact(folder, kind, columns, **options):
    """Return the values that are taken: those of the source, which are those of the table oracle."""
    table = pd.DataFrame({"smiles": MOLECULES[: len(columns["y"])], **columns})
    WRITERS[kind](folder, table)
    source = {"kind": kind, "path": f"a.{kind}", "smiles": "smiles", "value": "y", **options}
    library = read_source(source, base=folder, space=SPACE)
    taken = dict(zip(library.frame["object"], library.frame["value"], strict=True))
    oracle = Table(path=folder / f"a.{kind}", smiles="smiles", value="y", **options)
    for smiles in table["smiles"]:
        (answer,) = oracle.evaluate([smiles], keys=["k"])
        assert answer.value == taken.get(smiles)
    return taken, library


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    "columns",
    [
        {"relation": (">", "=", "<"), "operator": ("Anna", "Bea", "Anna")},
        {"IC50 qualifier": ("<", "=", ""), "Ki qualifier": ("", "=", ">")},
        {"sign": (">", "=", "~")},
        {"comparator": ("gt", "=", "less than")},
        {"rel": ("≥", "==", "≤")},
        {"<>": ("<", "=", ">")},
        {"column 7": (">=", "'='", "'>'")},
        {"a": ("", "=", "<"), "b": (">", "", "")},
        {"operator": ("at most", "Anna Long", "greater than")},
        {"notes": ("greater than", "greater than ever", "lt")},
    ],
)
def test_a_cell_that_is_a_sign_makes_its_row_a_bound_whatever_its_column_is_called(tmp_path, kind, columns):
    taken, library = exact(tmp_path, kind, {"y": (10, 5, 7), **columns})
    assert taken == {"CCCO": 5}
    assert all("is a bound or an estimate" in refusal.reason for refusal in library.refused)


def test_the_refusal_names_the_column_and_the_option_that_names_another(tmp_path):
    _, library = exact(tmp_path, "csv", {"y": (1, 2), "sign": (">", "="), "trend": ("=", "=")})
    assert "in the column 'sign'" in library.refused[0].reason
    assert "option `relation`" in library.refused[0].reason
    taken, _ = exact(tmp_path, "csv", {"y": (1, 2), "sign": (">", "="), "trend": ("=", "=")}, relation="trend")
    assert taken == {"CCO": 1, "CCCO": 2}


def test_a_column_that_is_named_after_the_values_is_theirs_and_no_other_is_asked(tmp_path):
    columns = {"y": (1, 2, 3), "y_relation": ("=", ">", "="), "Ki_relation": (">", "=", "="), "trend": ("=", "=", "<")}
    taken, _ = exact(tmp_path, "csv", columns)
    assert taken == {"CCO": 1, "CCN": 3}


@pytest.mark.parametrize(
    "columns",
    [
        {"operator": ("Anna-Lena O'Neil", "Max")},
        {"correlation": ("0.93", "0.7")},
        {"country": ("LT", "GT")},
        {"note": ("> 5 days old", "-")},
        {"relation": ("=", ""), "Ki relation": ("", "=")},
    ],
)
def test_names_texts_and_equal_signs_cost_no_value(tmp_path, columns):
    assert exact(tmp_path, "csv", {"y": (1, 2), **columns})[0] == {"CCO": 1, "CCCO": 2}


def test_values_in_several_units_are_told_with_the_columns(tmp_path):
    table = pd.DataFrame({"smiles": ("CCO", "CCN"), "y": (5, 7), "dose unit": ("nM", "uM"), "volume unit": ("l", "l")})
    table.to_csv(tmp_path / "a.csv", index=False)
    library = read_source({"kind": "csv", "path": "a.csv", "value": "y"}, base=tmp_path, space=SPACE)
    assert "by the columns 'dose unit' and 'volume unit'" in library.warnings[0]
    assert "`unit_column`" in library.warnings[0]


def test_a_decimal_comma_between_value_and_unit_is_no_unit(tmp_path):
    (tmp_path / "a.csv").write_text("smiles,y,unit\nCC(=O)C,1,5\nCCO,2,nM\nCCN,3,\n")
    library = read_source({"kind": "csv", "path": "a.csv", "value": "y"}, base=tmp_path, space=SPACE)
    assert dict(zip(library.frame["object"], library.frame["value"], strict=True)) == {"CCO": 2, "CCN": 3}
    assert "the unit '5' of the value is a number" in library.refused[0].reason
    named = {"kind": "csv", "path": "a.csv", "value": "y", "unit_column": "unit", "unit": "5"}
    assert list(read_source(named, base=tmp_path, space=SPACE).frame["value"].dropna()) == [1]
