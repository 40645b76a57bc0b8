"""What a campaign found, computed from the ledger's candidates: for the terminal, the reports and MLflow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from data.goals import Goal, Goals
from data.ledger.campaigns import StageRow
from data.pareto import Vector, hypervolume, undominated
from data.records import (
    Arm,
    ArmFigures,
    ArmVolumes,
    CallState,
    CandidateRow,
    Gain,
    RoundSummary,
    SourceFigures,
    Standing,
)
from data.student import student
from data.wording import counted, figure, interval, shown_unit


class Course:
    """Summaries of a campaign round by round, each row looked at once.

    Args:
        goals: of its objectives.
    """

    def __init__(self, goals: Goals) -> None:
        self.goals = goals
        self._calls = self._failed = 0
        self._best: list[float] = []
        self._best_of: Mapping[str, float] = {}
        self._volume = _Volume(goals) if goals.several else None

    def add(self, round: int, rows: Sequence[CandidateRow]) -> RoundSummary:
        """Return the summary after one more round.

        Args:
            round: after all that were added; 0 for the initial design.
            rows: its candidates; whatever their order, that of purchase counts.
        """
        goals, rows = self.goals, sorted(rows, key=lambda row: row.position)
        self._calls += sum(row.calls for row in rows if is_call(row))
        self._failed += sum(map(failed_calls, rows))
        self._best = best_values([*self._best, *_values(rows, goals)], goals.main)
        self._volume = None if self._volume is None else self._volume.after(rows)
        self._best_of = self._bests(rows)
        return RoundSummary(
            round=round,
            calls=self._calls,
            best=self._best[0] if self._best else None,
            top10_mean=sum(self._best) / len(self._best) if self._best else None,
            acquisition_mean=_mean(rows, Arm.ACQUISITION, goals),
            control_mean=_mean(rows, Arm.CONTROL, goals),
            failed=self._failed,
            metrics={},
            acquisition=arm_figures(rows, Arm.ACQUISITION, goals),
            control=arm_figures(rows, Arm.CONTROL, goals),
            feasible=feasible_share(rows, goals),
            acquisition_feasible=feasible_share(_of_arm(rows, Arm.ACQUISITION), goals),
            control_feasible=feasible_share(_of_arm(rows, Arm.CONTROL), goals),
            acquisition_outside=outside_limits(rows, Arm.ACQUISITION, goals),
            control_outside=outside_limits(rows, Arm.CONTROL, goals),
            top_n=len(self._best),
            best_of=self._best_of if goals.several else None,
            front=None if self._volume is None else len(self._volume.front),
            hypervolume=None if self._volume is None else self._volume.hypervolume,
            volumes=None if self._volume is None else self._volume.by_arm(),
        )

    def _bests(self, rows: Sequence[CandidateRow]) -> Mapping[str, float]:
        if not self.goals.several:
            return {}
        values = [self._best_of, *(self.goals.values(row) for row in rows if self.goals.eligible(row))]
        wanted = [self.goals[k] for k in self.goals.improved]
        return {
            goal.name: max((one[goal.name] for one in values if goal.name in one), key=goal.signed)
            for goal in wanted
            if any(goal.name in one for one in values)
        }


def best_values(values: Iterable[float], goal: Goal) -> list[float]:
    """Return the best values of an objective, best first: at most as many as the mean of the best is of."""
    return sorted(values, key=goal.signed, reverse=True)[: RoundSummary.TOP]


DRAWS = 32
"""Equally many calls of the larger arm are drawn so often; what they reach on average is compared."""


@dataclass(frozen=True)
class _Volume:
    """The front of a campaign so far, and what each arm has added to that of the initial design."""

    goals: Goals
    reference: Vector | None = None
    front: tuple[Vector, ...] = ()
    hypervolume: float = 0.0
    initial: tuple[Vector, ...] = ()
    """The front of the initial design."""
    arms: tuple[tuple[Vector | None, ...], tuple[Vector | None, ...]] = ((), ())
    """Of each call of the acquisition and of the control arm what was measured; None: it failed or broke a limit."""

    def after(self, rows: Sequence[CandidateRow]) -> _Volume:
        """Return the same after one more round's rows, in the order of their purchase."""
        reference = self.reference or self.goals.reference(rows)
        front = self._joined(self.front, rows)
        acquisition, control = (
            (*before, *self._outcomes(_of_arm(rows, arm)))
            for before, arm in zip(self.arms, (Arm.ACQUISITION, Arm.CONTROL), strict=True)
        )
        # Where the box grows, rounding may take what nothing else can.
        volume = max(self.hypervolume, 0.0 if reference is None else hypervolume(front, reference))
        initial = self._joined(self.initial, _of_arm(rows, Arm.INITIAL))
        return _Volume(self.goals, reference, front, volume, initial, (acquisition, control))

    def by_arm(self) -> ArmVolumes | None:
        """Return what both arms reach by equally many calls, those of the smaller arm."""
        n = min(map(len, self.arms))
        if not n or self.reference is None:
            return None
        acquisition, control = (self._reached(outcomes, n) for outcomes in self.arms)
        return ArmVolumes(n, acquisition, control)

    def _reached(self, outcomes: Sequence[Vector | None], n: int) -> float:
        """Return the hypervolume of the initial design and n calls: on average over draws where there are more."""
        draws = [outcomes] if len(outcomes) == n else [Random(i).sample(outcomes, n) for i in range(DRAWS)]
        reference = self.reference or ()
        reached = [hypervolume([*self.initial, *filter(None, drawn)], reference) for drawn in draws]
        return math.fsum(reached) / len(reached)

    def _outcomes(self, rows: Iterable[CandidateRow]) -> list[Vector | None]:
        answered = (row for row in rows if is_call(row) and row.state in (CallState.DONE, CallState.FAILED))
        return [self.goals.vector(row) if self.goals.eligible(row) else None for row in answered]

    def _joined(self, front: Sequence[Vector], rows: Iterable[CandidateRow]) -> tuple[Vector, ...]:
        every = [*front, *(self.goals.vector(row) for row in rows if self.goals.eligible(row))]
        return tuple(every[i] for i in undominated(every))


def summarise(rows: Sequence[CandidateRow], round: int, goals: Goals) -> RoundSummary:
    """Summarise a round.

    Args:
        rows: the campaign's candidates, as `Ledger.candidates` gives them; later rounds are ignored.
        round: 0 for the initial design.
        goals: of its objectives.
    """
    course, rounds = Course(goals), by_round(rows)
    for earlier in sorted(rounds):  # one by one: what both arms reach by equally many calls depends on the order
        if earlier < round:
            course.add(earlier, rounds[earlier])
    return course.add(round, rounds.get(round, []))


def summaries(rows: Iterable[CandidateRow], goals: Goals) -> list[RoundSummary]:
    """Summarise every round that has candidates."""
    course, rounds = Course(goals), by_round(rows)
    return [course.add(round, rounds[round]) for round in sorted(rounds)]


def standing(rows: Sequence[CandidateRow], goals: Goals) -> Standing:
    """Return how far a campaign is, and its best values."""
    return Standing.of(max((row.round for row in rows), default=None), best_values(_values(rows, goals), goals.main))


def by_round(rows: Iterable[CandidateRow]) -> dict[int, list[CandidateRow]]:
    """Return the rows of each round.

    One that was bought again at a higher level is in each of these rounds, with the calls of the round, and has its
    value from the round on in which that was bought.
    """
    found: dict[int, list[CandidateRow]] = {}
    for row in rows:
        for part in (row,) if row.booked is None else purchases_of(row):
            found.setdefault(part.round, []).append(part)
    return found


def purchases_of(row: CandidateRow) -> list[CandidateRow]:
    """Return a row as it was after each round in which something of it was bought, with the calls of that round.

    What was bought again at a higher level has its value from that round on; what was measured again keeps its place,
    and its later rounds have the calls alone.
    """
    booked = row.booked or {}
    known = {level.round for levels in (row.levels or {}).values() for level in levels if level.round is not None}
    rounds = sorted({*booked, *(known if row.levels is not None else {row.round})})
    if len(rounds) < 2:
        return [row]
    bare = row._replace(value=None, values={}, repeats=None, state=str(CallState.DONE), error=None, message="")
    # Of what goes up the last purchase tells, of what was measured again the first.
    telling = row.round if row.levels is None else rounds[-1]
    found = []
    for at in rounds:
        calls, failed = booked.get(at, (0, 0))
        shown = row if at == telling else bare
        found.append(shown._replace(round=at, calls=calls, booked={at: (calls, failed)}))
    return found


def failed_calls(row: CandidateRow) -> int:
    """Return how many calls of a row failed."""
    if row.booked is None:
        return int(row.state == CallState.FAILED)
    return sum(failed for _, failed in row.booked.values())


IMPORTED = "imported"
"""Origin of values that came with the data."""


def is_call(row: CandidateRow) -> bool:
    """Return whether a candidate is counted as a call of the oracle: neither proposed only nor supplied as data."""
    return row.origin not in (None, IMPORTED)


def arm_figures(rows: Sequence[CandidateRow], arm: Arm, goals: Goals) -> ArmFigures | None:
    """Return what an arm measured in some rows and what keeps to the limits, or None if there is nothing."""
    values = _values(_of_arm(rows, arm), goals)
    if not values:
        return None
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return ArmFigures(1, mean, None)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return ArmFigures(n, mean, student(n - 1) * deviation / math.sqrt(n))


def outside_limits(rows: Sequence[CandidateRow], arm: Arm, goals: Goals) -> int:
    """Return how many of an arm's measured values break a limit."""
    if not goals.limited:
        return 0
    return sum(
        row.state == CallState.DONE and goals.measured(row) and not goals.eligible(row) for row in _of_arm(rows, arm)
    )


def is_given(row: CandidateRow) -> bool:
    """Return whether a candidate's value came with the user's data: nobody here has measured it."""
    return row.origin == IMPORTED


GIVEN = "from your data"
"""What is said of such a value, everywhere."""


def source_told(source: str | None, origin: str | None) -> str:
    """Return the source of a candidate, and that its value came with the user's data where it did."""
    return f"{source or ''} ({GIVEN})".lstrip() if origin == IMPORTED else source or ""


def place_told(row: CandidateRow) -> str:
    """Return where a candidate is from: the user's data, the initial design, or which round."""
    return GIVEN if is_given(row) else "initial design" if row.round == 0 else f"round {row.round}"


def free_told(rows: Iterable[CandidateRow]) -> str:
    """Return why the cost is less than the calls: values of other campaigns are not paid again; empty without any."""
    free = sum(row.origin in ("reused", "awaited") for row in rows)
    if not free:
        return ""
    return f"{free} candidate{'' if free == 1 else 's'} took over values of other campaigns, which cost nothing"


def gain_over_control(rows: Sequence[CandidateRow], goals: Goals) -> Gain | None:
    """Return the gain of all rounds over the control arm, None where one of the arms has nothing to compare.

    Values of a target are compared by their distance from it; what breaks a limit is left out.
    """
    main = goals.main
    groups = [
        [main.signed(value) for value in _values(_of_arm(rows, arm), goals)] for arm in (Arm.ACQUISITION, Arm.CONTROL)
    ]
    if not all(groups):
        return None
    means = [math.fsum(group) / len(group) for group in groups]
    gain, sizes = means[0] - means[1], [len(group) for group in groups]
    if min(sizes) < 2:
        return Gain(gain, None, *sizes)
    parts = [
        math.fsum((value - mean) ** 2 for value in group) / (len(group) - 1) / len(group)
        for group, mean in zip(groups, means, strict=True)
    ]
    if not sum(parts):
        return Gain(gain, 0.0, *sizes)
    # Welch and Satterthwaite's degrees of freedom, rounded down: the interval is then the wider one.
    freedom = sum(parts) ** 2 / sum(part**2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
    return Gain(gain, student(max(1, int(freedom))) * math.sqrt(sum(parts)), *sizes)


def feasible_share(rows: Iterable[CandidateRow], goals: Goals) -> float | None:
    """Return the share of what was measured that keeps to the limits, None where there are none or nothing was."""
    measured = [row for row in rows if row.state == CallState.DONE and goals.measured(row)] if goals.limited else []
    return sum(map(goals.eligible, measured)) / len(measured) if measured else None


def arm_text(figures: ArmFigures | None, outside: int = 0) -> str:
    """Return a mean with its 95 % interval and n, such as `1.23 (0.92 to 1.54), n 6`; a dash where there is none.

    Below `FEWEST` values there is no interval to show: of two it is thirteen times their standard error.

    Args:
        figures: of the arm.
        outside: values of the arm that break a limit, which are in no mean and are counted.
    """
    beside = [f"{outside} outside"] if outside else []
    if figures is None:
        return ", ".join(beside) or "-"
    mean = interval(figures.mean, figures.half if figures.n >= FEWEST else None)
    return ", ".join([mean, f"n {figures.n}", *beside])


def volumes_told(volumes: ArmVolumes) -> str:
    """Return a sentence on what both arms have added to the front of the initial design."""
    return (
        f"Hypervolume of the initial design and {counted(volumes.n, 'call')} of an arm: "
        f"{figure(volumes.acquisition)} with the acquisition arm, {figure(volumes.control)} with the control arm."
    )


FEWEST = 3
"""Values of which an interval of their mean is shown."""


def by_source(
    rows: Sequence[CandidateRow],
    stages: Iterable[StageRow],
    goals: Goals,
    *,
    family: Callable[[str], str] | None = None,
) -> list[SourceFigures]:
    """Return what each source proposed and what came of it, in one order whatever that of the rows.

    By the first round of which something was taken, the initial design before the arms; then the others.

    Args:
        rows: the campaign's candidates.
        stages: its finished stages; `propose` and `screen` counted their candidates by source.
        goals: of its objectives; values are those of the main one.
        family: of an object, to count the families of hits; None: they are not counted.
    """
    hits = best_tenth(rows, goals)
    counts: dict[str, dict[str, int]] = {"propose": {}, "screen": {}}
    for stage in stages:
        for key, value in stage.metrics.items():
            kind, _, source = key.partition("/")
            if stage.name in counts and kind == COUNTED and source:
                counts[stage.name][source] = counts[stage.name].get(source, 0) + round(value)
    bought: dict[str, list[CandidateRow]] = {}
    for row in rows:
        if row.state != "proposed":
            given = source_told(row.source, row.origin)
            bought.setdefault(given, []).append(row)
    out = []
    first = {source: min((row.round, _ARMS.index(row.arm)) for row in mine) for source, mine in bought.items()}
    for source in dict.fromkeys([*sorted(first, key=lambda name: (first[name], name)), *counts["propose"]]):
        mine = bought.get(source, [])
        values = _values(mine, goals)
        out.append(
            SourceFigures(
                source=source,
                proposed=counts["propose"].get(source),
                screened=counts["screen"].get(source, 0 if source in counts["propose"] and counts["screen"] else None),
                bought=sum(map(is_call, mine)),
                mean=math.fsum(values) / len(values) if values else None,
                best=max(values, key=goals.main.signed) if values else None,
                hits=sum(row.id in hits for row in mine),
                families=None if family is None else len({family(row.object) for row in mine if row.id in hits}),
            )
        )
    return out


def best_tenth(rows: Sequence[CandidateRow], goals: Goals) -> set[str]:
    """Return the identities of the best tenth of what was measured, at least one; of these what keeps to the limits."""
    measured = [row for row in rows if row.state == CallState.DONE and goals.measured(row)]
    first = goals.ranked(measured)[: max(1, round(len(measured) / 10))]
    return {row.id for row in first if goals.eligible(row)}


_ARMS = tuple(Arm)

COUNTED = "source"
"""Metrics `source/KIND` of the stages `propose` and `screen` count candidates by the kind of generator."""


REFUSED_BY = "refused_by"
"""Metrics `refused_by/KIND` of the stages `train_generator` and `screen` count objects by what refused them."""

MET = "met"
"""Metric of the stage `train_generator`: objects that the generators scored."""


def screening_told(stages: Iterable[StageRow]) -> list[str]:
    """Return sentences on what screens refused to the generators and among the proposals, counted by screen."""
    counts = {name: Counter[str]() for name in ("train_generator", "screen")}
    refused = {name: Counter[str]() for name in counts}
    for stage in stages:
        if stage.name in counts:
            counts[stage.name].update({key: round(stage.metrics[key]) for key in _TOTALS if key in stage.metrics})
            split = ((*key.partition("/"), value) for key, value in stage.metrics.items())
            refused[stage.name].update({kind: round(value) for name, _, kind, value in split if name == REFUSED_BY})
    met, proposed = counts["train_generator"][MET], counts["screen"]
    left = proposed["refused"] + proposed["control_refused"]
    total = left + proposed["passed"] + proposed["control_passed"]
    sentences = []
    if searched := refused["train_generator"].total():
        sentences.append(
            f"Generators met {met:,} objects, of which screens refused {searched:,}"
            f"{refused_told(refused['train_generator'])}."
        )
    if left:
        sentences.append(
            f"Of {total:,} proposals of all rounds, those of the control arm included, {left:,} did not pass"
            f"{refused_told(refused['screen'])}."
        )
    return sentences


def refused_told(refused: Mapping[str, int]) -> str:
    """Return `: KIND count, ...` of what was refused by what, the commonest first; empty where nothing was."""
    told = [
        f"{_KINDS.get(kind, kind.replace('_', ' '))} {count:,}"
        for kind, count in sorted(refused.items(), key=lambda item: (-item[1], item[0]))
    ]
    return f": {', '.join(told)}" if told else ""


_TOTALS = (MET, "passed", "refused", "control_passed", "control_refused")
_KINDS = {"known": "already in the campaign", "space": "outside the space"}


def _values(rows: Iterable[CandidateRow], goals: Goals) -> list[float]:
    """Return the values of the main objective of what is measured and keeps to the limits."""
    return [
        row.value
        for row in rows
        if row.state == CallState.DONE and row.value is not None and (goals.plain or goals.eligible(row))
    ]


def _of_arm(rows: Iterable[CandidateRow], arm: Arm) -> list[CandidateRow]:
    return [row for row in rows if row.arm == arm]


def _mean(rows: Sequence[CandidateRow], arm: Arm, goals: Goals) -> float | None:
    values = _values(_of_arm(rows, arm), goals)
    return sum(values) / len(values) if values else None


@dataclass(frozen=True, slots=True)
class Repeated:
    """How far repeated measurements of one object are apart.

    Attributes:
        objective: whose values.
        objects: that were measured more than once.
        deviation: standard deviation of a measurement, pooled over them.
        freedom: degrees of freedom that it has.
    """

    objective: str
    objects: int
    deviation: float
    freedom: int


def repeated(rows: Iterable[CandidateRow], goals: Goals) -> list[Repeated]:
    """Return the spread of repeated measurements of each objective, of those that have any."""
    every = [row.repeats for row in rows if row.repeats]
    found = []
    for goal in goals:
        groups = [one[goal.name] for one in every if goal.name in one]
        freedom = sum(len(values) - 1 for values in groups)
        if freedom:
            squares = math.fsum((value - math.fsum(group) / len(group)) ** 2 for group in groups for value in group)
            found.append(Repeated(goal.name, len(groups), math.sqrt(squares / freedom), freedom))
    return found


def repeated_told(one: Repeated, goals: Goals) -> str:
    """Return a sentence on the spread of repeated measurements."""
    goal = next(goal for goal in goals if goal.name == one.objective)
    return (
        f"{one.objective}: {one.objects} measured repeatedly, standard deviation of a measurement "
        f"{figure(one.deviation, 2)} {shown_unit(goal.unit)}".rstrip()
        + f" ({one.freedom} degree{'s' if one.freedom > 1 else ''} of freedom)."
    )
