"""Rows of variables that were observed together, and which of them an experimenter had set."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray
from data.tables.number_tables import TextTable, text_table

log = logging.getLogger(__name__)


def observations(path: Path, column: str | None) -> tuple[tuple[str, ...], FloatArray, NDArray[np.bool_] | None]:
    """Return the names and the values (N, n) of a CSV file, and which were set (N, n) where a column tells it.

    Raises:
        ValueError: it cannot be read, has no header with names, a cell is no finite number, or a variable is unknown.
    """
    table = text_table(path, *(() if column is None else (column,)))
    names = tuple(name for name in table.names if name != column)
    if len(table.rows) < 2 or len(names) < 2:
        raise ValueError(
            f"The data {path.name} have {len(table.rows)} rows under a header of {len(names)} names; expected two or "
            "more of each, separated by commas, semicolons or tabulators."
        )
    if len(names) > 32:
        raise ValueError(f"The data {path.name} need up to 32 names in their header; got {', '.join(names)}.")
    mark = table.mark(names)
    values = np.empty((len(table.rows), len(names)))
    for place, name in enumerate(names):
        for row, value in enumerate(table.numbers(name, mark)):
            if value is None:
                raise ValueError(
                    f"Line {table.lines[row]} of {path.name} has nothing in the column {name!r}; expected a number. "
                    "Leave lines with missing values out."
                )
            values[row, place] = value
    if remarks := table.remarks(mark):
        _say(path.name, "; ".join(remarks))
    return names, values, None if column is None else _marked(table, column, names)


@lru_cache(maxsize=64)
def _say(name: str, remark: str) -> None:
    """Say once how a file was read."""
    log.warning("The data %s: %s.", name, remark)


def _marked(table: TextTable, column: str, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return (N, n) bool: which variables each cell names."""
    marked = np.zeros((len(table.rows), len(names)), dtype=bool)
    for number, cell in enumerate(table.column(column)):
        for name in filter(None, (one.strip() for one in cell.split(";"))):
            if name not in names:
                raise ValueError(
                    f"Line {table.lines[number]} of {table.path.name} has an intervention on {name!r}; expected one of "
                    f"{', '.join(names)}, several with ; between them, or nothing."
                )
            marked[number, names.index(name)] = True
    return marked
