"""Candidates as files of other programs: exact values, every text in a form that reads back.

* CSV: texts that a spreadsheet would run get an apostrophe in front (`data.tables.spreadsheets`).
* JSON: as they are.

Spaces have formats of their own besides (`BaseSpace.exports`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.config import ConfigError
from data.records import JsonDict
from data.tables.spreadsheets import safe_text
from models.component import nearest
from models.spaces.base import BaseSpace
from models.spaces.columns import COLUMNS, columns_of


def as_json(rows: Sequence[JsonDict]) -> str:
    """Return candidates as JSON, every letter beyond ASCII escaped."""
    return json.dumps(rows, indent=1) + "\n"


def as_csv(rows: Sequence[JsonDict], columns: Sequence[str] = COLUMNS) -> str:
    """Return candidates as CSV, their keys being the columns."""
    text = io.StringIO()
    plain = csv.DictWriter(text, columns, lineterminator="\n")
    # Python quotes a carriage return only where it ends lines, and readers end a line at one that is not quoted.
    quoted = csv.DictWriter(text, columns, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    for row in ({name: name for name in columns}, *rows):  # names of objectives are people's texts too
        cells = {key: safe_text(_writable(value)) for key, value in row.items()}
        writer = quoted if any("\r" in cell for cell in cells.values() if isinstance(cell, str)) else plain
        writer.writerow(cells)
    return text.getvalue()


FORMS: Mapping[str, Callable[[Sequence[JsonDict], Sequence[str]], str]] = {
    "csv": as_csv,
    "json": lambda rows, columns: as_json(rows),
}
"""Format of any space -> its text of rows and columns; a format is the ending of its files."""


def formats(space: BaseSpace[Any]) -> tuple[str, ...]:
    """Return the formats in which the candidates of a space are written."""
    return (*FORMS, *space.exports)


def written(rows: Sequence[JsonDict], format: str, space: BaseSpace[Any], columns: Sequence[str] = COLUMNS) -> str:
    """Return candidates as the text of a file in one of the space's `formats`."""
    return FORMS[format](rows, columns_of(columns, space)) if format in FORMS else space.exports[format](rows)


def format_of(format: str | None, name: str | None, space: BaseSpace[Any]) -> str:
    """Return the format of a file: the one that is asked for, else that of the name's ending, CSV where it has none.

    Args:
        format: that is asked for; None: none.
        name: of the file; None: the candidates are printed.
        space: of the candidates.

    Raises:
        ConfigError: the space is not written in it, or the ending is of another one than was asked for.
    """
    known = formats(space)
    if format is not None and format not in known:
        own = ", ".join(known)
        raise ConfigError(
            f"There is no --format {format} for {space.nouns[1]}; expected table, {own}.{nearest(format, list(known))}"
        )
    ending = Path(name or "").suffix[1:].lower()
    if ending not in known and ending:
        told = f"its ending {'.' + ending!r} names no format in which {space.nouns[1]} are written"
    elif format is not None and ending and ending != format:
        told = f"its ending says {ending}, and --format says {format}"
    else:
        return format or ending or "csv"
    named = ", ".join(f".{form}" for form in known)
    raise ConfigError(
        f"{name!r} is not written: {told}. Give the file one of the endings {named}, or none and its --format."
    )


def _writable(value: Any) -> Any:
    """Return a text without lone surrogates, which no file can hold: written as their escapes."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
