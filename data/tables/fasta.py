"""Records of a FASTA file, one by one, each with the line it begins on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from data.tables.library_file import Format, LibraryFile
from data.tables.readers import opened
from data.tables.rows import Row, SourceError
from data.yaml_text import shown


def fasta_rows(path: Path) -> Iterator[Row]:
    """Yield the sequences: `>name` and a description, then the letters in one line or several.

    Blanks among letters and empty lines are passed over, and so are lines that begin with `;`. Rows have no names.

    Reference: Pearson and Lipman, PNAS 1988, 85, 2444.

    Raises:
        SourceError: the file is not UTF-8, or has letters before the first name.
    """
    begun, letters = 0, list[str]()
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            text = line.strip()
            if text.startswith(">"):
                if begun:
                    yield _row(begun, letters)
                begun, letters = number, []
            elif text and not text.startswith(";"):
                if not begun:
                    raise SourceError(
                        f"Line {number} of {path} is {shown(text)}; a FASTA file begins with a name, `>name`. Give it "
                        "names, or write a CSV file with a column of sequences and read it by `kind: csv`."
                    )
                letters += text.split()
    if begun:
        yield _row(begun, letters)


def _row(line: int, letters: list[str]) -> Row:
    problem = None if letters else "a record without letters"
    return Row(line, "".join(letters), "", problem)


def _library_rows(file: LibraryFile) -> Iterator[Row]:
    if file.text is not None or file.value is not None:
        raise SourceError(f"{file.path} is a FASTA file and has no columns; leave them out.")
    return fasta_rows(file.path)


def _names(file: LibraryFile) -> Iterator[Mapping[str, str]]:
    with opened(file.path) as text:
        for line in map(str.strip, text):
            if line.startswith(">"):
                yield {"name": line[1:].strip()}


FASTA = Format((".fasta", ".fa", ".fas", ".fna", ".faa"), _library_rows, _names)
"""FASTA as a library file."""
