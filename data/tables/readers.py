"""Rows of a file of objects, one by one, each with the line it stands on. What the rows mean is not judged here.

Every reader streams: a file of millions of rows needs no more memory than one of ten. Files may be compressed (.gz).
"""

from __future__ import annotations

import codecs
import gzip
import json
import shlex
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, repeat
from pathlib import Path
from typing import IO, Any

from data.tables.delimited import Cells, records
from data.tables.neighbours import Neighbours
from data.tables.rows import Columns, Row, SourceError, require_columns

__all__ = ["Columns", "Row", "SourceError", "csv_rows", "opened", "parquet_rows"]

_BATCH = 8192

_MOST_NUL = 0.1
"""Share of NUL bytes above which a file is no damaged UTF-8 but UTF-16, in which every second byte is one."""

_PREAMBLE = 50
"""Rows in which the names of the columns are looked for, to say where they are."""


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """Open a text file for reading: UTF-8 (a byte-order mark is allowed), unpacked where its name ends in `.gz`.

    Raises:
        SourceError: within the block, the file is not UTF-8 or is no whole gzip file.
    """
    try:
        _require_one_byte(path)
        if path.suffix.lower() == ".gz":
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
                yield file
        else:
            with path.open(newline="", encoding="utf-8-sig") as file:
                yield file
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path} is not UTF-8 text ({error.reason}{_where(path)}); it may be Latin-1 or Windows-1252. Save it as "
            f"UTF-8 (`{_converting('WINDOWS-1252', path)}`) and try again."
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(
            f"{path} cannot be unpacked ({error}); it is no gzip file, or was cut short. Get it again, or take `.gz` "
            "off its name if it is plain text."
        ) from error


def _bytes(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _require_one_byte(path: Path) -> None:
    with _bytes(path) as file:
        first = file.read(4096)
    if first.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise SourceError(
            f"{path} is a workbook of a spreadsheet program (such as .xlsx) or another packed file, no text. Save the "
            "sheet as 'CSV UTF-8' there, and give that file."
        )
    if 0 < first.count(b"\0") <= len(first) * _MOST_NUL and _is_utf8(first):
        line = first[: first.index(b"\0")].count(b"\n") + 1
        raise SourceError(
            f"{path} has a NUL byte in line {line}, which no text has; the rest of it is UTF-8, as far as it was "
            "read. Take the byte out, or write the file anew, and try again."
        )
    if first.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in first:
        raise SourceError(
            f"{path} is not UTF-8 text but UTF-16, as Excel's 'Unicode Text' is, or no text at all. Save it as 'CSV "
            f"UTF-8', or run `{_converting('UTF-16', path)}`."
        )


def _is_utf8(first: bytes) -> bool:
    """Return whether the first bytes of a file are UTF-8; its last character may be cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(first)
    except UnicodeDecodeError:
        return False
    return True


def _converting(encoding: str, path: Path) -> str:
    """Return the command of a shell that makes a copy of a file in UTF-8."""
    return f"iconv -f {encoding} -t UTF-8 {shlex.quote(path.name)} > {shlex.quote(f'utf8-{path.name}')}"


def _where(path: Path) -> str:
    with _bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return f" in line {number}"
    return ""


def csv_rows(path: Path, columns: Columns, delimiter: str = ",") -> Iterator[Row]:
    """Yield the rows of a delimited text file with a header, UTF-8 (a byte-order mark is allowed).

    Raises:
        SourceError: a named column is missing or there twice, the file is empty or not UTF-8.
    """
    with opened(path) as file:
        rows = records(file, delimiter)
        header = next(rows, None)
        if header is None:
            raise SourceError(f"{path} is empty; expected a header line with the columns of the table.")
        names = header.cells
        if not set(columns.wanted()) <= set(names):
            _look_for_columns(path, delimiter, columns.wanted())
        require_columns(path, names, columns.wanted(), called=columns.called())
        neighbours = Neighbours(columns, names)
        text_at = [names.index(name) for name in columns.reads()]
        value_at = names.index(columns.value) if columns.value is not None else None
        for row in rows:
            yield _csv_row(row, len(names), columns, text_at, value_at, neighbours)


def _look_for_columns(path: Path, delimiter: str, wanted: Sequence[str]) -> None:
    """Say where the names of the columns are, if they are in a line further down or between other delimiters.

    Raises:
        SourceError: they are.
    """
    for other in dict.fromkeys((delimiter, ";", "\t", ",", "|")):
        with opened(path) as file:
            for row in islice(records(file, other), _PREAMBLE):
                if not set(wanted) <= set(row.cells):
                    continue
                if other != delimiter:
                    if delimiter not in (",", "\t"):  # nobody's default: the file has it
                        raise SourceError(
                            f"The option `delimiter: {json.dumps(delimiter)}` is wrong for {path}: its cells are "
                            f"separated by {other!r}. Write `delimiter: {json.dumps(other)}` instead"
                            + (", or leave the option out." if other == "," else ".")
                        )
                    raise SourceError(
                        f"The cells of {path} are separated by {other!r}; the columns were looked for between "
                        f"{delimiter!r}. Give the option `delimiter: {json.dumps(other)}`"
                        + (" (and `decimal: ','` if its numbers have decimal commas)." if other == ";" else ".")
                    )
                raise SourceError(
                    f"The names of the columns stand in line {row.line} of {path}; expected in its first line. Delete "
                    "the lines above them and try again."
                )


def _csv_row(
    row: Cells, width: int, columns: Columns, text_at: Sequence[int], value_at: int | None, neighbours: Neighbours
) -> Row:
    cells = row.cells
    if row.problem is not None or len(cells) != width:
        problem = row.problem or f"{len(cells)} cells where the header has {width}"
        return Row(row.line, ",".join(cells), "", problem)
    text = columns.text_of([cells[at].strip() for at in text_at])
    value = "" if value_at is None else cells[value_at].strip()
    return neighbours.row(row.line, text, value, None, cells)


def parquet_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a parquet table; row i (from 0) counts as line i + 2, as if it were a CSV file.

    Raises:
        SourceError: the file is no parquet table, or a named column is missing or there twice.
    """
    from pyarrow import ArrowException, parquet  # only where a parquet file is read

    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            require_columns(path, list(schema.names), columns.wanted(), called=columns.called())
            asked = {*columns.reads(), *([columns.value] if columns.value else [])}
            asked |= {schema.names[at] for at in Neighbours(columns, schema.names).places()}
            # Signs of relations are texts: of the other columns, those of numbers need not be read.
            signs = columns.value is not None and columns.relation is None
            asked |= {field.name for field in schema if signs and _is_text(field.type)}
            names = [name for name in schema.names if name in asked and schema.names.count(name) == 1]
            neighbours = Neighbours(columns, names)
            line = 2
            for batch in file.iter_batches(batch_size=_BATCH, columns=names):
                told = {name: list(map(_cell, batch.column(name).to_pylist())) for name in names}
                empty = [""] * batch.num_rows
                values = told[columns.value] if columns.value else empty
                texts = zip(*(told[name] for name in columns.reads()), strict=True) if columns.reads() else repeat(())
                cells = zip(*told.values(), strict=True)
                for text, value, all_cells in zip(texts, values, cells, strict=False):
                    yield neighbours.row(line, columns.text_of(text), value, None, all_cells)
                    line += 1
    except (ArrowException, OSError) as error:
        raise SourceError(f"{path} cannot be read as a parquet table: {error}.") from error


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _cell(content: object) -> str:
    return "" if content is None or content != content else str(content).strip()
