"""Results of a benchmark section: a table for people, records for machines."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

Record = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """What a section found.

    Attributes:
        name: short name, the key in the JSON file.
        title: heading of the table.
        columns: headings of the columns, the first ones are what the row is about.
        rows: cells.
        note: what must be said with the table.
        records: every run, for the JSON file.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    records: Sequence[Record] = field(default_factory=list)

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table(title=self.title, caption=self.note or None)
        for column in self.columns:
            table.add_column(column, justify="right")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)

    def markdown(self) -> str:
        """Return the table in Markdown."""
        lines = [f"**{self.title}**", "", _line(self.columns), _line(["---:"] * len(self.columns))]
        lines += [_line(row) for row in self.rows]
        return "\n".join([*lines, "", self.note, ""] if self.note else [*lines, ""])


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def pick(records: Iterable[Record], **wanted: Any) -> list[Record]:
    """Return the records that have these values."""
    return [record for record in records if all(record[name] == value for name, value in wanted.items())]


def median(records: Iterable[Record], name: str) -> float | None:
    """Return the median of a figure, None if there is no record."""
    values = [record[name] for record in records]
    return statistics.median(values) if values else None


def number(value: float | None, digits: int = 0) -> str:
    """Return a figure as text, an em dash for none."""
    return "—" if value is None else f"{value:,.{digits}f}"


def ratio(value: float | None, base: float | None) -> str:
    """Return how many times larger a figure is than another as text."""
    return "—" if value is None or not base else f"{value / base:.1f}x"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the half-width of its 95 % interval (Student's t); infinite for one value."""
    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2:
        return float(found.mean()), float("inf")
    half = student.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
    return float(found.mean()), float(half)
