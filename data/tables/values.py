"""Text to a measured value: a plain decimal number, exact, in one unit; everything else is refused with a reason."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from data.objects import NotStandardError
from data.records import LARGEST_VALUE
from data.tables.neighbours import BETWEEN, EXACT, bare
from data.tables.rows import Row

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+")
_DIGIT = re.compile(r"[1-9]")
_FORMULA = re.compile(r"=\s*(?![<>=~]).*[^0-9.,eE\s+-]|=\s*[+-]?[0-9.,]+\s*[-+*/^(].*")
"""What a spreadsheet computes: an equals sign and more than one number."""
_SIGN = re.compile(r"[<>~=≈≤≥≲≳±]|&[lg]t;|(ca|approx|about|circa)\b", re.I)


@dataclass(frozen=True, slots=True)
class ValueRules:
    """How the texts of values are read.

    Attributes:
        decimal: mark between the digits.
        unit: the only unit that is taken, None: whatever the column of units says.
    """

    decimal: Literal[".", ","] = "."
    unit: str | None = None


def exact_value(row: Row, rules: ValueRules = ValueRules()) -> float:
    """Return the value of a row, NaN where its cell is empty.

    Raises:
        NotStandardError: no finite decimal number, a bound or an estimate (its own sign or that of the column of
            relations), or in another unit than is wanted.
    """
    text = row.value
    if not text:
        return math.nan
    if _FORMULA.match(text):
        raise NotStandardError(f"the value {text!r} is a formula, which is not computed; write the number it gives")
    if _SIGN.match(text):
        raise NotStandardError(f"the value {text!r} is a bound or an estimate, no measured value")
    relation = bare(row.relation)
    if relation not in EXACT:
        raise NotStandardError(_bound(relation, row.relation_column))
    if row.unit != rules.unit and any(_NUMBER.fullmatch(part) for part in row.unit.split(BETWEEN)):
        raise NotStandardError(f"the unit {row.unit!r} of the value is a number; a decimal comma may part the two")
    if row.unit == "%":
        text = without_percent(text)
    value = number(text, rules.decimal)
    if rules.unit is not None and row.unit != rules.unit:
        raise NotStandardError(f"the unit {row.unit!r} of the value is not the one that was asked for")
    return value


def _bound(relation: str, column: str | None) -> str:
    if column is None:
        return f"the relation {relation!r} says that the value is a bound or an estimate, not exact"
    return (
        f"the relation {relation!r} in the column {column!r} says that the value is a bound or an estimate, not exact; "
        "if that column belongs to something else, name the right one in the option `relation`"
    )


def without_percent(text: str) -> str:
    """Return the text of a value in percent without the sign behind it, which says its unit once more."""
    return text.removesuffix("%").rstrip() if text.endswith("%") else text


def number(text: str, decimal: str = ".") -> float:
    """Return a finite decimal number as people and programs write it: digits, one mark, an exponent.

    Raises:
        NotStandardError: anything else, also what Python takes for a number (`5_1`, `nan`, full-width digits).
    """
    if decimal == "," and _GROUPED.fullmatch(text):
        raise NotStandardError(
            f"the value {text!r} is ambiguous where decimals have commas: its point may part thousands or decimals"
        )
    plain = text.replace(decimal, ".") if decimal != "." and "." not in text else text
    value = float(plain) if _NUMBER.fullmatch(plain) else math.nan
    if not math.isfinite(value):
        hint = ""
        if decimal == "." and text.count(",") == 1 and _NUMBER.fullmatch(text.replace(",", ".")):
            hint = " (for decimal commas give the option decimal)"
        elif text.endswith("%"):
            hint = " (it has a percent sign, and the values have another unit or none; write the number alone)"
        raise NotStandardError(f"the value {text!r} is not a finite number{hint}")
    if value == 0 and _DIGIT.search(plain.lower().partition("e")[0]):
        raise NotStandardError(f"the value {text!r} is too small to be told from zero")
    if abs(value) > LARGEST_VALUE:
        raise NotStandardError(f"the value {text!r} is larger than {LARGEST_VALUE:g}")
    return value
