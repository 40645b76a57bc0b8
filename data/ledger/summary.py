"""What a campaign found, computed from the ledger's candidates: for the terminal, the reports and MLflow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from data.ledger.campaigns import StageRow
from data.records import Arm, ArmFigures, CallState, CandidateRow, RoundSummary, SourceFigures
from data.wording import spread


class Course:
    """Summaries of a campaign round by round, each row looked at once.

    Args:
        maximise: whether larger values are better.
    """

    def __init__(self, *, maximise: bool) -> None:
        self.maximise = maximise
        self._calls = 0
        self._best: list[float] = []

    def add(self, round: int, rows: Sequence[CandidateRow]) -> RoundSummary:
        """Return the summary after one more round.

        Args:
            round: after all that were added; 0 for the initial design.
            rows: its candidates, as `Ledger.candidates` gives them.
        """
        measured = _values(rows)
        self._calls += sum(map(is_call, rows))
        self._best = sorted([*self._best, *measured], reverse=self.maximise)[: RoundSummary.TOP]
        return RoundSummary(
            round=round,
            calls=self._calls,
            best=self._best[0] if self._best else None,
            top10_mean=RoundSummary.top_mean(self._best, maximise=self.maximise),
            acquisition_mean=_mean(rows, Arm.ACQUISITION),
            control_mean=_mean(rows, Arm.CONTROL),
            failed=sum(row.state == CallState.FAILED for row in rows),
            metrics={},
            acquisition=arm_figures(rows, Arm.ACQUISITION),
            control=arm_figures(rows, Arm.CONTROL),
        )


def summarise(rows: Sequence[CandidateRow], round: int, *, maximise: bool) -> RoundSummary:
    """Summarise a round.

    Args:
        rows: the campaign's candidates, as `Ledger.candidates` gives them; later rounds are ignored.
        round: 0 for the initial design.
        maximise: whether larger values are better.
    """
    course = Course(maximise=maximise)
    course.add(round - 1, [row for row in rows if row.round < round])
    return course.add(round, [row for row in rows if row.round == round])


def summaries(rows: Iterable[CandidateRow], *, maximise: bool) -> list[RoundSummary]:
    """Summarise every round that has candidates."""
    course, rounds = Course(maximise=maximise), by_round(rows)
    return [course.add(round, rounds[round]) for round in sorted(rounds)]


def by_round(rows: Iterable[CandidateRow]) -> dict[int, list[CandidateRow]]:
    """Return the rows of each round."""
    found: dict[int, list[CandidateRow]] = {}
    for row in rows:
        found.setdefault(row.round, []).append(row)
    return found


def ranked(rows: Sequence[CandidateRow], *, maximise: bool) -> list[CandidateRow]:
    """Return the candidates best first: measured by value, then unmeasured by predicted mean, then failed ones."""

    def key(row: CandidateRow) -> tuple[int, float, str]:
        sign = -1.0 if maximise else 1.0
        if row.value is not None:
            return (0, sign * row.value, row.id)
        group = 2 if row.state in (CallState.FAILED, CallState.ABANDONED) else 1
        mean = row.predicted_mean
        return (group, 0.0 if mean is None else sign * mean, row.id)

    return sorted(rows, key=key)


IMPORTED = "imported"
"""Origin of values that came with the data."""


def is_call(row: CandidateRow) -> bool:
    """Return whether a candidate is counted as a call of the oracle: neither proposed only nor supplied as data."""
    return row.origin not in (None, IMPORTED)


def arm_figures(rows: Sequence[CandidateRow], arm: Arm) -> ArmFigures | None:
    """Return what an arm measured in some rows, or None if it measured nothing."""
    values = _values(row for row in rows if row.arm == arm)
    if not values:
        return None
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return ArmFigures(1, mean, None)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return ArmFigures(n, mean, student(n - 1) * deviation / math.sqrt(n))


def arm_text(figures: ArmFigures | None) -> str:
    """Return a mean with its 95 % interval and n, such as `1.234 ± 0.31 (n 6)`; a dash where there is none.

    Below `FEWEST` values there is no interval to show: of two it is thirteen times their standard error.
    """
    if figures is None:
        return "-"
    return f"{spread(figures.mean, figures.half if figures.n >= FEWEST else None)} (n {figures.n})"


FEWEST = 3
"""Values of which an interval of their mean is shown."""


def by_source(
    rows: Sequence[CandidateRow],
    stages: Iterable[StageRow],
    *,
    maximise: bool,
    family: Callable[[str], str] | None = None,
) -> list[SourceFigures]:
    """Return what each source proposed and what came of it, in one order whatever that of the rows.

    By the first round of which something was taken, the initial design before the arms; then the others.

    Args:
        rows: the campaign's candidates.
        stages: its finished stages; `propose` and `screen` counted their candidates by source.
        maximise: whether larger values are better.
        family: of an object, to count the families of hits; None: they are not counted.
    """
    hits = best_tenth(rows, maximise=maximise)
    counts: dict[str, dict[str, int]] = {"propose": {}, "screen": {}}
    for stage in stages:
        for key, value in stage.metrics.items():
            kind, _, source = key.partition("/")
            if stage.name in counts and kind == COUNTED and source:
                counts[stage.name][source] = counts[stage.name].get(source, 0) + round(value)
    bought: dict[str, list[CandidateRow]] = {}
    for row in rows:
        if row.state != "proposed":
            given = f"{row.source} (given)" if row.origin == IMPORTED else row.source
            bought.setdefault(given, []).append(row)
    out = []
    first = {source: min((row.round, _ARMS.index(row.arm)) for row in mine) for source, mine in bought.items()}
    for source in dict.fromkeys([*sorted(first, key=lambda name: (first[name], name)), *counts["propose"]]):
        mine = bought.get(source, [])
        values = _values(mine)
        out.append(
            SourceFigures(
                source=source,
                proposed=counts["propose"].get(source),
                screened=counts["screen"].get(source, 0 if source in counts["propose"] and counts["screen"] else None),
                bought=sum(map(is_call, mine)),
                mean=math.fsum(values) / len(values) if values else None,
                best=(max(values) if maximise else min(values)) if values else None,
                hits=sum(row.id in hits for row in mine),
                families=None if family is None else len({family(row.object) for row in mine if row.id in hits}),
            )
        )
    return out


def best_tenth(rows: Sequence[CandidateRow], *, maximise: bool) -> set[str]:
    """Return the identities of the best tenth of what was measured, at least one where anything was."""
    measured = [row for row in rows if row.state == CallState.DONE and row.value is not None]
    order = sorted(measured, key=lambda row: ((row.value or 0.0) * (-1.0 if maximise else 1.0), row.id))
    return {row.id for row in order[: max(1, round(len(measured) / 10))]}


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


def student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t, to three digits."""
    return _STUDENT[freedom - 1] if freedom <= len(_STUDENT) else 1.96 + 2.5 / freedom


_STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def _values(rows: Iterable[CandidateRow]) -> list[float]:
    return [row.value for row in rows if row.state == CallState.DONE and row.value is not None]


def _mean(rows: Sequence[CandidateRow], arm: Arm) -> float | None:
    values = _values(row for row in rows if row.arm == arm)
    return sum(values) / len(values) if values else None
