"""What every reader of files gives: rows with their lines, and the columns that were asked for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.objects import joined


class SourceError(ValueError):
    """A source of objects cannot be used: a complete sentence says what to change."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands in the file."""

    line: int
    """The header of a table is line 1; the record of an SD file counts from its first line."""
    text: str
    """What it says of its object, such as a SMILES; empty where it says nothing."""
    value: str
    """Text of the value, empty where the row or the source has none."""
    problem: str | None = None
    """Why the row cannot be read at all."""
    relation: str = ""
    """What stands before the value, `=`, `>`, in a column of its own; empty where there is none."""
    unit: str = ""
    """Unit of the value, in a column of its own; empty where there is none."""
    relation_column: str | None = None
    """The column of `relation`, where that was found by a name or a cell that may be another value's."""
    unit_column: str = ""
    """The word column and the name of that of `unit`; several where none of them is named after the values."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns (properties of an SD file) that are read; None: not read.

    Columns of relations and units that nobody named are looked for beside a column of values (`neighbours.py`).
    """

    text: str | None = None
    """The one that has the texts of objects."""
    fields: tuple[str, ...] = ()
    """Those that tell an object together; instead of `text`."""
    value: str | None = None
    relation: str | None = None
    unit: str | None = None
    decimal: str = "."
    """Mark of decimals in `fields`."""

    def wanted(self) -> list[str]:
        """Return the names that must be there."""
        others = (self.text, self.value, self.relation, self.unit)
        return [*self.fields, *(name for name in others if name is not None)]

    def reads(self) -> list[str]:
        """Return the names whose cells make the text of an object."""
        return list(self.fields) if self.text is None else [self.text]

    def text_of(self, cells: Sequence[str]) -> str:
        """Return the text of an object, of the cells of `reads`; empty where every cell is."""
        if not self.fields:
            return cells[0] if cells else ""
        if self.decimal == ",":
            cells = [cell.replace(",", ".") if _COMMA.fullmatch(cell) else cell for cell in cells]
        return joined(self.fields, cells) if any(cells) else ""


_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
"""A number with a decimal comma."""


def require_columns(path: Path, names: Sequence[str], wanted: Sequence[str], what: str = "column") -> None:
    """Refuse a table that lacks a column, or has it more than once.

    Raises:
        SourceError: the message lists what there is.
    """
    for name in wanted:
        if names.count(name) == 1:
            continue
        if name in names:
            raise SourceError(
                f"{path} has {names.count(name)} {what}s named {name!r}; one of them cannot be told from the other. "
                "Name them differently."
            )
        close = difflib.get_close_matches(name.lower(), [item.lower() for item in names], n=1, cutoff=0.5)
        hint = next((f" Did you mean {item!r}?" for item in names if close and item.lower() == close[0]), "")
        listed = ", ".join(repr(item) for item in names) or "none"
        raise SourceError(f"{path} has no {what} {name!r}; it has {listed}.{hint}")
