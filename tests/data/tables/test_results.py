"""Tables of results as people and instruments write them."""

import pytest

from data.tables.results import Wanted, read_results
from data.tables.rows import SourceError

YIELD = [Wanted("yield", "%")]


def read(text, wanted=YIELD, **options):
    return read_results(text, wanted, ("smiles",), **options)


def values(text, **options):
    return [(row.id or row.text, row.values.get(0)) for row in read(text, **options).rows]


@pytest.mark.parametrize(
    "text",
    [
        "id,yield\nA,12.5\nB,7\n",
        "id,yield [%]\nA,12.5\nB,7\n",
        "ID;Yield (%)\nA;12,5\nB;7\n",
        "\ufeffid\tYIELD / %\nA\t12.5\nB\t7\n",
        "sep=;\nid;yield in %\nA;12,5\nB;7\n",
        "Plate reader;;\nDate;2026-11-27;\n\nid;yield [%];comment\nA;12,5;clear\nB;7;\n",
        'id,yield\n"A","12.5"\n"B","7"\n\n',
        "id,yield\nB,7\nA,1.25e1\n",
    ],
)
def test_tables_of_spreadsheets_and_instruments_are_read(text):
    assert dict(values(text)) == {"A": 12.5, "B": 7.0}


def test_how_a_table_was_read_is_said():
    told = read("Plate reader\nid;yield;comment\nA;12,5;clear\n").notes
    assert any("line 2" in note for note in told)
    assert any("';'" in note for note in told)
    assert any("'comment'" in note for note in told)
    assert any("decimal commas" in note for note in told)


def test_a_windows_file_is_read_and_said_to_be_one(tmp_path):
    file = tmp_path / "results.csv"
    file.write_bytes("id;konz [µM];Gerät\nA;1,5;Größe\n".encode("cp1252"))
    results = read_results(file, [Wanted("konz", "μM")], ("smiles",))
    assert results.rows[0].values == {0: 1.5}
    assert any("Windows-1252" in note for note in results.notes)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("id,product\nA,1\n", "has no header with `id`"),
        ("name,yield\nA,1\n", "has no header with `id`"),
        ("id,yield [mg]\nA,1\n", "'yield [mg]' in mg; yield is measured in %"),
        ("id,yield,yield (%)\nA,1,2\n", "both of which may be 'yield'"),
        ("id,id,yield\nA,B,2\n", "2 columns 'id'"),
        ("id;yield\nA;1,5\nB;2.5\n", "some a point (line 3)"),
    ],
)
def test_a_table_that_could_be_read_in_two_ways_is_refused(text, told):
    with pytest.raises(SourceError) as refused:
        read(text)
    assert told in str(refused.value)


def test_a_percent_sign_behind_a_value_in_percent_says_its_unit_once_more():
    results = read("id,yield [%]\nA,12 %\nB,7%\n")
    assert [row.values for row in results.rows] == [{0: 12.0}, {0: 7.0}]


def test_a_workbook_is_refused_with_what_to_do(tmp_path):
    file = tmp_path / "results.xlsx"
    file.write_bytes(b"PK\x03\x04rest")
    with pytest.raises(SourceError, match="Save the sheet as 'CSV UTF-8'"):
        read_results(file, YIELD, ("smiles",))


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("3.5.2026", "looks like a date"),
        ("03-May", "looks like a date"),
        ("2026-05-03", "looks like a date"),
        (">95", "is a bound"),
        ("12 mg", "not a finite number"),
        ("high", "not a finite number"),
        ("1e999", "not a finite number"),
    ],
)
def test_a_cell_that_is_no_measured_number_refuses_its_line_and_no_other(cell, told):
    results = read(f"id,yield\nA,{cell}\nB,7\n")
    assert [row.id for row in results.rows] == ["B"]
    assert [(one.line, one.text) for one in results.refused] == [(2, "A")]
    assert told in results.refused[0].reason


def test_a_decimal_comma_between_commas_is_not_taken_for_two_cells():
    results = read("id,yield\nA,12,5\nB,7\n")
    assert "is one of them a decimal comma" in results.refused[0].reason


def test_lines_without_a_value_are_counted_and_failures_have_their_reason():
    results = read("id,yield,failed\nA,,\nB,n.d.,\nC,,did not dissolve\nD,,x\nE,5,no\n")
    assert results.empty == 2
    assert [(row.id, row.failed) for row in results.rows] == [
        ("C", "did not dissolve"),
        ("D", "failed, without a reason"),
        ("E", ""),
    ]


def test_a_value_of_what_is_said_to_have_failed_is_refused():
    assert "leave one of them out" in read("id,yield,failed\nA,5,broke\n").refused[0].reason


def test_replicates_are_numbered_from_one():
    results = read("id,replicate,yield\nA,1,5\nA,2,6\nA,0,7\n")
    assert [row.replicate for row in results.rows] == [1, 2]
    assert "is no number from 1" in results.refused[0].reason


def test_objects_of_several_columns_are_put_together():
    rows = read_results("temperature,time,yield\n80,5,61\n", YIELD, ("temperature", "time")).rows
    assert rows[0].text == "temperature=80, time=5"


@pytest.mark.parametrize("text", ['id,yield\nA,"1,234"\nB,"12,500"\n', "id;yield\nA;1.234\nB;7\n"])
def test_a_mark_that_may_part_thousands_is_not_taken_for_decimals(text):
    with pytest.raises(SourceError, match="Say which mark decimals have with --decimal"):
        read(text)


def test_the_mark_of_decimals_can_be_said():
    assert values('id,yield\nA,"1,234"\n', decimal=",") == [("A", 1.234)]
    assert values("id;yield\nA;1.234\n", decimal=".") == [("A", 1.234)]
    assert values("id,yield\nA,1.234\nB,2.500\n") == [("A", 1.234), ("B", 2.5)]


def test_a_wanted_column_that_is_not_there_is_said():
    results = read("id,yield\nA,5\n", [*YIELD, Wanted("purity", "%")])
    assert any("no column for 'purity'" in note for note in results.notes)


def test_a_value_that_there_never_will_be_is_told_apart_from_one_that_is_to_come():
    results = read("id,yield,purity\nA,5,failed\nB,6,\n", [*YIELD, Wanted("purity", "%")])
    assert [row.values for row in results.rows] == [{0: 5.0, 1: None}, {0: 6.0}]


def test_a_table_of_failures_alone_is_one():
    assert [row.failed for row in read("id,failed\nA,exploded\n").rows] == ["exploded"]
