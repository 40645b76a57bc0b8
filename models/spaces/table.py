"""Rows of the user's own file, whatever its columns: samples on a shelf, alloys of a catalogue, devices of a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from data.config import digest
from data.objects import NotStandardError, handle, split
from data.records import FloatArray
from data.tables.library_file import LibraryFile
from data.tables.values import number
from data.wording import counted
from data.yaml_text import shown
from models.registry import Component, FolderPath
from models.spaces.base import BaseSpace, Fact
from models.spaces.table_file import Cell, Rows, named, no_row, rows_of
from models.spaces.variables import written

_AROUND = 10
"""Rows nearest to a row that a variation may take."""


class Table(BaseSpace["Table.Options"]):
    """Rows of a table of the user's, CSV or parquet, each named by its cell in the column `key`.

    `columns` says which columns describe a row; only they are features, so that no measured value becomes one by
    accident. Without a `key` a row is told by all its described cells, and rows of equal descriptions are one. A row is
    known by its name and its described cells: a changed cell makes another object. Missing cells (empty, NA, n/a, nan,
    null, none, -, ?) count as the column's mean, with a feature that says so.
    """

    kind = "table"
    cites = ("kennard1969computer",)
    nouns = ("row", "rows")
    text_name = "Row"
    likeness = "similarity 1 / (1 + distance of standardised columns)"

    class Options(Component.Options):
        """Which file, and which of its columns."""

        path: FolderPath = Field(description="the table; a relative path starts at the campaign file's folder")
        key: str | None = Field(default=None, description="column that names a row; null: all of `columns` do")
        columns: tuple[str, ...] = Field(min_length=1, description="columns that describe a row: the features")
        labels: tuple[str, ...] = Field(default=(), description="those of `columns` whose numbers are words")
        delimiter: str | None = Field(
            default=None, min_length=1, max_length=1, description="between cells; null: a comma, in .tsv a tabulator"
        )
        decimal: Literal[".", ","] = Field(default=".", description="mark of decimals")

        @model_validator(mode="after")
        def _distinct(self) -> Self:
            names = [*self.columns, *([] if self.key is None else [self.key])]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"the column {twice!r} is named twice; the key describes nothing, and columns once")
            unknown = next((name for name in self.labels if name not in self.columns), None)
            if unknown is not None:
                raise ValueError(f"{unknown!r} of `labels` is none of `columns` ({', '.join(self.columns)})")
            return self

    @property
    def rows(self) -> Rows:
        """The rows.

        Raises:
            SourceError: the file cannot be used; a sentence says what to change.
        """
        made = self.options
        return rows_of(made.path.expanduser(), made.key, made.columns, made.labels, made.delimiter, made.decimal)

    @property
    def features(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """Featuriser of the described columns."""
        return {"kind": "rows", "space": {key: value for key, value in self.config().items() if key != "kind"}}

    @property
    def neighbours(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """Featuriser of the described columns."""
        return self.features

    @property
    def column(self) -> str:  # type: ignore[override]  # it depends on the options
        """The column that names a row."""
        return self.options.key or "row"

    @property
    def described(self) -> tuple[str, ...]:
        """The described columns."""
        return self.options.columns

    @property
    def fields(self) -> tuple[str, ...]:
        """The described columns, where no column names a row."""
        return () if self.options.key is not None else self.options.columns

    @cached_property
    def facts(self) -> Mapping[str, Fact]:  # type: ignore[override]  # they depend on the options
        """The columns of numbers, where the text does not tell them."""
        if self.options.key is None:
            return {}
        named_columns = zip(self.rows.columns, self.rows.numeric, strict=True)
        return {f"row_{name}": Fact(name, digits=3) for name, numeric in named_columns if numeric}

    def told(self) -> str:
        """Return what is in the space, in a few words for people."""
        rows = self.rows
        gaps = [f"{count} in {name}" for name, count in zip(rows.columns, rows.gaps, strict=True) if count]
        return (
            f"{len(rows.names)} rows of {self.options.path.name}, described by {', '.join(rows.columns)}"
            + (f"; missing cells: {', '.join(gaps)}" if gaps else "")
            + (f"; {counted(rows.merged, 'row')} of equal descriptions merged" if rows.merged else "")
        )

    def standard(self, text: str) -> str:
        """Return the name of a row, or its described cells in order, numbers in one form.

        Raises:
            NotStandardError: the text is empty, or has not the described columns.
        """
        if self.options.key is not None:
            if not text.strip():
                raise NotStandardError(f"no {self.options.key} in this row")
            return text.strip()
        if text in self.rows.at:
            return text
        told, rows = split(text), self.rows
        missing = [name for name in rows.columns if name not in told]
        unknown = [name for name in told if name not in rows.columns]
        if missing or unknown:
            raise NotStandardError(f"no {missing[0]} in this row" if missing else f"{unknown[0]} describes no row")
        return named(
            rows.columns, [self._cell(told[name], kind) for name, kind in zip(rows.columns, rows.numeric, strict=True)]
        )

    def outside(self, obj: str) -> str | None:
        """Return why a text names no row of the table, a phrase; None: it names one."""
        return None if obj in self.rows.at else no_row(obj, self.rows)

    def identity(self, obj: str) -> str:
        """Return the handle of a row's name and described cells.

        Raises:
            ValueError: the text names no row.
        """
        cells = self._row(obj)
        name = [] if self.options.key is None else [obj]
        return handle("\n".join([*name, named(self.rows.columns, cells)]))

    def value(self, obj: str) -> dict[str, Cell]:
        """Return the described cells of a row by column, and its name; None where a cell is missing."""
        cells = dict(zip(self.rows.columns, self._row(obj), strict=True))
        return cells if self.options.key is None else {self.options.key: obj, **cells}

    def text(self, value: Any) -> str:
        """Return the row of what `value` returned.

        Raises:
            NotStandardError: it is no mapping, or tells no row.
        """
        if not isinstance(value, Mapping):
            raise NotStandardError(f"a {type(value).__name__} that is no mapping of columns to cells")
        if self.options.key is not None:
            return self.standard(str(value.get(self.options.key, "")))
        return self.standard(named(list(value), list(value.values())))

    def random(self, n: int, seed: int) -> list[str]:
        """Return up to n rows in random order."""
        names = self.rows.names
        return [names[i] for i in np.random.default_rng(seed).permutation(len(names))[:n]]

    def design(self, n: int, seed: int) -> list[str]:
        """Return up to n rows: a random one, then always the one farthest from those before it.

        Reference: Kennard and Stone, Technometrics 11, 137 (1969).
        """
        features, names = self.rows.features, self.rows.names
        at = int(np.random.default_rng(seed).integers(len(names)))
        chosen, distance = [at], np.full(len(names), np.inf)
        while len(chosen) < min(n, len(names)):
            distance = np.minimum(distance, np.square(features - features[at]).sum(1))
            distance[at] = -1.0
            at = int(np.argmax(distance))
            chosen.append(at)
        return [names[i] for i in chosen[:n]]

    def variation(self, sample: Sequence[str]) -> Neighbourhood:
        """Return steps to near rows."""
        return Neighbourhood(self.rows)

    def facts_of(self, obj: str) -> dict[str, float]:
        """Return the numbers that describe a row, where a column names rows."""
        if self.options.key is None or obj not in self.rows.at:
            return {}
        told = zip(self.rows.columns, self._row(obj), strict=True)
        return {f"row_{name}": cell for name, cell in told if isinstance(cell, float)}

    def table(self, objects: Sequence[str]) -> FloatArray:
        """Return the features of n rows, shape `(n, p)`.

        Raises:
            ValueError: one of the texts names no row.
        """
        for obj in objects:
            self._row(obj)
        return self.rows.features[[self.rows.at[obj] for obj in objects]]

    def content(self) -> str:
        """Return a hash of the file."""
        return LibraryFile(self.options.path.expanduser()).sha256()

    def key(self) -> str:
        """Return a hash of the options and of the file's content, wherever it lies."""
        config = {name: value for name, value in self.config().items() if name != "path"}
        return digest([config, self.rules, self.content()])

    def _row(self, obj: str) -> tuple[Cell, ...]:
        place = self.rows.at.get(obj)
        if place is None:
            raise ValueError(f"{shown(obj)} names no row of {self.options.path.name}.")
        return self.rows.cells[place]

    def _cell(self, cell: str, numeric: bool) -> str:
        """Return a cell in one form; one that cannot be read stays, and is outside."""
        if numeric and cell:
            try:
                return written(number(cell, self.options.decimal))
            except NotStandardError:
                return cell
        return cell


class Neighbourhood:
    """Edits of rows: there are no others, so a mutant is a row near by, and a child one between its parents."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def mutate(self, obj: str, rng: np.random.Generator) -> str | None:
        """Return one of the nearest rows."""
        return self._near(self._rows.features[self._rows.at[obj]], [obj], rng) if obj in self._rows.at else None

    def crossover(self, first: str, second: str, rng: np.random.Generator) -> str | None:
        """Return one of the rows nearest to the middle of two; None where one is no row."""
        if first not in self._rows.at or second not in self._rows.at:
            return None
        pair = [self._rows.features[self._rows.at[obj]] for obj in (first, second)]
        return self._near((pair[0] + pair[1]) / 2.0, [first, second], rng)

    def _near(self, point: FloatArray, besides: Sequence[str], rng: np.random.Generator) -> str | None:
        count = min(len(self._rows.names), _AROUND + len(besides))
        _, found = self._rows.tree.query(point, k=count)
        names = [self._rows.names[i] for i in np.atleast_1d(found) if self._rows.names[i] not in besides]
        return names[int(rng.integers(len(names)))] if names else None
