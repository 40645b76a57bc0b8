"""Rows of a file with all their cells: for what is written out again beside something new, nothing left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat

from data.tables.delimited import records
from data.tables.library_file import TABLES, LibraryFile, delimiter_of, require_file
from data.tables.readers import opened
from data.tables.rows import Row, SourceError


@dataclass(frozen=True, slots=True)
class WholeRows:
    """The rows of a file and the names of their cells.

    Attributes:
        names: of the columns, or of all properties that a record has.
        file: that is read.
    """

    names: tuple[str, ...]
    file: LibraryFile

    def __iter__(self) -> Iterator[tuple[Row, tuple[str, ...]]]:
        """Yield each row with its cells, as many as there are names; a file of any size is streamed twice at once."""
        kind = self.file.kind()
        if not self.names:
            yield from ((row, ()) for row in self.file.rows())
            return
        if kind == "csv":
            cells = _csv_cells(self.file, len(self.names))
        elif kind == "parquet":
            cells = _parquet_cells(self.file)
        else:
            cells = (tuple(one.get(name, "") for name in self.names) for one in _items(self.file))
        yield from zip(self.file.rows(), cells, strict=True)


def whole_rows(file: LibraryFile) -> WholeRows:
    """Return the rows of a file.

    Raises:
        SourceError: it cannot be read, or two of its columns have one name.
    """
    require_file(file.path)
    if file.kind() in TABLES:
        names = headings(file)
    else:
        seen: dict[str, None] = {}
        for one in _items(file):
            seen.update(dict.fromkeys(one))
        names = tuple(seen)
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise SourceError(
            f"{file.path} has several columns named {', '.join(map(repr, twice))}; their cells could not be told apart "
            "in the result. Name them differently."
        )
    return WholeRows(names, file)


def headings(file: LibraryFile) -> tuple[str, ...]:
    """Return the names of the columns of a table; none where it is empty.

    Raises:
        SourceError: it cannot be read.
    """
    if file.kind() == "parquet":
        return _schema(file)
    with opened(file.path) as text:
        header = next(records(text, delimiter_of(file)), None)
    return () if header is None else tuple(header.cells)


def _csv_cells(file: LibraryFile, width: int) -> Iterator[tuple[str, ...]]:
    delimiter = delimiter_of(file)
    with opened(file.path) as text:
        rows = records(text, delimiter)
        next(rows, None)
        for row in rows:
            cells = row.cells
            if len(cells) > width:  # the row is refused; what it says stays
                cells = [*cells[: width - 1], delimiter.join(cells[width - 1 :])]
            yield (*cells, *repeat("", width - len(cells)))


def _schema(file: LibraryFile) -> tuple[str, ...]:
    from pyarrow import ArrowException, parquet  # only where a parquet file is read

    try:
        with parquet.ParquetFile(file.path) as table:
            return tuple(table.schema_arrow.names)
    except (ArrowException, OSError) as error:
        raise SourceError(f"{file.path} cannot be read as a parquet table: {error}.") from error


def _parquet_cells(file: LibraryFile) -> Iterator[tuple[str, ...]]:
    from pyarrow import parquet  # only where a parquet file is read

    with parquet.ParquetFile(file.path) as table:
        for batch in table.iter_batches(batch_size=_BATCH):
            columns = [["" if cell is None else str(cell) for cell in column.to_pylist()] for column in batch.columns]
            yield from zip(*columns, strict=True)


_BATCH = 8192


def _items(file: LibraryFile) -> Iterator[Mapping[str, str]]:
    items = file.more[file.kind()].items
    return iter(()) if items is None else items(file)
