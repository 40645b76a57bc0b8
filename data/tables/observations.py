"""Rows of variables that were observed together, and which of them an experimenter had set."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray


def observations(path: Path, column: str | None) -> tuple[tuple[str, ...], FloatArray, NDArray[np.bool_] | None]:
    """Return the names and the values (N, n) of a CSV file, and which were set (N, n) where a column tells it.

    Raises:
        ValueError: it cannot be read, has no header with names, a cell is no finite number, or a variable is unknown.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The data {str(path)!r} cannot be read ({error}). Name a CSV file in UTF-8.") from error
    set_, rows = _told_apart(path, rows, column)
    if rows and len(rows[0]) == 1 and ";" in rows[0][0]:
        raise ValueError(
            f"The data {path.name} are separated by semicolons; expected commas, and points in numbers. Save the table "
            "as CSV in that form."
        )
    if len(rows) < 3 or len(rows[0]) < 2:
        raise ValueError(
            f"The data {path.name} have {max(len(rows) - 1, 0)} rows under a header of {len(rows[0]) if rows else 0} "
            "names; expected two or more of each, separated by commas."
        )
    names = tuple(name.strip() for name in rows[0])
    if len(set(names)) < len(names) or len(names) > 32:
        raise ValueError(f"The data {path.name} need up to 32 different names in their header; got {', '.join(names)}.")
    values = np.empty((len(rows) - 1, len(names)))
    for number, row in enumerate(rows[1:]):
        try:
            values[number] = [float(cell) for cell in row]
        except ValueError as error:
            raise ValueError(
                f"Line {number + 2} of {path.name} is {','.join(row)!r}; expected {len(names)} numbers. Leave lines "
                "with missing values out."
            ) from error
    if not np.isfinite(values).all():
        raise ValueError(f"The data {path.name} have a value that is not finite. Leave such lines out.")
    return names, values, None if set_ is None else _marked(path, set_, names)


def _told_apart(path: Path, rows: list[list[str]], column: str | None) -> tuple[list[str] | None, list[list[str]]]:
    """Return the cells of a column below the header, and the rows without it."""
    if column is None:
        return None, rows
    header = [name.strip() for name in rows[0]] if rows else []
    if column not in header:
        raise ValueError(f"The data {path.name} have no column {column!r}; they have {', '.join(header)}.")
    place = header.index(column)
    cells = [row[place] if place < len(row) else "" for row in rows[1:]]
    return cells, [row[:place] + row[place + 1 :] for row in rows]


def _marked(path: Path, cells: list[str], names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return (N, n) bool: which variables each cell names."""
    marked = np.zeros((len(cells), len(names)), dtype=bool)
    for number, cell in enumerate(cells):
        for name in filter(None, (one.strip() for one in cell.split(";"))):
            if name not in names:
                raise ValueError(
                    f"Line {number + 2} of {path.name} has an intervention on {name!r}; expected one of "
                    f"{', '.join(names)}, several with ; between them, or nothing."
                )
            marked[number, names.index(name)] = True
    return marked
