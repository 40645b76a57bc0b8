"""A library file of any size: its format told by its name, its rows streamed, its objects in standard form."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from data.objects import NotStandardError
from data.tables.readers import Columns, Row, SourceError, csv_rows, parquet_rows


@dataclass(frozen=True, slots=True)
class Format:
    """A format of library files.

    Attributes:
        endings: of the files' names, a `.gz` taken off.
        rows: what reads them.
        items: what else each of these rows has, by name; None: nothing.
        named: whether one of these items can be named as the text of the object.
    """

    endings: tuple[str, ...]
    rows: Callable[[LibraryFile], Iterator[Row]]
    items: Callable[[LibraryFile], Iterator[Mapping[str, str]]] | None = None
    named: bool = False


@dataclass(frozen=True, slots=True)
class LibraryFile:
    """A file of objects and the columns that are read from it.

    Attributes:
        path: the file.
        text: column of the objects' texts; None: `usual` in a table, what a format of its own has in it.
        value: column of values; None: none.
        delimiter: one character between the cells of a table of text; None: a tabulator in `.tsv`, else a comma.
        format: None: told by the ending of the name.
        relation: column of `=`, `>` and their kind before the values; None: looked for by names and signs.
        unit: column of units; None: looked for by its name.
        fields: columns that tell an object together, where `text` is None.
        usual: column of the texts where none is named.
        decimal: mark of decimals in `fields`.
        names: what `fields` are called in an object's text; empty: the same.
        more: formats beside tables, by name, such as those of the objects' space.
    """

    path: Path
    text: str | None = None
    value: str | None = None
    delimiter: str | None = None
    format: str | None = None
    relation: str | None = None
    unit: str | None = None
    fields: tuple[str, ...] = ()
    usual: str = "smiles"
    decimal: str = "."
    names: tuple[str, ...] = ()
    more: Mapping[str, Format] = field(default_factory=dict, compare=False)

    def kind(self) -> str:
        """Return the name of the format.

        Raises:
            SourceError: the name of the file does not tell, or there is no such format of these objects.
        """
        formats = {**self.more, **TABLES}
        if self.format is not None:
            if self.format not in formats:
                raise SourceError(
                    f"There is no format {self.format!r} of {self.path}; expected one of {', '.join(formats)}."
                )
            return self.format
        found = next((name for name, one in formats.items() if ending(self.path) in one.endings), None)
        if found is None:
            endings = ", ".join(known for one in formats.values() for known in one.endings)
            raise SourceError(
                f"The name of {self.path} does not tell its format; expected one of {endings} (also with "
                f".gz), or `format`: {', '.join(formats)}."
            )
        return found

    @property
    def columns(self) -> Columns:
        """The columns that are named."""
        fields = self.fields if self.text is None else ()
        return Columns(self.text, fields, self.value, self.relation, self.unit, self.decimal, self.names)

    def rows(self) -> Iterator[Row]:
        """Yield the rows.

        Raises:
            SourceError: no such file, it cannot be read, or a named column is missing.
        """
        require_file(self.path)
        return {**self.more, **TABLES}[self.kind()].rows(self)

    def sha256(self) -> str:
        """Return the sha256 of the file's bytes.

        Raises:
            SourceError: no such file.
        """
        require_file(self.path)
        stat = self.path.stat()
        return _sha256(self.path, stat.st_size, stat.st_mtime_ns)


def _table_columns(file: LibraryFile) -> Columns:
    columns = file.columns
    return columns if columns.fields else replace(columns, text=file.text or file.usual)


def _delimited(file: LibraryFile) -> Iterator[Row]:
    return csv_rows(file.path, _table_columns(file), delimiter_of(file))


def _parquet(file: LibraryFile) -> Iterator[Row]:
    return parquet_rows(file.path, _table_columns(file))


TABLES: Mapping[str, Format] = {
    "csv": Format((".csv", ".tsv"), _delimited),
    "parquet": Format((".parquet",), _parquet),
}
"""Formats of library files that hold any objects."""


def delimiter_of(file: LibraryFile) -> str:
    """Return what separates the cells of a table of text."""
    return file.delimiter or ("\t" if ending(file.path) == ".tsv" else ",")


def ending(path: Path) -> str:
    """Return what a file's name ends with, `.csv` of `A.CSV.gz`."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


@cache
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_file(path: Path, advice: str = "Check the option `path`.") -> None:
    """Refuse a path where no file is.

    Args:
        path: of the file.
        advice: where no name in its folder is near.

    Raises:
        SourceError: no such file; the message has the nearest name in its folder.
    """
    if path.is_file():
        return
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    hint = f" Did you mean {close[0]!r}?" if close else f" {advice}"
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
