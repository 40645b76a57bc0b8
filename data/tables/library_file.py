"""A library file of any size: its format told by its name, its rows streamed, its molecules in standard form."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from data.objects import NotStandardError
from data.tables.readers import Columns, Row, SourceError, csv_rows, parquet_rows, sdf_rows, smiles_rows

Format = Literal["smiles", "csv", "sdf", "parquet"]

ENDINGS: Mapping[str, Format] = {
    ".smi": "smiles",
    ".smiles": "smiles",
    ".ism": "smiles",
    ".txt": "smiles",
    ".csv": "csv",
    ".tsv": "csv",
    ".sdf": "sdf",
    ".sd": "sdf",
    ".parquet": "parquet",
}
"""Ending of a file's name, a `.gz` taken off -> its format."""


@dataclass(frozen=True, slots=True)
class LibraryFile:
    """A file of molecules and the columns that are read from it.

    Attributes:
        path: the file.
        text: column of the objects' texts; None: `usual` in a table, the drawn structure in an SD file.
        value: column of values; None: none.
        delimiter: one character between the cells of a table of text; None: a tabulator in `.tsv`, else a comma.
        format: None: told by the ending of the name.
        relation: column of `=`, `>` and their kind before the values; None: looked for by names and signs.
        unit: column of units; None: looked for by its name.
        fields: columns that tell an object together, where `text` is None.
        usual: column of the texts where none is named.
    """

    path: Path
    text: str | None = None
    value: str | None = None
    delimiter: str | None = None
    format: Format | None = None
    relation: str | None = None
    unit: str | None = None
    fields: tuple[str, ...] = ()
    usual: str = "smiles"

    def kind(self) -> Format:
        """Return the format.

        Raises:
            SourceError: the name of the file does not tell.
        """
        if self.format is not None:
            return self.format
        name_ends = ending(self.path)
        if name_ends not in ENDINGS:
            raise SourceError(
                f"The name of {self.path} does not tell its format; expected one of {', '.join(ENDINGS)} (also with "
                f".gz), or `format`: {', '.join(dict.fromkeys(ENDINGS.values()))}."
            )
        return ENDINGS[name_ends]

    def rows(self) -> Iterator[Row]:
        """Yield the rows.

        Raises:
            SourceError: no such file, it cannot be read, or a named column is missing.
        """
        require_file(self.path)
        kind = self.kind()
        if kind == "smiles":
            if self.value is not None:
                raise SourceError(
                    f"{self.path} is a SMILES file and has no column {self.value!r}; values need a table."
                )
            return smiles_rows(self.path)
        fields = self.fields if self.text is None else ()
        columns = Columns(self.text, fields, self.value, self.relation, self.unit)
        if kind == "sdf":
            return sdf_rows(self.path, columns)
        columns = columns if fields else replace(columns, text=self.text or self.usual)
        if kind == "parquet":
            return parquet_rows(self.path, columns)
        return csv_rows(self.path, columns, self.delimiter or ("\t" if ending(self.path) == ".tsv" else ","))

    def sha256(self) -> str:
        """Return the sha256 of the file's bytes.

        Raises:
            SourceError: no such file.
        """
        require_file(self.path)
        stat = self.path.stat()
        return _sha256(self.path, stat.st_size, stat.st_mtime_ns)


def ending(path: Path) -> str:
    """Return what a file's name ends with, `.csv` of `A.CSV.gz`."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


@cache
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_file(path: Path) -> None:
    """Refuse a path where no file is.

    Raises:
        SourceError: no such file; the message has the nearest name in its folder.
    """
    if path.is_file():
        return
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    hint = f" Did you mean {close[0]!r}?" if close else " Check the option `path`."
    raise SourceError(f"There is no file {path}.{hint}")


def standard_object(row: Row, standard: Callable[[str], str]) -> str:
    """Return the standard form of a row's object: the one rule for every file.

    Args:
        row: of a library file.
        standard: standard form of a text, such as `Space.admit`, which refuses what is outside the space.

    Raises:
        NotStandardError: it cannot be read or standardised, or is outside the space; the message is a phrase.
    """
    if row.problem is not None:
        raise NotStandardError(row.problem)
    return standard(row.text)
