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


def counted(number: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun: `1 row`, `2 rows`.

    Args:
        number: of what is counted.
        one: what one of them is called.
        several: what several are; None: the same with an s.
    """
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def interval(mean: float, half: float | None, *, signed: bool = False) -> str:
    """Return a mean and the ends of its interval, all as exact as two digits of the half-width: `1.23 (0.43 to 2.03)`.

    Args:
        mean: the middle.
        half: half of the interval; None or 0: there is none, and the mean is shown alone.
        signed: whether a mean above 0 has a plus sign, as that of a difference.
    """
    plus = "+" if signed and mean > 0 else ""
    if not half or not math.isfinite(half) or not math.isfinite(mean):
        return f"{plus}{figure(mean)}"
    last = math.floor(math.log10(abs(half))) - 1
    low, middle, high = (_up_to(value, last) for value in (mean - abs(half), mean, mean + abs(half)))
    return f"{plus}{middle} ({low} to {high})"


def _up_to(value: float, last: int) -> str:
    """Return a number up to the digit of a power of ten, with seven significant digits at most."""
    rounded = round(value, -last)
    power = math.floor(math.log10(abs(rounded))) if rounded else 0
    return figure(rounded, min(max(power - last + 1, 1), 7))


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
