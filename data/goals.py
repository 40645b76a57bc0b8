"""What a campaign is after: of each objective a sign and limits. The only place that knows which way is better.

Measured values are stored and reported in the objective's own unit. What scores, chooses and rewards sees them
*signed*: negated where small values are the goal, so that larger is always better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Sign = Literal[-1, 0, 1]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted of one objective.

    Raises:
        ValueError: the sign is none, a limit is no number, or the limits leave nothing between them.
    """

    name: str
    sign: Sign = 1
    """+1: large values are better; -1: small ones; 0: only the limits count, and values are signed as they are."""
    at_least: float | None = None
    """Least allowed value, in the objective's own unit; None: any."""
    at_most: float | None = None
    """Largest allowed value, in the objective's own unit; None: any."""
    target: float | None = None
    """The value to come close to: signed values are then the negated distance from it. None: none."""
    unit: str = ""

    def __post_init__(self) -> None:
        if self.sign not in (-1, 0, 1):
            raise ValueError(f"The sign of the goal {self.name!r} is +1, -1 or 0; got {self.sign!r}.")
        low, high = self.allowed
        if not low <= high:  # also where one of them is NaN
            raise ValueError(
                f"The goal {self.name!r} allows values from {low:g} to {high:g}, which are none. Give an at_least that "
                "is not above at_most."
            )
        if self.target is not None and (self.sign != 1 or self.allowed != (-math.inf, math.inf)):
            raise ValueError(f"The goal {self.name!r} has a target; it has the sign +1 and no limits then.")

    @property
    def factor(self) -> float:
        """What a value is multiplied by so that larger is better: 1 or -1; a target needs `signed`."""
        return -1.0 if self.sign < 0 else 1.0

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return self.at_least is not None or self.at_most is not None

    def signed(self, value: float) -> float:
        """Return a value so that larger is better."""
        return self.factor * value if self.target is None else -abs(value - self.target)

    @property
    def allowed(self) -> tuple[float, float]:
        """Least and largest allowed value in the objective's own unit, infinite where there is no limit."""
        return (
            -math.inf if self.at_least is None else self.at_least,
            math.inf if self.at_most is None else self.at_most,
        )


SIGNS: Mapping[str, Sign] = {"maximise": 1, "minimise": -1, "satisfy": 0, "target": 1}
"""Of the goals as campaign files name them."""


def goals_of(objectives: Iterable[Mapping[str, Any]]) -> Goals:
    """Return the goals of objectives as a campaign's stored configuration has them."""
    return Goals(
        Goal(str(one["name"]), SIGNS[one["goal"]], one.get("at_least"), one.get("at_most"), one.get("target"))
        for one in objectives
    )


class Goals(tuple[Goal, ...]):
    """The goals of K objectives, in their order."""

    __slots__ = ()

    @property
    def main(self) -> Goal:
        """The first goal that improves something: what a single value stands for where there is room for one."""
        return next((goal for goal in self if goal.sign), self[0])

    @property
    def improved(self) -> tuple[int, ...]:
        """The positions of the goals that improve something; the others have limits only."""
        return tuple(k for k, goal in enumerate(self) if goal.sign)

    @property
    def signs(self) -> tuple[Sign, ...]:
        """The K signs."""
        return tuple(goal.sign for goal in self)

    def signed(self, values: Sequence[float | None]) -> tuple[float, ...]:
        """Return K values so that larger is better, nan where one is None.

        Raises:
            ValueError: there is not one value per goal.
        """
        if len(values) != len(self):
            raise ValueError(f"There is one value per goal; got {len(values)} values and {len(self)} goals.")
        return tuple(
            math.nan if value is None else goal.signed(value) for goal, value in zip(self, values, strict=True)
        )

    def limits(self) -> tuple[tuple[float, float], ...]:
        """Return the least and the largest allowed signed value of each objective, infinite where there is no limit."""
        return tuple((-high, -low) if goal.sign < 0 else (low, high) for goal in self for low, high in [goal.allowed])

    def feasible(self, values: Mapping[str, float]) -> bool:
        """Return whether values, in their own units and by the objectives' names, keep to all limits.

        What has a limit and no value, or nan, does not keep to it.
        """
        return all(
            low <= values.get(goal.name, math.nan) <= high
            for goal in self
            for low, high in [goal.allowed]
            if goal.limited
        )
