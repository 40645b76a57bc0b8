"""Where a table that people or spreadsheets made has its objects: delimiter, columns, decimal mark, found and said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from data.tables.delimited import records
from data.tables.library_file import TABLES, LibraryFile, delimiter_of, require_file
from data.tables.readers import opened
from data.tables.results import DELIMITERS, have_commas
from data.tables.rows import SourceError
from data.tables.whole_rows import headings


@dataclass(frozen=True, slots=True)
class FoundColumns:
    """A file whose objects can be read.

    Attributes:
        file: with the columns, delimiter and decimal mark that it has.
        notes: sentences on what was found.
    """

    file: LibraryFile
    notes: tuple[str, ...] = ()


def found_columns(file: LibraryFile, is_object: Callable[[str], bool]) -> FoundColumns:
    """Find the columns of the objects: the named one, all `fields`, one called as usual in any case, or the only one.

    Args:
        file: as far as it is known.
        is_object: whether a text is an object, as no heading should be.

    Raises:
        SourceError: it cannot be read, or has no such columns.
    """
    require_file(file.path)
    if file.kind() not in TABLES:
        return FoundColumns(file)
    if file.kind() == "parquet":
        chosen = _chosen(file, headings(file)) or _only(file, is_object)
        return FoundColumns(chosen or _refused(file))
    for delimiter in dict.fromkeys((delimiter_of(file), *DELIMITERS)):
        parted = replace(file, delimiter=delimiter)
        chosen = _chosen(parted, headings(parted))
        if chosen is not None:
            notes = [f"Cells are separated by {delimiter!r}."] * (delimiter != delimiter_of(file))
            if chosen.text is None and delimiter != "," and _has_commas(chosen):
                chosen = replace(chosen, decimal=",")
                notes.append("Numbers have decimal commas.")
            return FoundColumns(chosen, tuple(notes))
    return FoundColumns(_only(file, is_object) or _refused(file))


def _chosen(file: LibraryFile, names: Sequence[str]) -> LibraryFile | None:
    if file.text is not None:
        return file if file.text in names else None
    if file.fields and set(file.fields) <= set(names):
        return file
    alike = [name for name in names if name.strip().casefold() == file.usual.casefold()]
    if not alike:
        return None
    if len(alike) > 1 and file.usual not in alike:
        raise SourceError(
            f"{file.path} has several columns of that name, {' and '.join(map(repr, alike))}. Name the one of the "
            "objects with --column."
        )
    return replace(file, text=file.usual if file.usual in alike else alike[0])


def _only(file: LibraryFile, is_object: Callable[[str], bool]) -> LibraryFile | None:
    names = headings(file)
    if file.text is not None or file.fields or len(names) != 1 or any(mark in names[0] for mark in DELIMITERS):
        return None
    if is_object(names[0]):
        raise SourceError(
            f"The first line of {file.path}, {names[0]!r}, is an object and no heading. Write a line {file.usual!r} "
            f"above it, or give --column {names[0]!r} if it is the name of the column."
        )
    only = replace(file, text=names[0])
    first = next(iter(only.rows()), None)
    return only if first is None or first.problem is None else None  # a title above a table is no column


def _refused(file: LibraryFile) -> LibraryFile:
    """Have the reader say what is wrong with the columns: it knows what people mean most."""
    try:
        next(iter(file.rows()), None)
    except SourceError as error:
        if not headings(file):
            raise
        raise SourceError(f"{error} The column of the objects is named with --column.") from error
    return file


def _has_commas(file: LibraryFile) -> bool:
    with opened(file.path) as text:
        rows = records(text, delimiter_of(file))
        header = next(rows)
        return have_commas(rows, [header.cells.index(name) for name in file.fields], delimiter_of(file))
