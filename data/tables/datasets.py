"""Files of objects to validated tables: every row is kept, or refused with its line and a reason."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import pandas as pd

from data.objects import NotStandardError, Space
from data.records import Refusal
from data.tables.library_file import standard_object
from data.tables.merging import Kept, Merged, MergedRow, merge
from data.tables.parts import Part
from data.tables.readers import Row, SourceError
from data.tables.remarks import Remarks, reason_kind, reasons_told
from data.tables.values import ValueRules
from data.wording import counted
from data.yaml_text import shown

COLUMNS = ("id", "object", "value", "family", "line")
"""Columns of `Library.frame`."""

_FIRST = 3
"""Refused rows that a message names."""


class Source(Protocol):
    """Where objects come from. A source of values may also have `rules`, `replicates`, `path` and `unit_column`."""

    kind: ClassVar[str]

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows; relative paths start at the folder `base`."""


@runtime_checkable
class PartialSource(Protocol):
    """A source of which a part is taken."""

    def part(self, rows: Sequence[Kept]) -> Part:
        """Return the objects that are taken, and why others are not."""


@dataclass(frozen=True, slots=True)
class Library:
    """What a source gave."""

    frame: pd.DataFrame
    """Columns `COLUMNS`: identity, text, value (float, NaN where unmeasured), family, line; by line."""
    refused: list[Refusal]
    """Rows that were not taken, by line."""
    notes: list[str] = field(default_factory=list)
    """Sentences about rows that were merged, or left out in bulk, and about columns that were not named."""
    warnings: list[str] = field(default_factory=list)
    """Those of the notes that say what may be wrong with the file as a whole."""
    rows: int = 0
    """Rows that were read: kept + merged + refused + passed over + left out."""
    merged: int = 0
    """Rows that went into an earlier row of the same object."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """Why rows of a packaged library were passed over at a glance -> how many."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why objects were not taken although they are in order, by an option of the source -> how many."""
    listed: list[MergedRow] = field(default_factory=list)
    """The rows of each object that has several with a value, and what became of these."""

    @property
    def reasons(self) -> dict[str, int]:
        """Reason, without what it quotes -> rows refused for it, the commonest first."""
        reasons = self.passed_over + Counter(reason_kind(refusal.reason) for refusal in self.refused)
        return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))

    def refusals_told(self) -> list[str]:
        """Return sentences on rows that were not taken: how many, and the first refused ones with their lines."""
        options = [f"{self.left_out.total()} were left out: {reasons_told(self.left_out)}."] if self.left_out else []
        if not self.refused:
            return options
        first = [f"line {one.line} ({shown(one.text)}): {one.reason}" for one in self.refused[:_FIRST]]
        more = len(self.refused) - len(first)
        told = "; ".join([*first, f"and {more} more"] if more else first)
        return [f"{len(self.refused)} of {self.rows} rows read were refused: {told}.", *options]


def read_rows(source: Source, *, base: Path, space: Space) -> Library:
    """Read, standardise and check every object of a source.

    A row is refused if its text cannot be read or standardised, it is outside the space, or its value is no exact
    finite number (an empty cell is an unmeasured object and is kept). Rows of one object become one: the first
    line stays, and its value is what the option `replicates` makes of theirs. Lines of a packaged library that are
    outside at a glance are counted in a note, not listed.

    Args:
        source: of the rows.
        base: folder in which relative paths start.
        space: that every object must be in.

    Raises:
        SourceError: the file or a column is missing, its values are in several units
            and none was chosen or have two marks of decimals, or every row is refused, or every value.
    """
    bulk = getattr(source, "bulk", False)
    rules: ValueRules = getattr(source, "rules", ValueRules())
    unit_column: str | None = getattr(source, "unit_column", None)
    remarks = Remarks(decimal_option=hasattr(getattr(source, "options", None), "decimal"))
    kept: list[Kept] = []
    refused: list[Refusal] = []
    passed_over: Counter[str] = Counter()
    total = 0
    unvalued: list[tuple[Row, str]] = []
    for row in source.rows(base):
        total += 1
        if bulk and (reason := space.glance(row.text)) is not None:
            passed_over[reason] += 1
            continue
        remarks.see(row)
        try:
            value = remarks.value_of(row, rules)
        except NotStandardError as error:
            refused.append(Refusal(row.line, row.text, str(error)))
            unvalued.append((row, str(error)))
            continue
        try:
            kept.append(kept_row(row, standard_object(row, space.admit), value, space))
        except NotStandardError as error:
            refused.append(Refusal(row.line, row.text, str(error)))
        else:
            remarks.add(row)
    if rules.decimal == ".":
        remarks.require_one_decimal(str(getattr(source, "path", source.kind)))
    if unit_column is not None:
        remarks.require_one_unit(str(getattr(source, "path", source.kind)), unit_column)
    columns = getattr(source, "columns", None)
    remarks.require_values(str(getattr(source, "path", source.kind)), getattr(columns, "value", None), rules)
    left_out = Counter[str]()
    noun, nouns = space.nouns
    merged = merge(kept, getattr(source, "replicates", "mean"), noun, nouns=nouns, species=species_of(space))
    if isinstance(source, PartialSource):
        part = source.part(merged.rows)
        merged = replace(merged, rows=part.rows)
        left_out = part.left_out
    merged = replace(merged, listed=with_refused(merged, unvalued, space))
    refused = sorted([*refused, *merged.refused], key=lambda refusal: refusal.line or 0)
    notes = [f"{count} of {total} lines have {reason}." for reason, count in sorted(passed_over.items())]
    warnings = [
        *remarks.lost_told(rules),
        *remarks.notes(refused, unit_column),
        *changes_told(merged, noun),
        *merged.warnings,
    ]
    notes += warnings + merged.notes
    library = Library(
        _frame(merged.rows, space),
        refused,
        notes,
        warnings,
        total,
        merged.merged,
        passed_over,
        left_out,
        merged.listed,
    )
    if not merged.rows:
        raise SourceError(_nothing_left(source.kind, library, space))
    return library


REFUSED_VALUE = "refused: "
"""How the reason begins why the value of an object's own row is not used."""


def kept_row(row: Row, obj: str, value: float, space: Space) -> Kept:
    """Return a row that is in order; of one with a value also how its object is written, and what that changed."""
    if not math.isfinite(value):
        return Kept(obj, value, row.line)
    return Kept(obj, value, row.line, row.text, space.settled(row.text, obj))


def with_refused(merged: Merged, refused: Iterable[tuple[Row, str]], space: Space) -> list[MergedRow]:
    """Return the listed rows, and behind them those of the objects themselves whose values were refused.

    Args:
        merged: what was kept; only objects that have the value of another form are looked at.
        refused: rows with why their values were.
        space: of the objects.
    """
    foreign = {row.text: row.value for row in merged.rows if row.change}
    listed = list(merged.listed)
    for row, reason in refused if foreign else ():
        try:
            obj = standard_object(row, space.admit)
        except NotStandardError:
            continue
        if obj in foreign and not space.settled(row.text, obj):
            listed.append(MergedRow(obj, foreign[obj], 0, row.line, row.text, math.nan, f"{REFUSED_VALUE}{reason}"))
    place = {text: number for number, text in enumerate(dict.fromkeys(row.text for row in listed))}
    return sorted(listed, key=lambda row: place[row.text])


def species_of(space: Space) -> Callable[[str], str]:
    """Return what tells whether two texts are written as one species: the same salt, the same ion."""

    def species(text: str) -> str:
        try:
            return space.named(text)
        except ValueError:  # a text that is read in another way than its space names
            return text

    return species


def changes_told(merged: Merged, noun: str) -> list[str]:
    """Return sentences on values that were measured on something that reading changed, a salt for example."""
    changed: dict[str, list[Kept]] = {}
    for row in merged.rows:
        if row.change:
            changed.setdefault(row.change, []).append(row)
    sources = {row.text: row.line for row in reversed(merged.listed) if row.form}
    told = []
    for change, rows in sorted(changed.items()):
        named = [f"line {sources.get(row.text, row.line)}, {row.written}" for row in rows[:_FIRST]]
        more = f"; and {len(rows) - _FIRST} more" if len(rows) > _FIRST else ""
        told.append(
            f"{counted(len(rows), 'row')} with a value had {change}: the value stands for the {noun} that is left "
            f"({'; '.join(named)}{more})."
        )
    return told


def frame_of(rows: Iterable[tuple[str, str, float, str, int]]) -> pd.DataFrame:
    """Return the frame of a library, of one tuple of `COLUMNS` for each object; equal rows give equal bytes on disk."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype({"value": "float64", "line": "int64"})


def _frame(rows: Iterable[Kept], space: Space) -> pd.DataFrame:
    return frame_of((space.identity(row.text), row.text, row.value, space.family(row.text), row.line) for row in rows)


def _nothing_left(kind: str, library: Library, space: Space) -> str:
    if not library.rows:
        return f"The data source {kind!r} has no rows; expected at least one {space.nouns[0]}."
    first = next(iter(library.refused), None)
    example = f" The first is line {first.line}: {first.text!r}, {first.reason}." if first is not None else ""
    return (
        f"All {library.rows} rows of the data source {kind!r} were refused; the commonest reasons are "
        f"{reasons_told(library.reasons)}.{example} Check the columns that the source names and the bounds of the "
        "space."
    )
