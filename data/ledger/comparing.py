"""Campaigns beside one another at equal calls, and the interval of the difference of two groups of them.

Plain Python on rows of the ledger. Scores are *signed*: larger is better, whatever the goal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data.goals import Goals
from data.ledger.summary import IMPORTED, by_round, is_call
from data.pareto import Vector, hypervolume, undominated
from data.records import CandidateRow, RoundSummary
from data.student import student


def purchases(rows: Iterable[CandidateRow]) -> list[tuple[int, CandidateRow]]:
    """Return what a campaign knows in the order in which it came, each with the calls that were spent by then.

    Values that came with the data were known before the first call: they stand at call 0.
    """
    every = [part for of_round in by_round(rows).values() for part in of_round]
    found = [(0, row) for row in every if row.origin == IMPORTED]
    calls = 0
    for row in sorted(filter(is_call, every), key=lambda row: (row.round, row.position)):
        calls += row.calls
        found.append((calls, row))
    return found


def common_reference(campaigns: Iterable[Sequence[CandidateRow]], goals: Goals) -> Vector | None:
    """Return one reference point for the hypervolumes of all: that of all initial designs taken together."""
    first: list[CandidateRow] = []
    for rows in campaigns:
        measured = [row for row in rows if goals.measured(row)]
        begun = min((row.round for row in measured), default=0)
        first += [row._replace(round=0) for row in measured if row.round == begun]
    return goals.reference(first)


@dataclass(frozen=True, slots=True)
class Scored:
    """What a campaign reached by a number of calls.

    Attributes:
        goals: of the campaign.
        reference: of hypervolumes; None: nothing is measured anywhere, or one objective is to be improved.
    """

    goals: Goals
    reference: Vector | None = None

    def after(self, rows: Iterable[CandidateRow], calls: int) -> float | None:
        """Return the signed score of what was bought by so many calls, None where nothing of it counts.

        Of one objective to be improved it is the mean of the ten best values, signed, of several the hypervolume of
        the front. What breaks a limit counts nothing.
        """
        goals = self.goals
        known = {row.id: row for at, row in purchases(rows) if at <= calls}
        eligible = [row for row in known.values() if goals.eligible(row)]
        if goals.several:
            points = [goals.vector(row) for row in eligible]
            if self.reference is None:
                return None
            return hypervolume([points[i] for i in undominated(points)], self.reference)
        best = sorted((goals.main.signed(row.value) for row in eligible if row.value is not None), reverse=True)
        best = best[: RoundSummary.TOP]
        return math.fsum(best) / len(best) if best else None


@dataclass(frozen=True, slots=True)
class Paired:
    """The mean of n paired differences with its 95 % interval.

    Attributes:
        mean: of the differences.
        half: of the interval, by Student's t with n - 1 degrees of freedom: the mean of differences that vary as these
            do is within it in 19 of 20 such comparisons, if the pairs are independent and their differences normal.
        n: pairs.
    """

    mean: float
    half: float
    n: int

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half


def paired(first: Sequence[float], second: Sequence[float]) -> Paired:
    """Return how much larger the second of each pair is.

    Raises:
        ValueError: there are not as many of one as of the other, or fewer than two pairs.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"Pairs need two series of one length, at least two; got {len(first)} and {len(second)}.")
    n = len(first)
    differences = [after - before for before, after in zip(first, second, strict=True)]
    mean = math.fsum(differences) / n
    deviation = math.sqrt(math.fsum((one - mean) ** 2 for one in differences) / (n - 1))
    return Paired(mean, student(n - 1) * deviation / math.sqrt(n), n)
