"""What a campaign is after: of each objective a sign and limits. The only place that knows which way is better.

Measured values are stored and reported in the objective's own unit. What scores, chooses and rewards sees them
*signed*: negated where small values are the goal, so that larger is always better.

Plain Python, since `discover status` must answer at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from data.pareto import Vector, fronts, shares, undominated
from data.records import CallState, CandidateRow
from data.wording import shown_unit

Sign = Literal[-1, 0, 1]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted of one objective.

    Raises:
        ValueError: the sign is none, a limit is no number, or the limits leave nothing between them.
    """

    name: str
    sign: Sign = 1
    """+1: large values are better; -1: small ones; 0: only the limits count, or what a value tells where there is none,
    and values are signed as they are."""
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

    def keeps(self, value: float | None) -> bool:
        """Return whether a value keeps to the limits; where there is one, None and nan do not."""
        low, high = self.allowed
        return not self.limited or (value is not None and low <= value <= high)

    @property
    def told(self) -> str:
        """What is wanted, in words: `minimise toxicity, at most 0.3`, `gap close to 2.5 eV`."""
        unit = f" {shown_unit(self.unit)}".rstrip()
        limits = [(word, limit) for word, limit in (("at least", self.at_least), ("at most", self.at_most))]
        bounds = " and ".join(f"{word} {limit:g}{unit}" for word, limit in limits if limit is not None)
        if self.target is not None:
            return f"{self.name} close to {self.target:g}{unit}"
        if not self.sign:
            return f"{self.name} {bounds}" if bounds else f"observe {self.name}"
        wanted = f"{'maximise' if self.sign > 0 else 'minimise'} {self.name}"
        return f"{wanted}, {bounds}" if bounds else wanted

    @property
    def allowed(self) -> tuple[float, float]:
        """Least and largest allowed value in the objective's own unit, infinite where there is no limit."""
        return (
            -math.inf if self.at_least is None else self.at_least,
            math.inf if self.at_most is None else self.at_most,
        )


SIGNS: Mapping[str, Sign] = {"maximise": 1, "minimise": -1, "satisfy": 0, "target": 1, "observe": 0}
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
        return all(goal.keeps(values.get(goal.name)) for goal in self)

    @property
    def plain(self) -> bool:
        """Whether one objective is to be improved and that is all: rows have a `value` and no `values` then."""
        return len(self) == 1 and self[0].target is None and not self[0].limited

    @property
    def limited(self) -> bool:
        """Whether there is a limit, so that what is measured may break it."""
        return any(goal.limited for goal in self)

    @property
    def observed(self) -> bool:
        """Whether nothing is to be improved: measurements count for what they tell, and none is a best one."""
        return not self.improved

    @property
    def several(self) -> bool:
        """Whether more than one objective is to be improved: the best are a front then."""
        return len(self.improved) > 1

    def with_units(self, units: Mapping[str, str]) -> Goals:
        """Return the same goals with the units of their objectives, as far as they are known."""
        return Goals(replace(goal, unit=units.get(goal.name, goal.unit)) for goal in self)

    def values(self, row: CandidateRow) -> Mapping[str, float]:
        """Return the measured values of a row, in their own units and by the objectives' names."""
        if row.values is not None:
            return row.values
        return {} if row.value is None else {self.main.name: row.value}

    def measured(self, row: CandidateRow) -> bool:
        """Return whether each objective of a row has a value."""
        if row.values is None:
            return row.value is not None and len(self) == 1
        return all(row.values.get(goal.name) is not None for goal in self)

    def eligible(self, row: CandidateRow) -> bool:
        """Return whether a row may be called a best one: it is measured and keeps to all limits."""
        if self.observed:
            return False
        return self.measured(row) and (not self.limited or self.feasible(self.values(row)))

    def vector(self, row: CandidateRow) -> Vector:
        """Return the signed values of a measured row, those of the objectives that are to be improved."""
        values = self.values(row)
        return tuple(self[k].signed(values[self[k].name]) for k in self.improved)

    def reference(self, rows: Iterable[CandidateRow]) -> Vector | None:
        """Return the point above which a campaign's hypervolume is counted, or None where nothing is measured.

        Of each objective to be improved it is the worst signed value that the initial design measured (the first round
        that measured anything), less a tenth of the range there. Later rounds do not move it, so the hypervolume of a
        campaign never falls from one round to the next.
        """
        measured = [row for row in rows if self.measured(row)]
        first = min((row.round for row in measured), default=None)
        return _below([self.vector(row) for row in measured if row.round == first])

    def front(self, rows: Sequence[CandidateRow]) -> list[CandidateRow]:
        """Return the rows that keep to all limits and that none of these dominates, in the order of `ranked`."""
        eligible = [row for row in rows if self.eligible(row)]
        vectors = [self.vector(row) for row in eligible]
        return _in_order(eligible, vectors, undominated(vectors), self.reference(rows))

    def ranked(self, rows: Sequence[CandidateRow]) -> list[CandidateRow]:
        """Return candidates best first; where nothing is to be improved, in the order of their purchase.

        What is measured and keeps to the limits comes first: by its value where one objective is to be improved, else
        front by front and in a front by the share of the hypervolume that is lost without a row. Then what breaks a
        limit by the value of the main objective, what is not measured by what was predicted, and what failed.
        """
        if self.observed:
            return sorted(rows, key=lambda row: (row.round, row.position, row.id))
        if not self.several:
            return sorted(rows, key=self._place)
        groups: tuple[list[CandidateRow], ...] = ([], [], [], [])
        for row in rows:
            groups[self._group(row)].append(row)
        reference = self.reference(rows)
        told = [row for row in groups[_UNMEASURED] if self._predicted(row) is not None]
        untold = [row for row in groups[_UNMEASURED] if self._predicted(row) is None]
        return [
            *_by_front(groups[_ELIGIBLE], self.vector, reference),
            *sorted(groups[_OUTSIDE], key=self._place),
            *_by_front(told, lambda row: self._predicted(row) or (), reference),
            *sorted(untold, key=self._place),
            *sorted(groups[_LOST], key=self._place),
        ]

    def _group(self, row: CandidateRow) -> int:
        if self.measured(row):
            return _ELIGIBLE if self.eligible(row) else _OUTSIDE
        return _LOST if row.state in (CallState.FAILED, CallState.ABANDONED) else _UNMEASURED

    def _place(self, row: CandidateRow) -> tuple[int, float, str]:
        group = self._group(row)
        value = row.value if group in (_ELIGIBLE, _OUTSIDE) else row.predicted_mean
        return (group, 0.0 if value is None else -self.main.signed(value), row.id)

    def _predicted(self, row: CandidateRow) -> Vector | None:
        """Return the signed predictions of the objectives to be improved, None where one is missing."""
        told, wanted = row.predicted or {}, [self[k] for k in self.improved]
        if not all(goal.name in told for goal in wanted):
            return None
        return tuple(goal.signed(told[goal.name][0]) for goal in wanted)


_ELIGIBLE, _OUTSIDE, _UNMEASURED, _LOST = range(4)
"""Groups of candidates in the order of `Goals.ranked`."""


def read_as(row: CandidateRow, goal: Goal) -> CandidateRow:
    """Return a row as a campaign of this objective alone would have it: its value, its prediction."""
    if row.values is None and row.predicted is None:
        return row
    mean, std = (row.predicted or {}).get(goal.name, (None, None))
    return row._replace(value=(row.values or {}).get(goal.name), predicted_mean=mean, predicted_std=std)


def _below(vectors: Sequence[Vector]) -> Vector | None:
    """Return the worst entries less a tenth of their ranges; of entries that are all equal, of their size."""
    worst = [(min(entries), max(entries)) for entries in zip(*vectors, strict=True)]
    return tuple(low - 0.1 * ((high - low) or abs(low) or 1.0) for low, high in worst) or None


def _by_front(
    rows: Sequence[CandidateRow], vector: Callable[[CandidateRow], Vector], reference: Vector | None
) -> Iterator[CandidateRow]:
    vectors = [vector(row) for row in rows]
    for front in fronts(vectors):
        yield from _in_order(rows, vectors, front, reference)


def _in_order(
    rows: Sequence[CandidateRow], vectors: Sequence[Vector], front: Sequence[int], reference: Vector | None
) -> list[CandidateRow]:
    """Return the rows of a front, the one first whose loss would cost the most hypervolume; then by identity."""
    if not front:
        return []
    members = [vectors[i] for i in front]
    own = shares(members, reference or _below(members) or ())
    return [rows[i] for _, _, i in sorted((-share, rows[i].id, i) for share, i in zip(own, front, strict=True))]
