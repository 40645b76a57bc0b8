"""`--where` and `--columns` of `discover candidates`: which candidates, and what of them. Nothing that is given is run.

A condition is COLUMN OPERATOR VALUE: `value > 3`, `"=tox <%>.value" <= 0.8`, `arm = control`, `smiles contains "c1"`.
A missing number meets no condition, a missing text is the empty one.
"""

from __future__ import annotations

import csv
import difflib
import math
import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from data.config import ConfigError
from data.records import JsonDict
from data.wording import figure
from models.spaces.base import BaseSpace

Cell = str | float | bool | None


class Kind(StrEnum):
    """What the cells of a column are, missing ones aside."""

    NUMBER = "numbers"
    TEXT = "texts"
    TRUTH = "true or false"


_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_SAME: Mapping[str, Callable[[Any, Any], bool]] = {"!=": operator.ne, "=": operator.eq}
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {**_ORDER, **_SAME}
CONTAINS = "contains"
OPERATORS = (*_ORDER, *_SAME, CONTAINS)
"""Longer ones first: `>=` begins with `>`."""

_QUOTED = r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'"
_CONDITION = re.compile(
    rf"\s*(?P<column>{_QUOTED}|[^\s\"'<>=!~]++)\s*(?P<operator>[<>=!~]+|[a-zA-Z]+(?=[\s\"']|$))\s*(?P<value>.*?)\s*",
    re.S,
)
_NUMBERS = frozenset({"value", "round", "predicted_mean", "predicted_std", "novelty"})
_TEXTS = frozenset({"id", "unit", "arm", "source", "origin", "state", "error", "message", "same_compound"})
_TRUTHS = frozenset({"feasible", "front"})
_TRUE_OR_FALSE = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_MOST_NEAR = 3


@dataclass(frozen=True, slots=True)
class Condition:
    """What a column must hold.

    Attributes:
        column: as the export names it.
        operator: one of `OPERATORS`.
        wanted: what its cells are compared with, of their kind.
    """

    column: str
    operator: str
    wanted: str | float | bool

    def met(self, row: Mapping[str, Cell]) -> bool:
        """Return whether a candidate meets the condition."""
        cell = row[self.column]
        if isinstance(self.wanted, str):
            text = "" if cell is None else str(cell)
            return self.wanted in text if self.operator == CONTAINS else _SAME[self.operator](text, self.wanted)
        if cell is None or isinstance(cell, str):
            return False
        return bool(_COMPARED[self.operator](cell, self.wanted))

    def lacks(self, row: Mapping[str, Cell]) -> bool:
        """Return whether a candidate has nothing that could be compared."""
        return row[self.column] is None and not isinstance(self.wanted, str)


def conditions_of(texts: Iterable[str], kinds: Mapping[str, Kind]) -> list[Condition]:
    """Return the conditions of some `--where`.

    Args:
        texts: as they were given.
        kinds: column -> what its cells are.

    Raises:
        ConfigError: one is no condition, or its column, its operator or what is compared is not there.
    """
    return [_condition(text, kinds) for text in texts]


def kinds_of(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]], space: BaseSpace[Any]) -> dict[str, Kind]:
    """Return what the cells of each column are: by its name, or by the rows where the space made it.

    Args:
        columns: of the export.
        rows: of the export.
        space: of the candidates.
    """
    found = {column: kind for column in columns if (kind := _known(column))}
    found |= dict.fromkeys({space.column, space.compound_column} & set(columns), Kind.TEXT)
    open_columns = [column for column in columns if column not in found]
    texts = {column for row in rows for column in open_columns if isinstance(row[column], str)}
    return {column: found.get(column, Kind.TEXT if column in texts else Kind.NUMBER) for column in columns}


def _known(column: str) -> Kind | None:
    """Return the kind of a column that every campaign has, or each of its objectives."""
    last = column.rpartition(".")[2]
    if column in _TRUTHS:
        return Kind.TRUTH
    if column in _NUMBERS:
        return Kind.NUMBER
    if column in _TEXTS or last == "unit":
        return Kind.TEXT
    return None


def selected(rows: Sequence[JsonDict], conditions: Sequence[Condition]) -> tuple[list[JsonDict], str]:
    """Return the rows that meet all conditions, in their order, and a sentence on those that are left out."""
    kept = [row for row in rows if all(condition.met(row) for condition in conditions)]
    lacking = sum(any(condition.lacks(row) for condition in conditions) for row in rows)
    told = f"{len(rows) - len(kept)} of {len(rows)} candidates are left out by --where"
    return kept, f"{told}, {lacking} of them because they have no value to compare." if lacking else f"{told}."


def chosen_columns(text: str, columns: Sequence[str]) -> list[str]:
    """Return the columns of `--columns a,b,c`, in the order in which they are named; a name with a comma is in quotes.

    Raises:
        ConfigError: one is unknown, named twice or empty.
    """
    names = [name.strip() for line in csv.reader([text], skipinitialspace=True) for name in line]
    for name in names:
        if name not in columns:
            raise ConfigError(_unknown("--columns", name, columns))
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"--columns names {twice!r} twice; name each column once.")
    if not names:
        raise ConfigError(f"--columns is empty; expected names with commas between, of {_listed(columns)}.")
    return names


def shown(cell: Cell) -> str:
    """Return a cell as a table of the terminal shows it."""
    if cell is None:
        return ""
    return figure(cell) if isinstance(cell, float) else str(cell)


def _condition(text: str, kinds: Mapping[str, Kind]) -> Condition:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ConfigError(_no_condition(text))
    column, sign, value = _unquoted(found["column"]), found["operator"], found["value"]
    if sign == "==":
        sign = "="
    if sign not in OPERATORS:
        blank = " A column with a blank in its name is written in quotes." if sign.isalpha() else ""
        raise ConfigError(
            f"--where {text!r} has the operator {sign!r}, which there is not; expected one of {', '.join(OPERATORS)}."
            f"{blank}"
        )
    if column not in kinds:
        raise ConfigError(_unknown("--where", column, kinds))
    if not value:
        raise ConfigError(f'--where {text!r} compares with nothing; expected a number or a text, "" for an empty one.')
    return Condition(column, sign, _wanted(text, column, sign, _unquoted(value), kinds[column]))


def _wanted(text: str, column: str, sign: str, value: str, kind: Kind) -> str | float | bool:
    """Return what cells are compared with.

    Raises:
        ConfigError: it is not of their kind, or they are not compared so.
    """
    if sign == CONTAINS and kind is not Kind.TEXT:
        raise ConfigError(
            f"--where {text!r} looks for a text, and the column {column!r} holds {kind}. Compare it with one of "
            f"{', '.join([*_ORDER, *_SAME] if kind is Kind.NUMBER else _SAME)}."
        )
    if sign in _ORDER and kind is not Kind.NUMBER:
        able = [*_SAME, CONTAINS] if kind is Kind.TEXT else [*_SAME]
        raise ConfigError(
            f"--where {text!r} compares as a number what is none: the column {column!r} holds {kind}. Expected one of "
            f"{', '.join(able)}."
        )
    if kind is Kind.TEXT:
        return value
    if kind is Kind.TRUTH:
        if value.lower() not in _TRUE_OR_FALSE:
            raise ConfigError(f"--where {text!r}: the column {column!r} is true or false; got {value!r}.")
        return _TRUE_OR_FALSE[value.lower()]
    # Python reads `1_000` and the digits of every script as numbers too; people mean something else by these.
    number = float(value) if _NUMBER.fullmatch(value) else math.nan
    if not math.isfinite(number):
        raise ConfigError(
            f"--where {text!r} compares numbers with a text: the column {column!r} holds numbers, and {value!r} is "
            "none. Write it like 3, -0.5 or 1e-9."
        )
    return number


_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


def _no_condition(text: str) -> str:
    return (
        f"--where {text!r} is no condition; expected a column, one of {', '.join(OPERATORS)}, and a number or a text, "
        "such as 'value > 3'. A column whose name has blanks or signs is written in quotes: '\"my goal.value\" > 3'."
    )


def _unknown(option: str, name: str, known: Collection[str]) -> str:
    by_small = {column.lower(): column for column in known}
    near = [by_small[small] for small in difflib.get_close_matches(name.lower(), by_small, _MOST_NEAR, 0.5)]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"{option} names the column {name!r}, which the export has not; it has {_listed(known)}.{hint}"


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(columns)


def _unquoted(text: str) -> str:
    """Return a text without the quotes around it; two in a row stand for one."""
    if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0]:
        return text[1:-1].replace(text[0] * 2, text[0])
    return text
