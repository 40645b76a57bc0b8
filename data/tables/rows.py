"""What every reader of files gives: rows with their lines, and the columns that were asked for."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.objects import joined
from data.yaml_text import shown


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
    names: tuple[str, ...] = ()
    """What `fields` are called in the text of an object; empty: the same."""

    def wanted(self) -> list[str]:
        """Return the names that must be there."""
        others = (self.text, self.value, self.relation, self.unit)
        return [*self.fields, *(name for name in others if name is not None)]

    def called(self) -> dict[str, str]:
        """Return column -> field, where fields may have columns of other names."""
        return dict(zip(self.fields, self.names, strict=False))

    def reads(self) -> list[str]:
        """Return the names whose cells make the text of an object."""
        return list(self.fields) if self.text is None else [self.text]

    def text_of(self, cells: Sequence[str]) -> str:
        """Return the text of an object, of the cells of `reads`; empty where every cell is."""
        if not self.fields:
            return cells[0] if cells else ""
        if self.decimal == ",":
            cells = [cell.replace(",", ".") if _COMMA.fullmatch(cell) else cell for cell in cells]
        return joined(self.names or self.fields, cells) if any(cells) else ""


_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
"""A number with a decimal comma."""


_UNIT = re.compile(r"\s*(\([^()]*\)|\[[^][]*\]|/.*)\s*$")
"""A unit behind a name, in brackets or behind a stroke."""


def require_columns(
    path: Path, names: Sequence[str], wanted: Sequence[str], what: str = "column", called: Mapping[str, str] = {}
) -> None:
    """Refuse a table that lacks a column, or has it more than once.

    Args:
        path: of the table.
        names: of its columns.
        wanted: those that must be there once.
        what: a column is called.
        called: column -> the variable that it has, where an option can name another column for it.

    Raises:
        SourceError: the message lists what there is, and the names that differ by case or a unit only.
    """
    for name in wanted:
        if names.count(name) == 1:
            continue
        if name in names:
            raise SourceError(
                f"{path} has {names.count(name)} {what}s named {name!r}; one of them cannot be told from the other. "
                "Name them differently."
            )
        listed = ", ".join(repr(item) for item in names) or "none"
        mark = next((mark for mark in ";\t|," if len(names) == 1 and mark in names[0]), None)
        if mark is not None:
            raise SourceError(
                f"{path} has no {what} {name!r}; all of its first line is one name, {shown(names[0])}, so that "
                f"{mark!r} may separate its cells. Give the option `delimiter: {json.dumps(mark)}` where there is one"
                + (" (and `decimal: ','` for decimal commas)" if mark == ";" else "")
                + ", or write commas."
            )
        alike = {one: found for one in wanted if one not in names and (found := _alike(one, names)) is not None}
        hint = ""
        if called.get(name, name) in names:
            hint = (
                f" One is called as the variable itself, {called[name]!r}: leave its option `column` out for this file."
            )
        elif name in alike and name in called:
            options = ", ".join(
                f"{called[one]}: {{..., column: {json.dumps(found, ensure_ascii=False)}}}"
                for one, found in alike.items()
                if one in called
            )
            hint = f" Say in the space which columns are meant: {options}."
        elif name in alike:
            hint = f" Did you mean {alike[name]!r}?"
        raise SourceError(f"{path} has no {what} {name!r}; it has {listed}.{hint}")


def _alike(wanted: str, names: Sequence[str]) -> str | None:
    """Return the name that is most like the wanted one; what differs by case or a unit only comes first."""
    same = [name for name in names if _plain(name) == _plain(wanted) != ""]
    if same:
        return same[0] if len(same) == 1 else None
    close = difflib.get_close_matches(wanted.lower(), [name.lower() for name in names], n=1, cutoff=0.5)
    return next((name for name in names if close and name.lower() == close[0]), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", _UNIT.sub("", name)).casefold()
