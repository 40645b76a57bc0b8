"""Look-up of measured values in a file: a campaign over data that is there already."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from data.objects import NotStandardError, handle
from data.records import Refusal
from data.tables.datasets import changes_told, kept_row, species_of
from data.tables.library_file import LibraryFile, standard_object
from data.tables.merging import RULES, Kept, Merged, merge, one_species
from data.tables.prepared import FIRST
from data.tables.readers import Row, SourceError
from data.tables.remarks import Remarks, reason_kind
from data.tables.shipped import provenance
from data.tables.tally import Tally
from data.tables.values import ValueRules, exact_value
from data.wording import counted
from models.library_options import LibraryOptions, columns_of
from models.oracles.base import MeasurementFailure, ObjectOracle, OracleOptions
from models.spaces.base import BaseSpace

_OPTION = "The option `replicate` chooses mean, median, geometric_mean or the number of a row, from 0."


@dataclass(slots=True)
class _Entry:
    """What a table has of one object: rows with a value, and lines without a usable one with the reason."""

    rows: list[Kept] = field(default_factory=list)
    without: list[tuple[int, str]] = field(default_factory=list)


class Table(ObjectOracle["Table.Options"]):
    """Answer with the value that a table has of the object.

    An object is found by its standard form, however the table writes it (a molecule by its structure: another tautomer
    is another molecule). Several rows of one object are replicates: the answer is their mean, or the replicate of the
    given number. The file's content is part of the version: values of a table that was changed are not taken for those
    of the old one.

    Failure classes: `missing` (no row, or no usable value in it), `invalid` (no object of the space).
    """

    kind = "table"
    semantics = "pure"
    lasting = True

    class Options(LibraryOptions, OracleOptions):
        """Options of the oracle `table`."""

        value: str = Field(default="value", description="column of values; a row with an empty cell has none")
        unit: str | None = Field(default=None, description="unit of the values; null: that of a shipped table")
        replicate: int | Literal["mean", "median", "geometric_mean"] = Field(
            default="mean",
            description="of several rows of one object: their mean, median, geometric mean, or the row of this "
            "number, from 0",
        )
        relation: str | None = Field(
            default=None,
            description="column of `=`, `>` before the values; bounds are no values; null: looked for",
        )
        unit_column: str | None = Field(default=None, description="column of units; other rows are left out")
        decimal: Literal[".", ","] = Field(default=".", description="mark of decimals in the values")
        chunk: int = Field(default=256, ge=1, description="objects per call")

        @model_validator(mode="after")
        def _replicate_in_range(self) -> Table.Options:
            if isinstance(self.replicate, int) and self.replicate < 0:
                raise ValueError(f"`replicate` is a number from 0 or `mean`, `median`, ...; got {self.replicate}")
            return self

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._entries: dict[str, _Entry] | None = None

    @property
    def unit(self) -> str:  # type: ignore[override]
        """Unit of the values."""
        if self.options.unit is None and self.options.source is not None:
            return str(provenance(self.options.source)["unit"])
        return str(self.options.unit or "")

    @property
    def version(self) -> str:  # type: ignore[override]
        """What identifies a value: the table's sha256, its column, and which replicate.

        Raises:
            SourceError: no such file.
        """
        options = self.options
        chosen = f"/{options.relation}/{options.unit_column}" if options.relation or options.unit_column else ""
        chosen += f"/{options.decimal}" if options.decimal != "." else ""
        return f"{self._library().sha256()[:16]}/{options.value}/{options.replicate}{chosen}"

    def bind(self, space: BaseSpace[Any]) -> Self:
        """Take the space of the objects that are asked for; returns the oracle."""
        self._entries = None
        return super().bind(space)

    def contents(self, base: Path) -> dict[str, str]:
        """Return what the space makes of the rows, where texts alone do not tell: values of one object are merged."""
        return {"meaning of rows": self.space.key()} if self.space.reading() else {}

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"table:{self.options.name}"

    def check(self) -> None:
        """Look whether the table can be used, as `prepare` will find it; objects are read only where that tells.

        Raises:
            ComponentError: the shipped table is of other objects.
            SourceError: as `prepare`.
        """
        if not self._is_surely_usable():
            self.prepare()
            self._entries = None

    def _is_surely_usable(self) -> bool:
        """Return whether units, decimals and one object with a value are in order by the cells alone.

        Reading a molecule takes a hundred times as long as its row. Rows of no object count as well here, so that what
        seems wrong may still be right.
        """
        remarks, rules, found = Remarks(), self._rules(), False
        for row in self._library().rows():
            remarks.see(row)
            if row.problem is not None or not _has_value(row, rules):
                continue
            remarks.add(row)
            found = found or self._identify(row) is not None
        try:
            self._require_sound(remarks)
        except SourceError:
            return False
        return found

    def tally(self, largest: int | None = None) -> Tally:
        """Return what became of the rows, as a data source says it of the same file.

        Args:
            largest: bytes of a file that is read; None: of any size.

        Raises:
            SourceError: the file cannot be read, or a column is missing.
        """
        options, space = self.options, self.space
        size = self._library().path.stat().st_size
        columns = options.told_columns(space)
        empty = Tally("table", f"{options.name} (values {options.value!r})", space.nouns, columns)
        if largest is not None and size > largest:
            return replace(empty, size=size)
        kept: list[Kept] = []
        refused: list[Refusal] = []
        rows, remarks, rules = 0, Remarks(), self._rules()
        for row in self._library().rows():
            rows += 1
            try:
                kept.append(kept_row(row, self._standard(row), remarks.value_of(row, rules), space))
            except ValueError as error:
                refused.append(Refusal(row.line, row.text, str(error)))
                continue
            remarks.add(row)
        merged = self._merged(kept)
        refused = sorted([*refused, *merged.refused], key=lambda refusal: refusal.line or 0)
        settled, lost = changes_told(merged, space.nouns[0]), remarks.lost_told(rules)
        return replace(
            empty,
            rows=rows,
            kept=len(merged.rows),
            labelled=sum(math.isfinite(row.value) for row in merged.rows),
            merged=merged.merged,
            refused=dict(Counter(reason_kind(one.reason) for one in refused).most_common()),
            first=refused[:FIRST],
            remarks=[
                *lost,
                *remarks.notes(refused, options.unit_column),
                *settled,
                *merged.warnings,
            ],
        )

    def _merged(self, kept: list[Kept]) -> Merged:
        """Return what the rows of one object become; an object that has not the replicate asked for has no value."""
        wanted, (noun, nouns), species = self.options.replicate, self.space.nouns, species_of(self.space)
        if isinstance(wanted, str):
            return merge(kept, wanted, noun, nouns=nouns, option=_OPTION, species=species)
        what = f"replicate {wanted}"
        merged = merge(kept, "first", noun, nouns=nouns, what=what, option=_OPTION, species=species)
        valued: dict[str, list[Kept]] = {}
        for row in kept:
            if math.isfinite(row.value):
                valued.setdefault(row.text, []).append(row)
        values = {text: [row.value for row in one_species(rows, species)[0]] for text, rows in valued.items()}
        lacking = sum(len(found) <= wanted for found in values.values())
        rows = [
            replace(row, value=found[wanted] if len(found := values.get(row.text, [])) > wanted else math.nan)
            for row in merged.rows
        ]
        told = f"{lacking} of {len(values)} {self.space.nouns[1]} with a value have no replicate {wanted}."
        return replace(merged, rows=rows, warnings=[*merged.warnings, *([told] if lacking else [])])

    def _rules(self) -> ValueRules:
        options = self.options
        return ValueRules(options.decimal, options.unit if options.unit_column is not None else None)

    def _require_sound(self, remarks: Remarks) -> None:
        """Refuse values of several units or marks of decimals.

        Raises:
            SourceError: there are several.
        """
        options = self.options
        if options.decimal == ".":
            remarks.require_one_decimal(options.name)
        remarks.require_one_unit(options.name, options.unit_column)
        remarks.require_known_unit(options.name)

    def prepare(self) -> None:
        """Read the table.

        Raises:
            SourceError: the file cannot be read, a column is missing, its values are in several units or have two marks
                of decimals, or no row has an object with a value.
        """
        entries: dict[str, _Entry] = {}
        rows, remarks, rules = 0, Remarks(), self._rules()
        for row in self._library().rows():
            rows += 1
            remarks.see(row)
            found = self._identify(row)  # without an object it cannot be asked for
            if found is not None and _add(entries.setdefault(found[0], _Entry()), found[1], row, rules, self.space):
                remarks.add(row)
        for entry in entries.values():
            entry.rows, _ = one_species(entry.rows, species_of(self.space))
        self._require_sound(remarks)
        if not any(entry.rows for entry in entries.values()):
            raise SourceError(
                f"The table {self.options.name} has no {self.space.nouns[0]} with a value in its "
                f"{counted(rows, 'row')}. Check the columns of {self._told_columns()} and {self.options.value!r}, and "
                "the delimiter."
            )
        self._entries = entries

    def _told_columns(self) -> str:
        return ", ".join(columns_of(self.space)) or self.space.text_name

    def measure(self, obj: str) -> float:
        """Return the value of one object.

        Raises:
            MeasurementFailure: `missing` or `invalid`.
        """
        if self._entries is None:
            self.prepare()
        assert self._entries is not None
        try:
            key = self.space.named(obj)
        except ValueError as error:
            raise MeasurementFailure("invalid", str(error)) from error
        entry = self._entries.get(key)
        if entry is None:
            raise MeasurementFailure(
                "missing",
                f"{self.options.name} has no row of {obj} among its {len(self._entries)} {self.space.nouns[1]}.",
            )
        return self._value(entry, obj)

    def _value(self, entry: _Entry, looked_up: str) -> float:
        wanted = self.options.replicate
        if not entry.rows:
            lines = "; ".join(f"line {line}: {why}" for line, why in entry.without[:3])
            raise MeasurementFailure("missing", f"{self.options.name} has no value of {looked_up}: {lines}.")
        if isinstance(wanted, str):
            values = [row.value for row in entry.rows]
            if wanted == "geometric_mean" and min(values) <= 0:
                raise MeasurementFailure(
                    "missing", f"{self.options.name} has values of {looked_up} that have no geometric mean: {values}."
                )
            return RULES[wanted](values)
        if wanted >= len(entry.rows):
            lines = ", ".join(str(row.line) for row in entry.rows)
            raise MeasurementFailure(
                "missing",
                f"{self.options.name} has no replicate {wanted} of {looked_up}: {counted(len(entry.rows), 'value')}, "
                f"counted from 0, in {'line' if len(entry.rows) == 1 else 'lines'} {lines}.",
            )
        return float(entry.rows[wanted].value)

    def _library(self) -> LibraryFile:
        options = self.options
        columns = {
            "value": options.value,
            "relation": options.relation,
            "unit": options.unit_column,
            "decimal": options.decimal,
        }
        file: LibraryFile = options.library(self.space, **columns)
        return file

    def _standard(self, row: Row) -> str:
        """Return the standard form of a row's object.

        Raises:
            ValueError: it has none.
        """
        if self.options.source is not None:  # its checksum is looked at, and its texts are canonical
            return row.text
        return standard_object(row, self.space.standard)

    def _identify(self, row: Row) -> tuple[str, str] | None:
        """Return identity and standard form of a row's object, None where it has none."""
        try:
            obj = self._standard(row)
            return handle(obj) if self.options.source is not None else self.space.identity(obj), obj
        except ValueError:
            return None


def _has_value(row: Row, rules: ValueRules) -> bool:
    try:
        return not math.isnan(exact_value(row, rules))
    except NotStandardError:
        return False


def _add(entry: _Entry, obj: str, row: Row, rules: ValueRules, space: BaseSpace[Any]) -> bool:
    """Add a row to what the table has of its object; tells whether it has a value."""
    try:
        value = exact_value(row, rules)
    except NotStandardError as error:
        entry.without.append((row.line, str(error).removeprefix("the value ")))
        return False
    if math.isnan(value):
        entry.without.append((row.line, "no value"))
        return False
    entry.rows.append(kept_row(row, obj, value, space))
    return True
