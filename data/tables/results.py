"""A table of results as people and instruments write it: which cell is which value, told line by line.

Delimiter, decimal mark, encoding and the line of the header are found, and what was found is said. Nothing is guessed
that could be read in two ways: such lines are refused.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from data.objects import NotStandardError, joined
from data.records import Refusal
from data.tables.delimited import Cells, records
from data.tables.rows import Row, SourceError
from data.tables.spreadsheets import original_text
from data.tables.values import ValueRules, exact_value, without_percent

DELIMITERS = (",", ";", "\t", "|")
"""What may separate cells, in the order in which it is tried."""
_PREAMBLE = 60
"""Lines in which the header is looked for: instruments write who measured, and when, above it."""
_EMPTY = frozenset({"", "-", "–", "—", "na", "n/a", "nan", "nd", "n.d.", "n. d.", "none", "null"})
"""What people write where there is no value yet."""
_NONE = frozenset({"failed", "fail", "failure"})
"""What people write where there never will be one."""
_NO = frozenset({"", "-", "no", "n", "false", "0", "ok", "nein"})
_YES = frozenset({"yes", "y", "true", "1", "x", "failed", "fail", "ja"})
_HEADS = tuple(
    re.compile(rf"(?P<name>.*?)\s*{unit}")
    for unit in (r"\[([^][]*)\]", r"\(([^()]*)\)", r"/\s*([^/]+)", r"\s+in\s+(\S+)")
)
"""A name and its unit, in the order in which they are looked for: names may have a slash too."""
_DATE = re.compile(
    r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}|\d{1,2}[-. ][A-Za-zäé]{3,9}\.?([-. ]\d{2,4})?|[A-Za-z]{3,9}[-. ]\d{2,4}"
)
_COMMA_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_POINT_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A column of values that is looked for.

    Attributes:
        name: of the values.
        unit: of them; empty: none.
    """

    name: str
    unit: str


@dataclass(frozen=True, slots=True)
class Result:
    """One line of results.

    Attributes:
        line: in the file, its first line being 1.
        id: of the object; empty where there is none.
        text: of the object; empty where there is none.
        replicate: which repetition, from 1; None where the file does not say.
        values: of the wanted columns by their place, as far as there is one; None: it is said to have none.
        failed: why there is none; empty: nobody said that it failed.
    """

    line: int
    id: str
    text: str
    replicate: int | None
    values: dict[int, float | None]
    failed: str


@dataclass(slots=True)
class Results:
    """What a table holds.

    Attributes:
        rows: in their order.
        refused: lines that cannot be read, with the reason.
        notes: sentences on how it was read.
        empty: lines without a value.
    """

    rows: list[Result] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    empty: int = 0
    present: frozenset[int] = frozenset()
    """Places of the wanted columns that the table has."""


def read_results(
    source: Path | str, wanted: Sequence[Wanted], texts: Sequence[str], decimal: Literal[".", ","] | None = None
) -> Results:
    """Read a table of results.

    Args:
        source: a file, or the text of one.
        wanted: the columns of values; at least one of them must be there.
        texts: names of the columns that tell an object together, mostly one; they or `id` must be there.
        decimal: mark of decimals; None: found.

    Raises:
        SourceError: it is no such table, a column is there twice, or one is in another unit.
    """
    results = Results()
    name = "The table" if isinstance(source, str) else str(source)
    text = (source if isinstance(source, str) else _decoded(source, results)).removeprefix("\ufeff")
    if not text.strip():
        raise SourceError(
            f"{name} is empty; expected a header with `id` or {' and '.join(texts)}, and rows of results."
        )
    delimiter, header, below = _table(name, text, wanted, texts, results)
    heads = [head.strip() for head in header.cells]
    rows = [row for row in below if not _is_note(row, len(heads))]
    notes = [str(row.line) for row in below if _is_note(row, len(heads))]
    if notes:
        lines = f"line {notes[0]} begins" if len(notes) == 1 else f"lines {', '.join(notes)} begin"
        results.notes.append(f"Notes were passed over: {lines} with '#'.")
    places = _places(name, heads, wanted)
    results.present = frozenset(places)
    at = {key: _only(name, heads, key) for key in ("id", "replicate", "failed")}
    fields = [_only(name, heads, one) for one in texts]
    known = {*places.values(), *at.values(), *fields}
    ignored = [head for place, head in enumerate(heads) if place not in known and head]
    if ignored:
        results.notes.append(f"Columns that are not read: {', '.join(map(repr, ignored))}.")
    absent = [one.name for k, one in enumerate(wanted) if k not in places]
    if absent:
        results.notes.append(f"There is no column for {', '.join(map(repr, absent))}: that is left to be told.")
    mark = decimal or _decimal(rows, places.values(), delimiter, results)
    commas = len(texts) > 1 and (mark == "," or have_commas(rows, [at for at in fields if at is not None], delimiter))

    def cell(row: Cells, place: int | None) -> str:
        return "" if place is None else original_text(row.cells[place].strip())

    for row in rows:
        if not any(one.strip() for one in row.cells):
            continue
        if row.problem is not None or len(row.cells) != len(heads):
            hint = "; is one of them a decimal comma?" if delimiter == "," else ""
            problem = row.problem or f"{len(row.cells)} cells where the header has {len(heads)}{hint}"
            results.refused.append(Refusal(row.line, delimiter.join(row.cells)[:80], problem))
            continue
        shown = cell(row, at["id"]) or " ".join(cell(row, place) for place in fields)
        try:
            cells = {k: cell(row, place) for k, place in places.items()}
            told = {
                k: None if text.casefold() in _NONE else _value(text, mark, wanted[k].unit)
                for k, text in cells.items()
                if text.casefold() not in _EMPTY
            }
            replicate = _replicate(cell(row, at["replicate"]))
            failed = _failure(cell(row, at["failed"]))
            if failed and any(value is not None for value in told.values()):
                raise NotStandardError("it has a value and is said to have failed; leave one of them out")
        except NotStandardError as error:
            results.refused.append(Refusal(row.line, shown, str(error)))
            continue
        if not told and not failed:
            results.empty += 1
            continue
        parts = [cell(row, place) for place in fields]
        if commas:  # a spreadsheet that writes decimal commas writes them in the conditions too
            parts = [part.replace(",", ".") if _COMMA.fullmatch(part) else part for part in parts]
        obj = "" if not any(parts) else parts[0] if len(texts) == 1 else joined(texts, parts)
        results.rows.append(Result(row.line, cell(row, at["id"]), obj, replicate, told, failed))
    return results


def _is_note(row: Cells, width: int) -> bool:
    """Return whether a line is a note of people's: it begins with `#` and has not as many cells as the header."""
    return row.problem is None and len(row.cells) != width and row.cells[0].lstrip().startswith("#")


def _decoded(path: Path, results: Results) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"The results {path} cannot be read: {error.strerror or error}.") from error
    if content.startswith(b"PK"):
        raise SourceError(
            f"{path} is a workbook or an archive, not text. Save the sheet as 'CSV UTF-8' and give that file."
        )
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        results.notes.append("It was read as UTF-16.")
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        results.notes.append("It is not UTF-8 and was read as Windows-1252.")
        return content.decode("cp1252", "replace")


def _table(
    name: str, text: str, wanted: Sequence[Wanted], texts: Sequence[str], results: Results
) -> tuple[str, Cells, list[Cells]]:
    """Return the delimiter, the header and the rows below it.

    Raises:
        SourceError: no line has the names of the columns.
    """
    for delimiter in DELIMITERS:
        rows = list(records(io.StringIO(text, newline=""), delimiter))
        for place, row in enumerate(rows[:_PREAMBLE]):
            names = {_plain(head) for head in row.cells}
            tells = _plain("id") in names or {_plain(one) for one in texts} <= names
            heads = [head.strip() for head in row.cells]
            values = any(_matches(head, one) for head in heads for one in wanted)
            if tells and (values or _plain("failed") in names):
                if place:
                    results.notes.append(f"The header stands in line {row.line}; what is above it was passed over.")
                if delimiter != ",":
                    results.notes.append(f"Cells are separated by {delimiter!r}.")
                # Rows were read with the width of the first line; below another header they are read anew.
                below = text.splitlines(keepends=True)[row.line - 1 :]
                again = list(records(below, delimiter)) if place else rows
                shifted = [Cells(one.line + row.line - 1, one.cells, one.problem) for one in again] if place else again
                return delimiter, shifted[0], shifted[1:]
    first = text.strip().splitlines()[0][:120]
    raise SourceError(
        f"{name} has no header with `id` or {' and '.join(map(repr, texts))}, and one of "
        f"{', '.join(repr(one.name) for one in wanted)}; it begins with {first!r}. `discover ask` writes a table to be "
        "filled in."
    )


def _plain(text: str) -> str:
    return re.sub(r"[\s_]+", " ", text.strip()).casefold()


def _unit(text: str) -> str:
    return re.sub(r"\s+", "", text).replace("\u00b5", "\u03bc").replace("µ", "\u03bc")


def same_unit(given: str, wanted: str) -> bool:
    """Return whether two units are one, however its letters are coded and blanks are set."""
    return _unit(given) == _unit(wanted)


def _split(head: str) -> tuple[str, str]:
    """Return the name in a heading and the unit behind it, empty where there is none."""
    found = next((match for form in _HEADS if (match := form.fullmatch(head))), None)
    return (head, "") if found is None else (found["name"], found[2])


def _is_heading(head: str, wanted: Wanted) -> bool:
    """Return whether a heading is the very one that is written for people to fill in."""
    return bool(wanted.unit) and _plain(head) == _plain(f"{wanted.name} [{wanted.unit}]")


def _matches(head: str, wanted: Wanted) -> bool:
    names = (_plain(head), _plain(_split(head)[0]))
    return _plain(wanted.name) in names or _is_heading(head, wanted)


def _places(name: str, heads: Sequence[str], wanted: Sequence[Wanted]) -> dict[int, int]:
    """Return the column of each wanted value that is there.

    Raises:
        SourceError: one is there twice, or in another unit.
    """
    places: dict[int, int] = {}
    for k, one in enumerate(wanted):
        fitting = [place for place, head in enumerate(heads) if _matches(head, one)]
        if len(fitting) > 1:
            named = " and ".join(repr(heads[place]) for place in fitting)
            raise SourceError(
                f"{name} has {named}, both of which may be {one.name!r}. Keep one; repeated measurements stand in "
                "rows of their own, with a column `replicate`."
            )
        if not fitting:
            continue
        head = heads[fitting[0]]
        unit = "" if _plain(head) == _plain(one.name) or _is_heading(head, one) else _split(head)[1]
        if unit and not same_unit(unit, one.unit):
            measured = f"is measured in {one.unit}" if one.unit else "has no unit"
            raise SourceError(
                f"{name} has {head!r} in {unit}; {one.name} {measured}. Convert the values, and name the column "
                f"`{one.name}{f' [{one.unit}]' if one.unit else ''}`."
            )
        places[k] = fitting[0]
    return places


def _only(name: str, heads: Sequence[str], key: str) -> int | None:
    fitting = [place for place, head in enumerate(heads) if _plain(head) == _plain(key)]
    if len(fitting) > 1:
        raise SourceError(f"{name} has {len(fitting)} columns {key!r}; keep one of them.")
    return fitting[0] if fitting else None


def _decimal(rows: Sequence[Cells], places: Collection[int], delimiter: str, results: Results) -> Literal[".", ","]:
    """Return the mark of decimals that all values have.

    Raises:
        SourceError: some have a comma and some a point, or the mark may part thousands in each of them.
    """
    cells = [(row.line, row.cells[at].strip()) for row in rows for at in places if at < len(row.cells)]
    cells = [(line, without_percent(text)) for line, text in cells]
    comma = [line for line, text in cells if _COMMA.fullmatch(text)]
    point = [line for line, text in cells if _POINT.fullmatch(text)]
    if comma and point:
        raise SourceError(
            f"Some values have a decimal comma (line {comma[0]}) and some a point (line {point[0]}): nobody can tell "
            "decimals from thousands. Write all in one way, or say which with --decimal."
        )
    told = {text: line for line, text in cells}
    # Where semicolons part the cells, decimals mostly have commas, so that a point may part thousands.
    for marked, groups in ((_COMMA, _COMMA_GROUPS), *([(_POINT, _POINT_GROUPS)] if delimiter == ";" else ())):
        fitting = [text for text in told if marked.fullmatch(text) or groups.fullmatch(text)]
        if fitting and all(groups.fullmatch(text) for text in fitting):
            raise SourceError(
                f"The value {fitting[0]!r} in line {told[fitting[0]]} may have decimals or thousands behind its mark, "
                "and so may all others that have one. Say which mark decimals have with --decimal."
            )
    if comma:
        results.notes.append("Values have decimal commas.")
        return ","
    return "."


def have_commas(rows: Iterable[Cells], places: Sequence[int], delimiter: str) -> bool:
    """Return whether numbers that tell the objects have decimal commas: some have, and none has a point."""
    found = False
    for row in rows if delimiter != "," else ():
        cells = [row.cells[at].strip() for at in places if at < len(row.cells)]
        if any(map(_POINT.fullmatch, cells)):
            return False
        found = found or any(map(_COMMA.fullmatch, cells))
    return found


def _value(text: str, mark: Literal[".", ","], unit: str) -> float:
    if _DATE.fullmatch(text):
        raise NotStandardError(
            f"the value {text!r} looks like a date, which spreadsheets make of numbers; write the number"
        )
    return exact_value(Row(0, "", without_percent(text) if unit == "%" else text), ValueRules(mark))


def _replicate(text: str) -> int | None:
    if text.casefold() in _EMPTY:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,3}(\.0)?", text):
        raise NotStandardError(f"the replicate {text!r} is no number from 1")
    return int(float(text))


def _failure(text: str) -> str:
    if text.casefold() in _NO:
        return ""
    return "failed, without a reason" if text.casefold() in _YES else text
