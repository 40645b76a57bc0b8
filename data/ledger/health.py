"""Health of a campaign: findings that say in a sentence what happened and what to do, computed from the ledger alone.

Everything here is arithmetic on rows, without numpy: `discover status` shows it and must answer at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from data.goals import Goal, Goals, read_as
from data.ledger.campaigns import StageRow
from data.ledger.summary import COUNTED
from data.never_learnt import NEVER, never_told
from data.records import Arm, CallState, CandidateRow

FEWEST = 8
"""Measured predictions without which nothing is said about their calibration."""

_LIMITS = {50: 0.6744897501960817, 80: 1.2815515655446004, 90: 1.6448536269514722, 95: 1.959963984540054}
"""Half-width of the central interval of each probability, in standard deviations."""
Z90 = _LIMITS[90]
_RARE = 0.01
"""A coverage is low if chance alone gives one as low less often than this."""
_CHANCE = 0.05
"""A generator is idle if chance alone passes over all of its candidates less often than this."""
_SIGMAS = 3.0
"""A mean or a spread has drifted if it is as many of its standard errors away."""


class Level(StrEnum):
    """How much a finding matters."""

    GOOD = "good"
    """As it should be."""
    UNKNOWN = "unknown"
    """Too little to tell."""
    WARNING = "warning"
    """Something to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at in a round, and what came out."""

    round: int
    kind: str
    """`calibration` (of held-out predictions), `calibration_drift` (of predictions that were then measured),
    `never_learnt` (of measured values that the others contradict), `idle_source` (of a generator that nothing was
    bought of), and those of `data.ledger.course_health`: `proxy_worse_than_mean`, `acquisition_flat`, `narrow_batch`,
    `oracle_failing`, `oracle_slowing`, `control_winning`, `stalled`, `budget_nearly_spent`."""
    level: Level
    message: str
    """What happened and, where something is wrong, what to do. Complete sentences."""
    figures: dict[str, float] = field(default_factory=dict)
    objective: str = ""
    """Whose predictions they are, where a campaign has several objectives."""


def findings(
    rows: Sequence[CandidateRow], stages: Iterable[StageRow], goals: Goals, *, only: int | None = None
) -> list[Finding]:
    """Return the findings of every round that trained a proxy, in order.

    Args:
        rows: the campaign's candidates, as `Ledger.candidates` gives them.
        stages: its finished stages; the metrics of `train_proxy` are what the proxy promised, those of one of several
            objectives behind its name and a slash.
        goals: of its objectives.
        only: the round whose findings are wanted; each round's look at all rows before it.
    """
    every = list(stages)
    trained = sorted((s for s in every if s.name == "train_proxy"), key=lambda s: s.round)
    if only is not None:  # a finding says if the round before had it too, and no more of the past
        others = [s for s in every if s.name != "train_proxy"]
        found = findings(rows, [*[s for s in trained if s.round <= only][-2:], *others], goals)
        return of_round(found, only)
    found = []
    for stage in trained:
        for goal in goals:
            name = goal.name if len(goals) > 1 else ""
            before = [f for f in found if f.kind == "calibration_drift" and f.objective == name][-1:]
            read = [read_as(row, goal) for row in rows] if name else rows
            told = _of_objective(read, stage, goal, f"{name}/heldout_" if name else "heldout_", before)
            found += [_named(finding, name) for finding in told]
        found += idle_sources(rows, every, stage.round)
    return found


def _of_objective(
    rows: Sequence[CandidateRow], stage: StageRow, goal: Goal, prefix: str, before: Sequence[Finding]
) -> list[Finding]:
    """Return the findings on the predictions of one objective in a round.

    Args:
        rows: the campaign's candidates as the objective's own campaign would have them.
        stage: that trained the proxy.
        goal: of the objective.
        prefix: of the metrics of its proxy.
        before: the drift of an earlier round, where there is one.
    """
    promised = {k.removeprefix(prefix): v for k, v in stage.metrics.items() if k.startswith(prefix)}
    drift = calibration_drift([row for row in rows if row.round <= stage.round], stage.round, promised, goal)
    again = _narrow_alone(drift) and bool(before) and _narrow_alone(before[0])
    more = (
        f" Round {before[0].round} had this finding too, so new data alone do not mend it: choose another "
        "`proxy.kind`, its features or its `calibration`, and begin anew with --fresh (measurements are kept)."
        if again
        else ""
    )
    found = Finding(drift.round, drift.kind, drift.level, drift.message + more, drift.figures)
    return [*_held_out(stage.round, promised), *_never_learnt(stage, prefix.removesuffix("heldout_")), found]


def _never_learnt(stage: StageRow, prefix: str) -> list[Finding]:
    own = {key.removeprefix(prefix): value for key, value in stage.metrics.items() if key.startswith(prefix)}
    told = never_told(own, stage.round)
    return [Finding(stage.round, NEVER, Level.WARNING, told, {"n": own[NEVER]})] if told else []


def _named(finding: Finding, name: str) -> Finding:
    """Return a finding that says whose it is, where there are several objectives."""
    message = f"Objective {name}: {finding.message[:1].lower()}{finding.message[1:]}" if name else finding.message
    return replace(finding, objective=name, message=message)


def idle_sources(rows: Sequence[CandidateRow], stages: Iterable[StageRow], round: int) -> list[Finding]:
    """Return a finding for each generator of which nothing was bought in two rounds, although it proposed in both.

    There is none where draws from all that was proposed might well have missed it too.

    A campaign with one generator has none: what is bought is bought of it.

    Args:
        rows: the campaign's candidates.
        stages: its finished stages; `propose` counted by generator, `train_generator` took the time.
        round: the last of the two.
    """
    proposed: dict[str, dict[int, int]] = {}
    seconds = 0.0
    for stage in stages:
        if stage.round not in (round - 1, round):
            continue
        seconds += stage.seconds if stage.name in ("train_generator", "propose") else 0.0
        for key, count in stage.metrics.items() if stage.name == "propose" else ():
            kind, _, source = key.partition("/")
            if kind == COUNTED and source and count > 0:
                proposed.setdefault(source, {})[stage.round] = int(count)
    bought = [row for row in rows if row.round in (round - 1, round) and row.source in proposed]
    chosen = {row.source for row in bought}
    found = []
    for source, counts in sorted(proposed.items()):
        if len(counts) < 2 or source in chosen or len(proposed) < 2:
            continue
        chance = math.prod(
            1.0 - counts[row.round] / sum(one.get(row.round, 0) for one in proposed.values()) for row in bought
        )
        if chance > _CHANCE:
            continue
        message = (
            f"Rounds {round - 1} and {round}: the generator {source!r} proposed {sum(counts.values())} candidates and "
            f"none of the {len(bought)} chosen is among them, which draws without regard to the model would do "
            f"{100 * chance:.2g} % of the time. Take it out of `generator.members`, or give it other options; all "
            f"generators together took {seconds:.0f} s in these rounds."
        )
        figures = {"proposed": float(sum(counts.values())), "seconds": seconds}
        found.append(Finding(round, "idle_source", Level.WARNING, message, figures))
    return found


def of_round(found: Iterable[Finding], round: int) -> list[Finding]:
    """Return the findings of one round."""
    return [finding for finding in found if finding.round == round]


def worst(found: Iterable[Finding]) -> Level:
    """Return the level of the gravest finding; `unknown` without any."""
    levels = {finding.level for finding in found}
    return next((level for level in (Level.WARNING, Level.GOOD) if level in levels), Level.UNKNOWN)


def calibration_drift(rows: Sequence[CandidateRow], round: int, promised: Mapping[str, float], goal: Goal) -> Finding:
    """Compare what was predicted of the acquisition arm's purchases with what was then measured.

    The verdict is on all rounds so far, for a single one says little; the last one stands beside it.

    Args:
        rows: candidates of the rounds so far, both arms, as the objective's own campaign would have them.
        round: the last of them.
        promised: held-out figures of its proxy: `coverage_90`, `nll`, `rms_z`, as far as there are.
        goal: of the objective.
    """
    used = predicted_and_measured(rows)
    acquired = [row for row in used if row.arm != Arm.CONTROL]
    if len(acquired) < FEWEST:
        return Finding(
            round,
            "calibration_drift",
            Level.UNKNOWN,
            f"Round {round}: {len(acquired)} predictions of the acquisition arm were measured; below {FEWEST} nothing "
            "can be said about their calibration.",
            {"n": float(len(acquired))},
        )
    here = _triples([row for row in acquired if row.round == round])
    overall = drift_figures(_triples(acquired))
    alone = drift_figures(here) if len(here) >= FEWEST else {}
    first = min(row.round for row in acquired)
    trouble = _trouble(overall, alone or overall, promised, _better_side(goal))
    told = _told(first, round, overall, here, used, promised, praised=not trouble)
    level = Level.WARNING if trouble else Level.GOOD
    figures = {**overall, **{f"last_{key}": value for key, value in alone.items()}}
    return Finding(round, "calibration_drift", level, f"{told} {trouble or 'The predictions hold.'}", figures)


def predicted_and_measured(rows: Sequence[CandidateRow]) -> list[CandidateRow]:
    """Return the candidates that a proxy predicted and that were then measured: those that every count is about."""
    return [
        row for row in rows if row.value is not None and row.predicted_mean is not None and row.state == CallState.DONE
    ]


def inside(rows: Sequence[CandidateRow]) -> int:
    """Return how many measured values lie inside the central 90 % interval of their predictions."""
    return sum(abs(value - mean) <= Z90 * std for value, mean, std in _triples(rows))


def inside_text(rows: Sequence[CandidateRow]) -> str:
    """Return how many measured values of each arm lie inside their 90 % intervals, for the plot."""
    arms = {
        name: [row for row in rows if (row.arm == Arm.CONTROL) is control]
        for name, control in (("acquisition", False), ("control", True))
    }
    counts = ", ".join(f"{name} {inside(part)} of {len(part)}" for name, part in arms.items() if part)
    return f"Inside the 90 % interval: {counts}"


def expected_inside(n: int, probability: float = 0.9) -> tuple[int, int]:
    """Return between which numbers of n intervals hold their value, in 95 of 100 campaigns that predict as promised."""
    half = _LIMITS[95] * math.sqrt(n * probability * (1.0 - probability))
    return max(whole(n * probability - half), 0), min(whole(n * probability + half), n)


def _narrow_alone(finding: Finding) -> bool:
    """Return whether the last round would have been accused without those before it."""
    n, share = finding.figures.get("last_n", 0.0), finding.figures.get("last_coverage_90", 1.0)
    return finding.level is Level.WARNING and whole(n * share) < expected_inside(whole(n))[0]


def _triples(rows: Sequence[CandidateRow]) -> list[tuple[float, float, float]]:
    return [
        (row.value, row.predicted_mean, row.predicted_std)
        for row in rows
        if row.value is not None and row.predicted_mean is not None and row.predicted_std is not None
    ]


def drift_figures(measured: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    """Return `n`, `coverage_50` to `coverage_95`, `mean_z`, `rms_z` and `nll` of n >= 1 (value, mean, std)."""
    n = len(measured)
    z = [(value - mean) / std for value, mean, std in measured]
    density = [0.5 * math.log(2.0 * math.pi) + math.log(std) for _, _, std in measured]
    return {
        "n": float(n),
        **{f"coverage_{p}": sum(abs(one) <= limit for one in z) / n for p, limit in _LIMITS.items()},
        "mean_z": sum(z) / n,
        "rms_z": math.sqrt(sum(one * one for one in z) / n),
        "nll": sum(d + 0.5 * one * one for d, one in zip(density, z, strict=True)) / n,
    }


def _told(
    first: int,
    round: int,
    overall: Mapping[str, float],
    here: Sequence[tuple[float, float, float]],
    used: Sequence[CandidateRow],
    promised: Mapping[str, float],
    *,
    praised: bool,
) -> str:
    """Return the counts, and the verdict on them; what is amiss otherwise is not called `as promised` on the way."""
    n = whole(overall["n"])
    low, high = expected_inside(n)
    held = whole(overall["coverage_90"] * n)
    verdict = "too narrow: " if held < low else "too wide: " if held > high else "as promised: " if praised else ""
    many = first < round
    where = f"rounds {first} to {round}" if many else f"round {round}"
    parts = [
        f"Acquisition arm, {where}: {verdict}{_percent(held / n)} of {n} inside the 90 % interval "
        f"(expected {low} to {high}, were {held})"
    ]
    if many and here:
        last = sum(abs(value - mean) <= Z90 * std for value, mean, std in here)
        parts.append(f"round {round} alone {last} of {len(here)}")
    control = [row for row in used if row.arm == Arm.CONTROL]
    if control:
        parts.append(f"control arm {inside(control)} of {len(control)}")
    if "coverage_90" in promised:
        parts.append(f"held out {_percent(promised['coverage_90'])}")
    nll = f"NLL {overall['nll']:.2f}" + (f", {promised['nll']:.2f} held out" if "nll" in promised else "")
    return "; ".join([*parts, nll]) + "."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _trouble(
    overall: Mapping[str, float], last: Mapping[str, float], promised: Mapping[str, float], better: int
) -> str:
    """Return what is wrong and what to do, or an empty string; larger values are better (1), worse (-1) or neither."""
    n, mean = last["n"], last["mean_z"]
    low = whole(overall["coverage_90"] * overall["n"]) < expected_inside(whole(overall["n"]))[0]
    rms = overall["rms_z"]
    spread = chi_square_sigmas(overall["n"], rms / max(promised.get("rms_z", 1.0), 1.0))
    if abs(mean) > 0.5 and abs(mean) * math.sqrt(n) > _SIGMAS * max(1.0, promised.get("rms_z", 1.0)):
        worse = (mean < 0) == (better > 0)
        side = "below" if mean < 0 else "above"
        what = f"Measured values are on average {abs(mean):.1f} predicted deviations {side} the predictions: the proxy "
        if not better:
            return what + (
                "is off to one side for what it chooses. The new measurements correct it in the next round; to stay "
                "where it can be believed set `proxy.domain.min_similarity`."
            )
        return what + (
            "promises too much for what it chooses. The new measurements correct it in the next round; to buy less on "
            "promises, set `proxy.domain.min_similarity` or give the deviation less weight in `acquisition`."
            if worse
            else "underrates what it chooses. The new measurements correct it in the next round; candidates like these "
            "deserve a larger share: raise `generator.inverse_temperature` or lower the selector's diversity."
        )
    if low or spread > _SIGMAS:
        return (
            f"Errors are {rms:.1f} times as large as predicted: the proxy is too sure of what is unlike its training "
            "data. Later rounds are calibrated on these purchases too, if `proxy.calibration` is not none; to stay "
            "where it can be believed set `proxy.domain.min_similarity`."
        )
    if spread < -_SIGMAS and rms < 0.6:
        return (
            f"Errors are only {rms:.1f} times as large as predicted: the proxy is too cautious, and exploration costs "
            "more than it needs to. Lower the weight of the deviation in `acquisition`; if `proxy.calibration` is "
            "none, set it to variance. Where the measured values are all alike, leave both: intervals narrow by "
            "themselves once values differ."
        )
    return ""


def _better_side(goal: Goal) -> int:
    """Return 1 where larger values are better, -1 where smaller ones are, 0 where it depends."""
    if goal.target is not None or (not goal.sign and goal.at_least is not None and goal.at_most is not None):
        return 0
    return goal.sign or (1 if goal.at_least is not None else -1)


def _held_out(round: int, promised: Mapping[str, float]) -> list[Finding]:
    share, n = promised.get("coverage_90"), whole(promised.get("n", 0.0))
    if share is None or n < FEWEST or binomial_tail(whole(share * n), n, 0.9) >= _RARE / 10:
        return []
    return [
        Finding(
            round,
            "calibration",
            Level.WARNING,
            f"Round {round}: {_percent(share)} of {n} held-out values lie inside their 90 % intervals. The proxy is "
            "surer than it should be before a candidate is bought: set `proxy.calibration` to variance or isotonic, or "
            "enlarge the initial design, and begin anew with --fresh (measurements are kept).",
            {"n": float(n), "coverage_90": share},
        )
    ]


def whole(value: float) -> int:
    """Return the nearest whole number."""
    return math.floor(value + 0.5)


def binomial_tail(k: int, n: int, p: float) -> float:
    """Return the probability of at most k successes in n independent trials of probability p in (0, 1)."""
    log_n = math.lgamma(n + 1)
    return min(1.0, math.fsum(
        math.exp(log_n - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p) + (n - i) * math.log1p(-p))
        for i in range(k + 1)
    ))  # fmt: skip


def chi_square_sigmas(n: float, rms: float) -> float:
    """Return by how many standard deviations a root mean square of n standard normals is too large.

    Reference: Wilson and Hilferty, PNAS 17, 684 (1931).
    """
    spread = 2.0 / (9.0 * n)
    return (math.pow(rms * rms, 1.0 / 3.0) - (1.0 - spread)) / math.sqrt(spread)
