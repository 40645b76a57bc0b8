"""How numbers, units and people's texts are shown to people: in the terminal, on pages and in plots.

Exports do not come here: they keep exact values. Plain Python, since `discover status` must answer at once.
"""

from __future__ import annotations

import math
import unicodedata

DIGITS = 4
"""Significant digits of what is shown."""

_PLAIN = range(-4, 6)
"""Powers of ten of the leading digit that are written without an exponent."""

_STEERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2028\u2029\u2066\u2067\u2068\u2069\ufeff")
"""Characters that change the order or the lines of the text around them."""


def figure(value: float | None, digits: int = DIGITS) -> str:
    """Return a number of any size with so many significant digits, a dash where there is none.

    Zeros at the end are kept, so that figures of one column look alike: `4.370`, `1.200e-09`, `0`.
    """
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    scientific = f"{value:.{digits - 1}e}"
    power = int(scientific.partition("e")[2])  # of the rounded value: 9.9999 is shown as 10.00
    if power not in _PLAIN:
        return scientific
    rounded = float(scientific)
    return f"{rounded:.{max(digits - 1 - power, 0)}f}"


def spread(mean: float | None, std: float | None) -> str:
    """Return a mean with its deviation, the latter with two digits; empty without a mean."""
    if mean is None:
        return ""
    return figure(mean) if std is None else f"{figure(mean)} ± {figure(std, 2)}"


def shown_unit(unit: str | None) -> str:
    """Return a unit as it is shown: that of a pure number, `1`, is not."""
    return "" if unit is None or unit.strip() == "1" else unit


def labelled(name: str, unit: str | None) -> str:
    """Return a heading: a name, and the unit in brackets where there is one."""
    told = shown_unit(unit)
    return f"{name} ({told})" if told else name


def harmless(text: str) -> str:
    """Return a text in which every character that would steer a terminal is written as its escape.

    Line breaks and tabs stay; so do letters of every script. What has no UTF-8 form (lone surrogates, as in file names
    of other encodings) is escaped as well.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_harmless, text))


def _harmless(letter: str) -> str:
    if letter in "\n\t":
        return letter
    if letter in _STEERING or unicodedata.category(letter) in ("Cc", "Cs"):
        return letter.encode("unicode_escape", "backslashreplace").decode("ascii")
    return letter
