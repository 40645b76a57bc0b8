"""Values of a laboratory that look wrong: they are taken as they are, and said, since only people know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from statistics import median
from typing import Any

from data.objects import NotStandardError
from data.records import CallState, JsonDict
from data.tables.results import Result
from data.wording import figure
from models.spaces.base import BaseSpace
from tasks.oracles.asking import Column
from tasks.oracles.sorting import outputs_of

FEWEST = 5
"""Other values that say where values lie."""

FAR = 3.0
"""So many times the range of all others, beyond its ends, a value is far outside."""

PERCENT = "%"

_ANSWERED = (CallState.DONE, CallState.SUBMITTED)
"""Of the latter other values are waited for."""


def remarks_on(
    results: Sequence[Result],
    columns: Sequence[Column],
    calls: Mapping[tuple[str, str, int], JsonDict],
    space: BaseSpace[Any] | None = None,
) -> list[str]:
    """Return sentences on told values that look wrong, each with its line.

    Args:
        results: what was told.
        columns: of the values, as the results number them.
        calls: of the campaign before these were told, by oracle, object and replicate.
        space: of the objects.
    """
    found: list[tuple[int, str]] = []
    texts = {object_id: str(call.get("object", "")) for (_, object_id, _), call in calls.items()}
    for place, column in enumerate(columns):
        told = [(row, value) for row in results if (value := row.values.get(place)) is not None]
        objects = {row.id for row, _ in told}
        known = [
            value
            for (part, object_id, _), call in calls.items()
            if part == column.part and object_id not in objects and call["state"] in _ANSWERED
            if (value := outputs_of(call).get(column.output)) is not None
        ]
        for number, (row, value) in enumerate(told):
            others = known + [other for k, (_, other) in enumerate(told) if k != number]
            why = _percent(value, others) if column.unit == PERCENT else ""
            why = why or _far(value, others)
            text = texts.get(row.id) or row.text
            if space is not None and text:
                with suppress(NotStandardError):  # what was not asked for may be written in any way
                    why = space.contradiction(text, column.output, value) or why
            if why:
                found.append((row.line, f"{column.name} {figure(value)} {column.unit}".rstrip() + f" {why}"))
    return [
        f"Line {line}: {told}. It was taken as it is; if it is wrong, tell the right value with --correct."
        for line, told in sorted(found)
    ]


def _percent(value: float, others: Sequence[float]) -> str:
    """Return why a value in percent looks wrong, as the end of a sentence; empty: it does not."""
    if not 0 <= value <= 100:
        return "is outside 0 to 100 %"
    if 0 < value < 1 and len(others) >= 2 and (median(others) >= FEWEST or all(0 <= other < 1 for other in others)):
        return f"may be a share of one, which is {figure(100 * value)} %"
    return ""


def _far(value: float, others: Sequence[float]) -> str:
    if len(others) < FEWEST:
        return ""
    low, high = min(others), max(others)
    reach = FAR * (high - low)
    if low == high or low - reach <= value <= high + reach:
        return ""
    return f"is far from all other values, which are {figure(low)} to {figure(high)}"
