"""Rows of a user's own table."""

import pytest

from data.tables.readers import SourceError
from models.registry import ComponentError, build
from models.sources.base import source_of

TABLE = """sample,carbon,made,strength
S1,0.1,cast,300
S2,0.2,cast,320
S3,,rolled,400
S4,0.9,rolled,900
"""


@pytest.fixture
def table(tmp_path):
    def made(text=TABLE, **options):
        (tmp_path / "own.csv").write_text(text)
        options = {"path": "own.csv", "key": "sample", "columns": ["carbon", "made"]} | options
        return build("space", {"kind": "table", **options}, base=tmp_path)

    return made


def test_a_row_is_its_name_and_a_function_gets_its_described_cells_only(table):
    space = table()
    assert sorted(space.random(9, 0)) == ["S1", "S2", "S3", "S4"]
    assert space.value("S1") == {"sample": "S1", "carbon": 0.1, "made": "cast"}
    assert space.value("S3")["carbon"] is None
    assert space.facts_of("S2") == {"row_carbon": 0.2}
    assert "4 rows of own.csv, described by carbon, made; missing cells: 1 in carbon" in space.told()


def test_without_a_key_the_described_cells_are_the_row(table):
    space = table(TABLE + "S5,0.20,cast,320\n", key=None)
    assert space.fields == ("carbon", "made")
    assert space.admit("made=cast, carbon=0.200") == "carbon=0.2, made=cast"
    assert len(space.random(9, 0)) == 4
    assert "1 row of equal descriptions merged" in space.told()


def test_numbers_are_standardised_and_a_missing_one_is_the_mean_and_says_so(table):
    dense = table(TABLE.replace("S4,0.9", "S4,0.3")).nearness.features(["S1", "S2", "S3", "S4"]).dense
    assert dense[:, 0] == pytest.approx([-(1.5**0.5), 0, 0, 1.5**0.5])
    assert dense[:, 1].tolist() == [0, 0, 1, 0]
    assert dense[:, 2:].tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]


def test_decimal_commas_and_other_delimiters_are_read(table):
    text = TABLE.replace(",", ";").replace(".", ",")
    assert table(text, delimiter=";", decimal=",").value("S2")["carbon"] == 0.2
    with pytest.raises(SourceError, match="Give the option `delimiter"):
        table(text).told()


def test_the_design_begins_with_rows_that_are_far_apart(table):
    space = table("sample,carbon\nS1,0\nS2,0.1\nS3,5\nS4,10\n", columns=["carbon"])
    for seed in range(4):
        first, *rest = space.design(3, seed)
        assert {"S1", "S4"} <= {first, *rest} or first in ("S2", "S3")
        assert "S4" in (first, *rest)


def test_another_cell_is_another_object_and_a_further_row_changes_none(table):
    before = table()
    names, key = [before.identity(name) for name in ("S1", "S2")], before.key()
    after = table(TABLE.replace("S1,0.1", "S1,0.15") + "S5,1,cast,1\n")
    assert after.identity("S1") != names[0]
    assert after.identity("S2") == names[1]
    assert after.key() != key


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        (
            TABLE,
            {"columns": ["carbn"]},
            "has no column 'carbn'; it has 'sample', 'carbon', 'made', 'strength'. Did you mean",
        ),
        (TABLE.replace("S2", "S1"), {}, "The 'sample' 'S1' names the rows in lines 2, 3"),
        (TABLE.replace("S2", ""), {}, "The row in line 3"),
        (TABLE.replace("0.2", "low"), {}, "has 2 numbers and 1 other cells, such as 'low' in line 3"),
        (TABLE.replace("cast,300", "cast"), {}, "line 2: 3 cells where the header has 4"),
        ("sample,carbon,made\nS1,,cast\nS2,,cast\n", {}, "The column 'carbon' of"),
    ],
)
def test_a_table_that_cannot_be_a_space_is_refused_with_its_line(table, text, options, told):
    with pytest.raises(SourceError) as refused:
        table(text, **options).told()
    assert told in str(refused.value)


@pytest.mark.parametrize("day", ["2026-01-03", "3.1.2026", "01/03/26", "2026-01-03T09:30", "2026-01-03 09:30"])
def test_dates_are_not_taken_for_words_unless_they_are_said_to_be_names(table, day):
    text = TABLE.replace("rolled,900", f"{day},900")
    with pytest.raises(SourceError, match=r"'made' .* has dates, such as .* in line 5.* days since the first"):
        table(text).random(1, 0)
    assert len(table(text, labels=["made"]).random(9, 0)) == 4


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"columns": ["carbon", "carbon"]}, "the column 'carbon' is named twice"),
        ({"columns": ["carbon", "sample"]}, "the column 'sample' is named twice"),
        ({"labels": ["strength"]}, "'strength' of `labels` is none of `columns`"),
    ],
)
def test_columns_are_named_once(table, options, told):
    with pytest.raises(ComponentError, match=told):
        table(**options)


def test_a_described_column_of_measured_values_is_refused(table):
    space = table(columns=["carbon", "strength"])
    with pytest.raises(ComponentError, match="'strength' has the measured values"):
        source_of({"kind": "csv", "path": "own.csv", "value": "strength"}, space)
