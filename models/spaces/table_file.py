"""The rows of a user's file, read once in a process: names of rows, described columns, and their features."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from data.objects import NotStandardError, joined, split
from data.records import FloatArray
from data.tables.library_file import LibraryFile, ending
from data.tables.readers import Columns, SourceError, csv_rows, parquet_rows
from data.tables.values import number
from data.yaml_text import shown
from models.spaces.variables import written

Cell = float | str | None
"""A number, a word, or nothing."""

_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?"})
_DATE = re.compile(r"\d{1,4}([-./])\d{1,2}\1\d{1,4}([T ].*)?")
_WORDS = 50
"""Most different words of a column: more tell rows apart, but not which are alike."""


@dataclass(frozen=True)
class Rows:
    """What a space of rows knows.

    Attributes:
        names: texts of the n rows, distinct.
        columns: names of the described columns.
        cells: of each row, by column.
        numeric: whether a column has numbers, by column.
        gaps: cells without content, by column.
        merged: rows of equal descriptions that were merged into an earlier one.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    numeric: tuple[bool, ...]
    gaps: tuple[int, ...]
    merged: int

    @cached_property
    def at(self) -> Mapping[str, int]:
        """Name -> place of its row."""
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def features(self) -> FloatArray:
        """Shape `(n, p)`: numbers standardised, words as columns of 0 and 1, and where cells are missing.

        A missing number counts as the column's mean, a missing word as none of the words.
        """
        return np.hstack(self._blocks)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """The described column that each of the p features was made of."""
        parts = zip(self.columns, self._blocks, strict=True)
        return tuple(name for name, block in parts for _ in range(block.shape[1]))

    @cached_property
    def _blocks(self) -> list[FloatArray]:
        """The features of each described column."""
        blocks = []
        for i, numeric in enumerate(self.numeric):
            cells = [row[i] for row in self.cells]
            gaps = np.array([cell is None for cell in cells])
            if numeric:
                values = np.array([np.nan if cell is None else float(cell) for cell in cells])
                mean, spread = np.nanmean(values), np.nanstd(values)
                level = np.where(gaps, 0.0, (values - mean) / (spread if spread > 1e-12 * max(1.0, abs(mean)) else 1.0))
                block = level[:, None]
            else:
                words = sorted({str(cell) for cell in cells if cell is not None})
                block = np.array([[float(cell == word) for word in words] for cell in cells])
            blocks.append(np.hstack([block, gaps[:, None].astype(np.float64)]) if gaps.any() else block)
        return blocks

    @cached_property
    def tree(self) -> Any:
        """Finds the rows nearest to features."""
        return cKDTree(self.features)


def rows_of(
    path: Path, key: str | None, columns: Sequence[str], labels: Sequence[str], delimiter: str | None, decimal: str
) -> Rows:
    """Return the rows of a table, CSV or parquet; it is read again only when the file has changed.

    Raises:
        SourceError: there is no such file or column, a row cannot be read, two rows have one name, or a column mixes
            numbers and words.
    """
    sha256 = LibraryFile(path).sha256()
    return _rows(path, sha256, key, tuple(columns), tuple(labels), delimiter, decimal)


@lru_cache(maxsize=4)
def _rows(
    path: Path,
    sha256: str,
    key: str | None,
    columns: tuple[str, ...],
    labels: tuple[str, ...],
    delimiter: str | None,
    decimal: str,
) -> Rows:
    del sha256  # only so that a changed file is read again
    read = columns if key is None else (key, *columns)
    lines, table = _cells(path, read, delimiter)
    described = [row if key is None else row[1:] for row in table]
    kinds = [
        _is_numeric(path, name, labels, [row[i] for row in described], lines, decimal) for i, name in enumerate(columns)
    ]
    cells = [
        tuple(
            None if _missing(cell) else number(cell, decimal) if kind else cell
            for cell, kind in zip(row, kinds, strict=True)
        )
        for row in described
    ]
    names = [row[0] for row in table] if key is not None else [named(columns, row) for row in cells]
    if key is not None:
        _require_names(path, key, names, lines)
    first = {name: place for place, name in reversed(list(enumerate(names)))}
    kept = sorted(first.values())
    gaps = tuple(sum(cells[place][i] is None for place in kept) for i in range(len(columns)))
    return Rows(
        tuple(names[place] for place in kept),
        columns,
        tuple(cells[place] for place in kept),
        tuple(kinds),
        gaps,
        len(names) - len(kept),
    )


def named(columns: Sequence[str], cells: Sequence[Cell]) -> str:
    """Return the text of a row that is told by all its described cells."""
    return joined(columns, ["" if cell is None else cell if isinstance(cell, str) else written(cell) for cell in cells])


def _cells(path: Path, read: Sequence[str], delimiter: str | None) -> tuple[list[int], list[list[str]]]:
    """Return the lines and the cells of the wanted columns."""
    wanted = Columns(fields=tuple(read))
    if LibraryFile(path).kind() == "parquet":
        rows = parquet_rows(path, wanted)
    else:
        rows = csv_rows(path, wanted, delimiter or ("\t" if ending(path) == ".tsv" else ","))
    lines, table, bad = [], [], []
    for row in rows:
        if row.problem is not None:
            bad.append(f"line {row.line}: {row.problem}")
        elif row.text:
            told = split(row.text)
            lines.append(row.line)
            table.append([told[name] for name in read])
    if bad:
        raise SourceError(
            f"{path} has {len(bad)} rows that cannot be read ({'; '.join(bad[:3])}{' ...' if len(bad) > 3 else ''}). "
            "The space is the rows of this file: correct or delete these."
        )
    if len(table) < 2:
        raise SourceError(f"{path} has {len(table)} rows; a space of rows needs two at least.")
    return lines, table


def _is_numeric(
    path: Path, name: str, labels: Sequence[str], cells: Sequence[str], lines: Sequence[int], decimal: str
) -> bool:
    """Whether a column has numbers.

    Raises:
        SourceError: it is empty, mixes numbers and words, has dates, or has too many words.
    """
    filled = [(cell, line) for cell, line in zip(cells, lines, strict=True) if not _missing(cell)]
    if not filled:
        raise SourceError(f"The column {name!r} of {path} is empty and describes nothing. Leave it out of `columns`.")
    words = [(cell, line) for cell, line in filled if not _number(cell, decimal)]
    if name not in labels and len(words) < len(filled):
        if words:
            comma = " (for decimal commas give `decimal: ','`)" if words[0][0].count(",") == 1 else ""
            raise SourceError(
                f"The column {name!r} of {path} has {len(filled) - len(words)} numbers and {len(words)} other cells, "
                f"such as {shown(words[0][0])} in line {words[0][1]}{comma}. Correct those, empty them, or name the "
                "column in `labels` if its numbers are words too."
            )
        return True
    dates = [] if name in labels else [(cell, line) for cell, line in filled if _DATE.fullmatch(cell.strip())]
    if dates:
        raise SourceError(
            f"The column {name!r} of {path} has dates, such as {shown(dates[0][0])} in line {dates[0][1]}, which as "
            "words would not say what lies near to what. Write them as numbers, such as days since the first, leave "
            "the column out of `columns`, or name it in `labels` if they are only names."
        )
    different = len({cell for cell, _ in filled})
    if different > _WORDS:
        raise SourceError(
            f"The column {name!r} of {path} has {different} different words, which tell rows apart but not which of "
            f"them are alike; at most {_WORDS} do. Leave it out of `columns`, or make it the `key`."
        )
    return False


def _require_names(path: Path, key: str, names: Sequence[str], lines: Sequence[int]) -> None:
    empty = [line for name, line in zip(names, lines, strict=True) if not name]
    if empty:
        raise SourceError(f"The row in line {empty[0]} of {path} has no {key!r}, which names rows. Give it a name.")
    counted = Counter(names)
    twice = [name for name, count in counted.items() if count > 1]
    if twice:
        at = [str(line) for name, line in zip(names, lines, strict=True) if name == twice[0]]
        more = f" and {len(twice) - 1} other names stand there more than once" if len(twice) > 1 else ""
        raise SourceError(
            f"The {key!r} {shown(twice[0])} names the rows in lines {', '.join(at[:4])} of {path}{more}; a name is one "
            "row's. Rename or delete them, or leave `key` out so that rows are known by their described columns."
        )


def _missing(cell: str) -> bool:
    return cell.strip().casefold() in _MISSING


def _number(cell: str, decimal: str) -> bool:
    try:
        number(cell, decimal)
    except NotStandardError:
        return False
    return True


def no_row(name: str, rows: Rows) -> str:
    """Return why a text names no row, a phrase."""
    close = get_close_matches(name, rows.names[:2000], n=1, cutoff=0.5)
    return f"no row of the table is named {shown(name)}{f' (nearest: {shown(close[0])})' if close else ''}"
