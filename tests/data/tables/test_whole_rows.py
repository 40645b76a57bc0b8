"""Rows of files with all their cells."""

import gzip

import pandas as pd
import pytest

from data.tables.fasta import FASTA
from data.tables.library_file import LibraryFile
from data.tables.rows import SourceError
from data.tables.whole_rows import whole_rows


def test_cells_stay_beside_their_row_whatever_it_looks_like(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('smiles,name,,\nC,"a, b",,\n\nCC,too,many,cells,here\nCCC\n')
    rows = whole_rows(LibraryFile(path))
    assert rows.names == ("smiles", "name", "", "")
    assert [(row.line, cells) for row, cells in rows] == [
        (2, ("C", "a, b", "", "")),
        (4, ("CC", "too", "many", "cells,here")),
        (5, ("CCC", "", "", "")),
    ]


def test_a_parquet_table_has_its_numbers_and_gaps_as_texts(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"smiles": ["C", None], "n": [1.5, 2.0]}).to_parquet(path)
    assert [cells for _, cells in whole_rows(LibraryFile(path))] == [("C", "1.5"), ("", "2.0")]


def test_names_of_sequences_stay_beside_their_letters(tmp_path):
    path = tmp_path / "a.fasta.gz"
    with gzip.open(path, "wt") as file:
        file.write(">one first\nACD\nEF\n; a comment\n>two\n>three\nGH\n")
    rows = list(whole_rows(LibraryFile(path, more={"fasta": FASTA})))
    assert [(row.text, cells) for row, cells in rows] == [("ACDEF", ("one first",)), ("", ("two",)), ("GH", ("three",))]


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("smiles,a,a\nC,1,2\n")
    with pytest.raises(SourceError, match="several columns named 'a'"):
        whole_rows(LibraryFile(path))
