"""Text in CSV files that spreadsheets open: never a formula.

A program that opens a CSV file runs a cell that begins with `=`, `+`, `-` or `@` (or a tab or a line break before one
of them) as a formula; a name or a message that others wrote could begin so. Such texts get an apostrophe in front, and
so do texts that begin with one. A program that takes another separator than the comma begins a cell in the middle of a
text, quoted or not: behind `;`, tabs and line breaks such a beginning gets an apostrophe too. `original_text` takes
them away again. Numbers are not touched.

Reference: OWASP, CSV Injection.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = "=+@＝＋－＠-"
"""The wide forms are taken for the narrow ones by spreadsheets of East Asian locales."""
_STARTS = tuple(f"{_FORMULA}\t\r\n'")
_INNER = re.compile(rf"(?<=[;\t\r\n])(?='*[{_FORMULA}])")
_INNER_SAFE = re.compile(rf"(?<=[;\t\r\n])'(?='*[{_FORMULA}])")


def safe_text(value: Any) -> Any:
    """Return a text that no spreadsheet runs; anything that is no text as it is."""
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(_STARTS) else "") + _INNER.sub("'", value)


def original_text(value: str) -> str:
    """Return what was given to `safe_text`."""
    return _INNER_SAFE.sub("", value.removeprefix("'"))


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame whose texts no spreadsheet runs and every reader finds whole; numbers stay numbers, to the bit."""
    safe, quoting = _safe(frame)
    safe.to_csv(path, index=False, quoting=quoting)


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """Return what `write_csv` writes."""
    safe, quoting = _safe(frame)
    text: str = safe.to_csv(index=False, quoting=quoting)
    return text.encode()


def csv_lines(frame: pd.DataFrame) -> tuple[str, list[str]]:
    """Return what `write_csv` writes: the line of headings and the text of each row, line breaks at their ends."""
    safe, quoting = _safe(frame)
    end = "\x1e\n"  # a mark between rows that is in no cell, where line breaks may be
    while any(end in cell for name in safe.columns for cell in safe[name] if isinstance(cell, str)):
        end = "\x1e" + end
    head, *rows, _ = safe.to_csv(index=False, quoting=quoting, lineterminator=end).split(end)
    return f"{head}\n", [f"{row}\n" for row in rows]


def _safe(frame: pd.DataFrame) -> tuple[pd.DataFrame, Literal[0, 2]]:
    texts = [name for name in frame.columns if frame[name].dtype.kind not in "biufcmM"]
    safe = frame.assign(**{str(name): frame[name].map(safe_text, na_action="ignore") for name in texts})
    # Quoted by itself is only what ends lines here, and readers end a line at a lone carriage return as well.
    broken = any("\r" in cell for name in texts for cell in safe[name] if isinstance(cell, str))
    return safe, csv.QUOTE_NONNUMERIC if broken else csv.QUOTE_MINIMAL
