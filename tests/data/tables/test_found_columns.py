"""Where a table has its objects: found, said, or refused."""

from pathlib import Path

import pytest

from data.tables.found_columns import found_columns
from data.tables.library_file import LibraryFile
from data.tables.rows import SourceError


def found(folder: Path, text: str, name: str = "a.csv", **known):
    path = folder / name
    path.write_text(text)
    return found_columns(LibraryFile(path, **known), lambda text: text == "CCO")


def texts(columns) -> list[str]:
    return [row.text for row in columns.file.rows()]


def test_the_usual_name_is_found_in_any_case_and_between_other_delimiters(tmp_path):
    told = found(tmp_path, "name;SMILES\na;CCO\n")
    assert (texts(told), told.notes) == (["CCO"], ("Cells are separated by ';'.",))
    assert texts(found(tmp_path, "name\tSmiles\na\tCCO\n", "a.tsv")) == ["CCO"]
    assert found(tmp_path, "name,smiles,SMILES\na,CCO,CCC\n").file.text == "smiles"


def test_an_only_column_is_taken_unless_its_heading_is_an_object(tmp_path):
    assert texts(found(tmp_path, "structure\nCCO\n")) == ["CCO"]
    with pytest.raises(SourceError, match="'CCO', is an object and no heading"):
        found(tmp_path, "CCO\nCCC\n")


def test_decimal_commas_of_spreadsheets_are_read_where_no_number_has_a_point(tmp_path):
    told = found(tmp_path, "t;who;p\n1,5;a,b;2\n", fields=("t", "p"))
    assert (texts(told), told.notes[-1]) == (["t=1.5, p=2"], "Numbers have decimal commas.")
    mixed = found(tmp_path, "t;p\n1,5;2.5\n", fields=("t", "p"))
    assert texts(mixed) == ['t="1,5", p=2.5']


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n1,2\n", "has no column 'smiles'; it has 'a', 'b'. The column of the objects is named with --column"),
        ("measured by\n\nname,smiles\na,CCO\n", "stand in line 3"),
        ("SMILES,Smiles\nCCO,CCO\n", "several columns of that name, 'SMILES' and 'Smiles'"),
        ("", "is empty; expected a header line with the columns of the table.$"),
    ],
)
def test_what_has_no_column_of_objects_is_refused(tmp_path, text, reason):
    with pytest.raises(SourceError, match=reason):
        found(tmp_path, text)
