"""The table that a program answers: which of its cells is whose value, and why a cell is nobody's."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from data.chemistry.molecules import identity
from data.objects import NotStandardError
from data.tables.values import number

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
        match: what tells whose value a row is.
        column: column to match by, None: `smiles` or `key`.
        value: column of values.
        delimiter: between cells.
    """

    match: Literal["smiles", "key", "order"]
    column: str | None
    value: str
    delimiter: str


@dataclass(frozen=True, slots=True)
class _Cell:
    """The text of one molecule's value, and where it stood."""

    line: int
    text: str


def values_of(
    table: bytes, layout: Layout, molecules: Sequence[str], keys: Sequence[str], said: str
) -> list[float | str]:
    """Return, per molecule, its value, which may be no finite one, or a sentence that says why it has none.

    Args:
        table: what the program wrote, a CSV with a header.
        layout: of the table.
        molecules: n SMILES that were asked, in order.
        keys: their n idempotency keys.
        said: sentence with what else the program said, for messages.

    Raises:
        CallFailure: the table as a whole is none, or nobody can tell whose its values are.
    """
    column = None if layout.match == "order" else layout.column or layout.match
    required = [layout.value] if column is None else [column, layout.value]
    rows = _rows(table, layout.delimiter, required, said)
    if column is None:
        return [_value(cell) for cell in _in_order(rows, layout.value, molecules, keys, said)]
    found: dict[str, list[_Cell]] = {}
    lines: dict[str, int] = {}
    for line, row in rows:
        found.setdefault(row[column], []).append(_Cell(line, row[layout.value]))
        lines.setdefault(row[column], line)
    if layout.match == "smiles":
        for written, line in lines.items():
            _refuse_whole_lines(written, line, molecules)
        wanted, found = list(molecules), _by_identity(found, molecules)
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


def _rows(table: bytes, delimiter: str, required: Sequence[str], said: str) -> list[tuple[int, dict[str, str]]]:
    """Return line and cells of each row: those of the columns `required`, and of `smiles` and `key` if there are any.

    Raises:
        CallFailure: it is no table, or lacks a column.
    """
    text = table.decode("utf-8-sig", errors="replace")
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        header = [name.strip() for name in next(lines, [])]
        places = {name.lower(): place for place, name in enumerate(header) if name.lower() in ("smiles", "key")}
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
    value: str,
    molecules: Sequence[str],
    keys: Sequence[str],
    said: str,
) -> list[_Cell]:
    """Return the cells of a table whose rows are in the order of the molecules.

    Raises:
        CallFailure: they cannot be: another number of rows, or a row that names another molecule.
    """
    if any(row[value] == value for _, row in rows):
        raise CallFailure("wrong_answer", f"The command wrote its header, {value!r}, more than once.")
    if len(rows) != len(molecules):
        raise CallFailure(
            "wrong_answer",
            f"The command wrote {len(rows)} rows for {len(molecules)} molecules; with `match: order` expected "
            f"one each. {said}",
        )
    for (line, row), smiles, key in zip(rows, molecules, keys, strict=True):
        written, named = row.get("smiles", ""), row.get("key", "")
        _refuse_whole_lines(written, line, molecules)
        for column, cell, other, asked in (
            ("smiles", written, written != smiles and _known(written) not in (None, _known(smiles)), smiles),
            ("key", named, named in keys and named != key, key),
        ):
            if other:
                raise CallFailure(
                    "wrong_answer",
                    f"The command wrote the value of {cell} in line {line} of its table, where with `match: order` "
                    f"that of {asked} was expected. Write the rows in the order of the lines that came in, give "
                    f"`match: {column}`, or leave out the column `{column}`.",
                )
    return [_Cell(line, row[value]) for line, row in rows]


def _refuse_whole_lines(written: str, line: int, molecules: Sequence[str]) -> None:
    """Refuse a SMILES with a text behind it: the program may have measured its whole line of input, key included.

    RDKit reads such a text as the molecule and its name, so that the value of another text would be believed.

    Raises:
        CallFailure: it is one of a molecule that was asked.
    """
    words = written.split()
    known = _known(words[0]) if len(words) > 1 else None
    if known is not None and known in map(_known, molecules):
        raise CallFailure(
            "wrong_answer",
            f"The command wrote {written[:120]!r} as a SMILES in line {line} of its table; expected {words[0]!r} "
            "alone. If the program measured the whole line of its input, the value is that of another text: take the "
            "part before the first blank, or give the option `input: smiles`.",
        )


def _known(smiles: str) -> str | None:
    """Return the identity of a molecule, None of a text that is none."""
    try:
        return identity(smiles)
    except ValueError:
        return None


def _by_identity(found: Mapping[str, list[_Cell]], molecules: Sequence[str]) -> dict[str, list[_Cell]]:
    """Return the cells by SMILES as they were sent: programs write SMILES in their own way."""
    if set(found) <= set(molecules):
        return dict(found)
    sent = {identity(smiles): smiles for smiles in molecules}
    cells: dict[str, list[_Cell]] = {}
    for written, rows in found.items():
        name = written if written in molecules else sent.get(_known(written) or "", written)
        cells.setdefault(name, []).extend(rows)
    return cells


def _only(cells: Sequence[_Cell], name: str, rows: int, said: str) -> float | str:
    if not cells:
        return f"The command wrote {rows} row(s), none of {name}. {said}"
    values = [_value(cell) for cell in cells]
    numbers = {value if isinstance(value, float) else None for value in values}
    if len(numbers) > 1 or (None in numbers and len(cells) > 1):
        lines = ", ".join(str(cell.line) for cell in cells)
        return f"The command wrote different values of {name} in lines {lines}; expected one."
    return values[0]
