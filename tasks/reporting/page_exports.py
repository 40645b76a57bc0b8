"""Files that the page of candidates can make of chosen rows: their parts are written here, the page only joins them.

So a cell is kept from being run by a spreadsheet in one place (`data.tables.spreadsheets`), and a file of the page is
what `discover candidates` would write of the same rows.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from data.records import JsonDict
from data.tables.spreadsheets import csv_lines, safe_text
from models.spaces.base import BaseSpace

Parts = Mapping[str, tuple[str, Sequence[str]]]
"""Ending of a file -> its head, and the text of each row; a file is the head and the texts of some rows."""


def file_parts(rows: Sequence[JsonDict], space: BaseSpace[Any], *, columns: Sequence[str]) -> Parts:
    """Return the parts of files of candidates: CSV, and what the space can write.

    Args:
        rows: n candidates as they are exported.
        space: of the candidates.
        columns: of the table.
    """
    table = pd.DataFrame(list(rows), columns=list(columns)).rename(columns=safe_text)
    found: dict[str, tuple[str, list[str]]] = {"csv": csv_lines(table)}
    for ending, write in space.exports.items():
        found[ending] = ("", [_written(write, row) for row in rows])
    return found


def _written(write: Any, row: JsonDict) -> str:
    try:
        return str(write([row]))
    except Exception:  # what cannot be drawn or written keeps its row in the other files
        return ""


def packed(parts: Parts) -> str:
    """Return the parts as base64 of compressed JSON; the same parts give the same text."""
    told = {ending: {"head": head, "rows": list(rows)} for ending, (head, rows) in parts.items()}
    return base64.b64encode(gzip.compress(json.dumps(told, ensure_ascii=False).encode(), mtime=0)).decode()
