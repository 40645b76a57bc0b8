"""What a prediction rests on, in words and as rows of a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from data.records import JsonDict
from data.wording import figure, shown_unit
from models.spaces.base import BaseSpace
from tasks.explaining import Explained

COLUMNS = ("part", "contribution", "standard_error", "objective", "unit")
"""Of the table."""
NAMED = 8
"""Parts of each sort that are named."""


def explained_told(explained: Explained, space: BaseSpace[Any]) -> list[str]:
    """Return sentences: the prediction, the atoms and the features that move it most, and what the rest adds."""
    found, goal = explained.found, explained.goal
    unit = shown_unit(goal.unit)
    moved = found.prediction - found.reference
    told = [
        f"{goal.name}: predicted {figure(found.prediction)} {unit}".rstrip()
        + f" by the proxy of round {explained.round}, {_signed(moved)} beside {figure(found.reference)} of a typical "
        f"{space.nouns[0]} (one with the mean features of what was measured)."
    ]
    for heading, places in (("Atoms", range(found.atoms)), ("Features", range(found.atoms, len(found.names)))):
        ranked = sorted(places, key=lambda place: -abs(found.values[place]))
        shown = [place for place in ranked if abs(found.values[place]) >= 0.005 * max(abs(found.values).max(), 1e-300)]
        named = shown[:NAMED]
        if not named:
            continue
        rest = sum(float(found.values[place]) for place in ranked if place not in named)
        others = len(ranked) - len(named)
        more = f"; the other{f' {others} add' if others > 1 else ' adds'} {_signed(rest)}" if others else ""
        parts = ", ".join(f"{found.names[place]} {_signed(float(found.values[place]))}" for place in named)
        told.append(f"{heading}: {parts}{more}.")
    if len(told) == 1:
        told.append("No part moves the prediction: all that was measured is predicted alike.")
    return told


def table_of(explained: Explained) -> list[JsonDict]:
    """Return a row for each part, in the order of the atoms and features."""
    found, goal = explained.found, explained.goal
    return [
        dict(zip(COLUMNS, (name, float(value), float(error), goal.name, goal.unit), strict=True))
        for name, value, error in zip(found.names, found.values, found.errors, strict=True)
    ]


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{figure(float(np.abs(value)), 3)}"
