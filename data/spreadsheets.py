"""Text in CSV files that spreadsheets open: never a formula.

A program that opens a CSV file runs a cell that begins with `=`, `+`, `-` or `@` (or a tab or a line break before one
of them) as a formula; a name or a message that others wrote could begin so. Such texts get an apostrophe in front, and
so do texts that begin with one: taking one leading apostrophe away gives back every text. Numbers are not touched.

Reference: OWASP, CSV Injection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_STARTS = tuple("=+-@\t\r\n'＝＋－＠")
"""The wide forms are taken for the narrow ones by spreadsheets of East Asian locales."""


def safe_text(value: Any) -> Any:
    """Return a text that no spreadsheet runs; anything that is no text as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_STARTS) else value


def original_text(value: str) -> str:
    """Return what was given to `safe_text`."""
    return value.removeprefix("'")


def safe_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose texts no spreadsheet runs; numbers stay numbers, to the bit."""
    texts = [name for name in frame.columns if frame[name].dtype.kind not in "biufcmM"]
    return frame.assign(**{str(name): frame[name].map(safe_text, na_action="ignore") for name in texts})
