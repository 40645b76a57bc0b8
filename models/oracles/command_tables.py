"""The table that a program answers: which of its cells is whose value, and why a cell is nobody's."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from data.objects import NotStandardError, joined
from data.tables.values import number
from data.wording import counted
from models.spaces.base import BaseSpace

_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|nan|inf|infinity)", re.IGNORECASE)


class CallFailure(Exception):
    """A whole call gave nothing that can be used; `error` is the class of the failure."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


@dataclass(frozen=True, slots=True)
class Layout:
    """How a program's table is to be read.

    Attributes:
        match: what tells whose value a row is; `object`: its text.
        column: column to match by, None: that of the space's texts, or `key`.
        value: column of values.
        delimiter: between cells.
        space: of the objects that are asked.
    """

    match: Literal["object", "key", "order"]
    column: str | None
    value: str
    delimiter: str
    space: BaseSpace[Any]

    @property
    def by(self) -> str | None:
        """The column to match by; None: the order of the rows."""
        if self.match == "order":
            return None
        return self.column or ("key" if self.match == "key" else self.space.column)

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that may stand in the place of the one to match by: together they tell the object."""
        return self.space.fields if self.match == "object" and self.column is None else ()


@dataclass(frozen=True, slots=True)
class _Cell:
    """The text of one object's value, and where it stood."""

    line: int
    text: str


def values_of(
    table: bytes, layout: Layout, objects: Sequence[str], keys: Sequence[str], said: str
) -> list[float | str]:
    """Return, per object, its value, which may be no finite one, or a sentence that says why it has none.

    Args:
        table: what the program wrote, a CSV with a header.
        layout: of the table.
        objects: n texts that were asked, in order.
        keys: their n idempotency keys.
        said: sentence with what else the program said, for messages.

    Raises:
        CallFailure: the table as a whole is none, or nobody can tell whose its values are.
    """
    column = layout.by
    rows = _rows(table, layout, said)
    if column is None:
        return [_value(cell) for cell in _in_order(rows, layout, objects, keys, said)]
    found: dict[str, list[_Cell]] = {}
    lines: dict[str, int] = {}
    for line, row in rows:
        found.setdefault(row[column], []).append(_Cell(line, row[layout.value]))
        lines.setdefault(row[column], line)
    if layout.match == "object":
        for written, line in lines.items():
            _refuse_whole_lines(written, line, objects, layout.space)
        wanted, found = list(objects), _by_identity(found, objects, layout.space)
    else:
        wanted = list(keys)
    return [_only(found.get(name, []), name, len(rows), said) for name in wanted]


def _value(cell: _Cell) -> float | str:
    """Return the number that a cell is; a sentence for what is none to every program, such as Python's `5_1`."""
    expected = "expected a number with a decimal point, without unit."
    if not _NUMBER.fullmatch(cell.text):
        told = repr(cell.text[:80]) if cell.text else "an empty cell"
        return f"The command answered {told} in line {cell.line} of its table; {expected}"
    value = float(cell.text)
    try:
        return value if value else number(cell.text)
    except NotStandardError as error:
        return f"In line {cell.line} of the command's table, {error}; expected another unit, or its logarithm."


def _rows(table: bytes, layout: Layout, said: str) -> list[tuple[int, dict[str, str]]]:
    """Return line and cells of each row: those of the columns that are needed, and of texts and keys if there are any.

    Raises:
        CallFailure: it is no table, or lacks a column.
    """
    delimiter, usual = layout.delimiter, layout.space.column.lower()
    required = [name for name in (layout.by, layout.value) if name is not None]
    fields: tuple[str, ...] = ()
    text = table.decode("utf-8-sig", errors="replace")
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        header = [name.strip() for name in next(lines, [])]
        if layout.fields and layout.by not in header and set(layout.fields) <= set(header):
            fields = layout.fields
            required = [*fields, layout.value]
        known = {usual: layout.space.column, "key": "key"}
        places = {known[name.lower()]: place for place, name in enumerate(header) if name.lower() in known}
        places |= {name: header.index(name) for name in required if name in header}
        for cells in lines:
            if len(cells) > len(header):
                raise CallFailure(
                    "wrong_answer",
                    f"The command wrote {len(cells)} cells in line {lines.line_num}, {delimiter.join(cells)[:80]!r}, "
                    f"under a header of {len(header)}; is one of them a decimal comma, or a text that needs quotes?",
                )
            if cells:
                named = {name: cells[place].strip() if place < len(cells) else "" for name, place in places.items()}
                if fields and layout.by is not None and fields[0] in named:
                    named[layout.by] = joined(fields, [named.get(name, "") for name in fields])
                rows.append((lines.line_num, named))
    except csv.Error as error:
        raise CallFailure("wrong_answer", f"The command wrote no table: {error}. {said}") from error
    repeated = [name for name in required if header.count(name) > 1]
    if repeated:
        raise CallFailure("wrong_answer", f"The command wrote several columns {repeated[0]!r}; expected one of a name.")
    missing = [name for name in required if name not in header]
    if missing:
        begin = text.strip()[:120]
        got = f"it begins with {begin!r}" if begin else "it wrote nothing"
        raise CallFailure(
            "wrong_answer",
            f"The command's answer has no column {', '.join(map(repr, missing))}; {got}. Expected a CSV with a header. "
            f"{said}",
        )
    return rows


def _in_order(
    rows: Sequence[tuple[int, Mapping[str, str]]],
    layout: Layout,
    objects: Sequence[str],
    keys: Sequence[str],
    said: str,
) -> list[_Cell]:
    """Return the cells of a table whose rows are in the order of the objects.

    Raises:
        CallFailure: they cannot be: another number of rows, or a row that names another object.
    """
    value, space = layout.value, layout.space
    if any(row[value] == value for _, row in rows):
        raise CallFailure("wrong_answer", f"The command wrote its header, {value!r}, more than once.")
    if len(rows) != len(objects):
        raise CallFailure(
            "wrong_answer",
            f"The command wrote {len(rows)} rows for {len(objects)} {space.nouns[1]}; with `match: order` expected "
            f"one each. {said}",
        )
    for (line, row), obj, key in zip(rows, objects, keys, strict=True):
        written, named = row.get(space.column, ""), row.get("key", "")
        _refuse_whole_lines(written, line, objects, space)
        other_object = written != obj and _known(written, space) not in (None, _known(obj, space))
        for column, match, cell, other, asked in (
            (space.column, "object", written, other_object, obj),
            ("key", "key", named, named in keys and named != key, key),
        ):
            if other:
                raise CallFailure(
                    "wrong_answer",
                    f"The command wrote the value of {cell} in line {line} of its table, where with `match: order` "
                    f"that of {asked} was expected. Write the rows in the order of the lines that came in, give "
                    f"`match: {match}`, or leave out the column `{column}`.",
                )
    return [_Cell(line, row[value]) for line, row in rows]


def _refuse_whole_lines(written: str, line: int, objects: Sequence[str], space: BaseSpace[Any]) -> None:
    """Refuse a text with another behind it: the program may have measured its whole line of input, key included.

    Some spaces read such a text as the object and its name, so that the value of another text would be believed.

    Raises:
        CallFailure: it is one of an object that was asked.
    """
    if written in objects or not any(blank in written for blank in " \t"):
        return
    asked = {_known(obj, space) for obj in objects}
    for alone in (written.split()[0], written.rsplit(maxsplit=1)[0]):
        if _known(alone, space) not in asked - {None}:
            continue
        raise CallFailure(
            "wrong_answer",
            f"The command wrote {written[:120]!r} as a {space.text_name} in line {line} of its table; expected "
            f"{alone!r} alone. If the program measured the whole line of its input, the value is that of another text: "
            "take the part before the blank, or give the option `input: object`.",
        )


def _known(text: str, space: BaseSpace[Any]) -> str | None:
    """Return the identity of the object that a text means, None of a text that means none."""
    try:
        return space.named(text)
    except ValueError:
        return None


def _by_identity(
    found: Mapping[str, list[_Cell]], objects: Sequence[str], space: BaseSpace[Any]
) -> dict[str, list[_Cell]]:
    """Return the cells by text as it was sent: programs write texts in their own way."""
    if set(found) <= set(objects):
        return dict(found)
    sent = {space.named(obj): obj for obj in objects}
    cells: dict[str, list[_Cell]] = {}
    for written, rows in found.items():
        name = written if written in objects else sent.get(_known(written, space) or "", written)
        cells.setdefault(name, []).extend(rows)
    return cells


def _only(cells: Sequence[_Cell], name: str, rows: int, said: str) -> float | str:
    if not cells:
        return f"The command wrote {counted(rows, 'row')}, none of {name}. {said}"
    values = [_value(cell) for cell in cells]
    numbers = {value if isinstance(value, float) else None for value in values}
    if len(numbers) > 1 or (None in numbers and len(cells) > 1):
        lines = ", ".join(str(cell.line) for cell in cells)
        return f"The command wrote different values of {name} in lines {lines}; expected one."
    return values[0]
