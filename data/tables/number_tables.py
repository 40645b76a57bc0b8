"""Tables of numbers beside a campaign's data: found delimiter and decimal mark, every cell a number or named.

There is no option for the delimiter or the mark: what the file says in one way only is read, and what it says in two is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.objects import NotStandardError
from data.tables.delimited import Cells, records
from data.tables.library_file import require_file
from data.tables.readers import opened
from data.tables.results import DELIMITERS
from data.tables.rows import SourceError
from data.tables.values import number

_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?")
_POINT = re.compile(r"[+-]?[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+")


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table as it is written.

    Attributes:
        path: of the file.
        names: of the columns, all different.
        lines: on which the rows begin.
        rows: cells, as many as there are names, without blanks at their ends.
        delimiter: between the cells.
    """

    path: Path
    names: tuple[str, ...]
    lines: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]
    delimiter: str

    def column(self, name: str) -> list[str]:
        """Return the cells of a column."""
        place = self.names.index(name)
        return [row[place] for row in self.rows]

    def mark(self, names: Sequence[str]) -> Literal[".", ","]:
        """Return the mark of decimals in some columns.

        Raises:
            SourceError: some have commas and others points, or the commas may part thousands as well.
        """
        if self.delimiter == ",":
            return "."
        cells = [(line, text) for name in names for line, text in zip(self.lines, self.column(name), strict=True)]
        commas = [one for one in cells if _COMMA.fullmatch(one[1])]
        points = [one for one in cells if _POINT.fullmatch(one[1])]
        if commas and points:
            raise SourceError(
                f"Line {commas[0][0]} of {self.path} has the number {commas[0][1]!r}, and line {points[0][0]} has "
                f"{points[0][1]!r}: which mark is that of decimals cannot be told. Write all numbers with a point."
            )
        if commas and all(_THOUSANDS.fullmatch(text) for _, text in commas):
            raise SourceError(
                f"Line {commas[0][0]} of {self.path} has the number {commas[0][1]!r}, whose comma may part thousands "
                "or decimals. Write all numbers with a decimal point and nothing between thousands."
            )
        return "," if commas else "."

    def remarks(self, mark: str) -> list[str]:
        """Return what was found otherwise than in a usual CSV file."""
        shown = repr(self.delimiter)
        return [
            *([f"cells are separated by {shown}"] if self.delimiter != "," else []),
            *(["numbers have decimal commas"] if mark == "," else []),
        ]

    def numbers(self, name: str, mark: Literal[".", ","]) -> list[float | None]:
        """Return the numbers of a column, None where a cell is empty.

        Raises:
            SourceError: a cell has something else; the message has its column and its line.
        """
        values: list[float | None] = []
        wrong: list[tuple[int, str, str]] = []
        for line, text in zip(self.lines, self.column(name), strict=True):
            try:
                values.append(number(text, mark) if text else None)
            except NotStandardError as error:
                wrong.append((line, text, str(error).partition(" (")[0]))
        if not wrong:
            return values
        line, text, reason = wrong[0]
        if not any(value is not None for value in values):
            raise SourceError(
                f"The column {name!r} of {self.path} holds no numbers: line {line} has {text!r}. Leave the column out."
            )
        more = f" {len(wrong)} cells of the column are so." if len(wrong) > 1 else ""
        raise SourceError(
            f"{self.path}, line {line}, has {text!r} in the column {name!r}; expected a number: {reason}.{more}"
        )


def text_table(path: Path, *needed: str) -> TextTable:
    """Read a delimited text with a header, whatever separates its cells.

    Rows and columns of which every cell is empty, as spreadsheets leave them, are passed over.

    Args:
        path: of the file, UTF-8; `.gz` is unpacked.
        needed: columns that must be there.

    Raises:
        SourceError: it cannot be read, can be parted in several ways, lacks a column, has two of one name or one
            without a name, or a row that is shorter or longer than the header.
    """
    require_file(path, "Check its name, which starts at the folder of the file that names it.")
    delimiter = _delimiter(path, needed)
    header, *rows = [row for row in _read(path, delimiter) if any(cell.strip() for cell in row.cells)] or [Cells(1, [])]
    names = [name.strip() for name in header.cells]
    missing = next((name for name in needed if name not in names), None)
    if missing is not None:
        raise SourceError(f"{path} has no column {missing!r}; it has {', '.join(names) or 'none'}.")
    for row in rows:
        if row.problem is not None or len(row.cells) != len(names):
            hint = " Is one of them a decimal comma?" if delimiter == "," and len(row.cells) > len(names) else ""
            problem = row.problem or f"{len(row.cells)} cells where the header has {len(names)}"
            raise SourceError(f"Line {row.line} of {path} cannot be read: {problem}.{hint}")
    cells = [tuple(cell.strip() for cell in row.cells) for row in rows]
    kept = [place for place, name in enumerate(names) if name or any(row[place] for row in cells)]
    named = tuple(names[place] for place in kept)
    odd = next((name for name in named if not name or named.count(name) > 1), None)
    if odd is not None:
        what = f"several columns named {odd!r}" if odd else "a column without a name"
        raise SourceError(f"{path} has {what}; give all columns different names: got {', '.join(map(repr, named))}.")
    lines = tuple(row.line for row in rows)
    return TextTable(path, named, lines, tuple(tuple(row[place] for place in kept) for row in cells), delimiter)


def header_of(path: Path) -> tuple[str, ...]:
    """Return the names in the header of a delimited text, whatever separates them; the rows are not judged.

    Raises:
        SourceError: it cannot be read, or its header can be parted in several ways.
    """
    require_file(path)
    header = next(iter(_read(path, _delimiter(path, ()))), Cells(1, []))
    return tuple(cell.strip() for cell in header.cells)


def _read(path: Path, delimiter: str) -> list[Cells]:
    with opened(path) as text:
        return list(records(text, delimiter))


def _delimiter(path: Path, needed: Sequence[str]) -> str:
    """Return what parts the header: the only one that does, has the columns that are needed, and parts all rows alike.

    Raises:
        SourceError: several do.
    """
    tables = {delimiter: _read(path, delimiter) for delimiter in DELIMITERS}
    parting = [one for one, rows in tables.items() if rows and len(rows[0].cells) > 1]
    named = [one for one in parting if set(needed) <= {cell.strip() for cell in tables[one][0].cells}]
    parting = named or parting
    if len(parting) > 1:
        even = [one for one in parting if len({len(row.cells) for row in tables[one]}) == 1]
        parting = even or parting
    if len(parting) > 1:
        raise SourceError(
            f"The header of {path} can be parted by {' and by '.join(map(repr, parting))}. Put names that have one of "
            "them into quotation marks, or take it out of them."
        )
    return parting[0] if parting else ","
