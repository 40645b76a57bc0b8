"""Health of a campaign's course: what a round says of its proxy, its batch, its oracle, its arms and its budget.

As in `data/ledger/health.py` everything is arithmetic on rows, and each finding has evidence and a remedy.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from data.goals import Goals
from data.ledger.campaigns import Campaign, StageRow
from data.ledger.health import FEWEST, Finding, Level, binomial_tail, findings, of_round
from data.ledger.summary import Course, by_round, failed_calls, gain_over_control, is_call
from data.records import Arm, CandidateRow, Gain, JsonDict
from data.wording import counted, figure, shown_unit

STALLED_ROUNDS = 3
"""Rounds without anything better after which it is said."""
_RARE = 1e-3
"""An oracle fails more than before if chance alone gives as many failures less often than this."""
_FAILING = 0.2
"""Share of a round's calls whose failure is said in any case, from `_FEWEST_FAILED` failures on."""
_FEWEST_FAILED = 3
_SLOWER = 3.0
"""An oracle has become slow if a call takes as many times what it took in the median round before."""
_SLOW_SECONDS = 30.0
"""Seconds of a round's calls below which nobody minds."""
_FEW_SCORES = 0.05
"""Share of different scores among the candidates below which an acquisition says little."""
_LARGE_FAMILY = 0.5
"""Share of a batch in one family above which it lacks breadth."""
FAMILY, FAMILIES, POOL, SCORES = "largest_family", "families", "candidates", "different_scores"
"""Metrics of the stage `select_batch`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign is to do and may spend.

    Attributes:
        rounds: that are to be made.
        batch: candidates of a round.
        calls: most calls; None: no limit.
        cost: most cost, in the oracle's unit; None: no limit.
        seconds: most running time; None: no limit.
        stalled: rounds without anything better after which the campaign ends; None: it goes on.
    """

    rounds: int
    batch: int
    calls: int | None = None
    cost: float | None = None
    seconds: float | None = None
    stalled: int | None = None

    @classmethod
    def of(cls, campaign: Campaign) -> Plan:
        """Return the plan of a campaign; read without the schema, which `discover status` does not wait for."""
        stored = json.loads(campaign.stored)
        budget = stored["budget"]
        return cls(
            stored["rounds"],
            stored["batch_size"],
            *(budget["calls"], budget["cost"], budget["wall_time"], budget.get("stalled")),
        )


def campaign_findings(
    rows: Sequence[CandidateRow],
    stages: Sequence[StageRow],
    goals: Goals,
    plan: Plan,
    *,
    bought: Sequence[JsonDict] = (),
    only: int | None = None,
) -> list[Finding]:
    """Return every finding of every round that trained a proxy, in order.

    Args:
        rows: the campaign's candidates, as `Ledger.candidates` gives them.
        stages: its finished stages.
        goals: of its objectives.
        plan: what it is to do.
        bought: what it booked, as `Ledger.bought` gives it, where its cost is to be looked at.
        only: the round whose findings are wanted; None: those of all.
    """
    told = findings(rows, stages, goals, only=only)
    rounds = sorted({stage.round for stage in stages if stage.name == "train_proxy"})
    course = _Rounds(rows, stages, goals, plan, bought)
    found: list[Finding] = []
    for round in rounds if only is None else [one for one in rounds if one == only]:
        found += of_round(told, round)
        found += course.findings(round)
    return found


class _Rounds:
    """The course of a campaign, of which each round's findings are asked."""

    def __init__(
        self,
        rows: Sequence[CandidateRow],
        stages: Sequence[StageRow],
        goals: Goals,
        plan: Plan,
        bought: Sequence[JsonDict],
    ) -> None:
        self._rows, self._goals, self._plan, self._bought = rows, goals, plan, bought
        self._stages = {(stage.round, stage.name): stage for stage in stages}
        self._every = stages
        self._of_round = by_round(rows)

    def findings(self, round: int) -> list[Finding]:
        """Return what is to be said of a round's course; nothing that is as it should be."""
        told = [
            *(self._worse_than_mean(round, goal.name if len(self._goals) > 1 else "") for goal in self._goals),
            self._flat(round),
            self._narrow(round),
            self._failing(round),
            self._slowing(round),
            self._control_wins(round),
            self._stalled(round),
            self._nearly_spent(round),
        ]
        return [finding for finding in told if finding is not None]

    def _worse_than_mean(self, round: int, objective: str) -> Finding | None:
        metrics = self._metrics(round, "train_proxy")
        of = f"{objective}/" if objective else ""
        r2, n = metrics.get(f"{of}heldout_r2"), metrics.get(f"{of}heldout_n", 0.0)
        if r2 is None or n < FEWEST or r2 > 0.0:
            return None
        whose = f"the proxy of {objective}" if objective else "the proxy"
        gain = None if objective else self._gain(round)
        if gain is not None and gain.half is not None and gain.mean > gain.half:
            advice = (
                "What it chose is better than the control arm all the same. Rely on its order rather than on its "
                "numbers, and look again when there are more values."
            )
        else:
            advice = (
                "What it chooses may be hardly better than chance. Buy a larger initial design, or give the proxy "
                "other features or another kind, and begin anew with --fresh (measurements are kept)."
            )
        return _warning(
            round,
            "proxy_worse_than_mean",
            f"Round {round}: of {n:.0f} held-out values {whose} explains nothing (R² {r2:.2f}; their mean would have "
            f"0). {advice}",
            {"n": n, "r2": r2},
            objective,
        )

    def _flat(self, round: int) -> Finding | None:
        chosen = self._metrics(round, "select_batch")
        pool, scores = chosen.get(POOL, 0.0), chosen.get(SCORES, 0.0)
        if pool < 2 * FEWEST or scores > max(1.0, _FEW_SCORES * pool):
            return None
        different = "one and the same score" if scores <= 1 else f"{scores:.0f} different scores"
        return _warning(
            round,
            "acquisition_flat",
            f"Round {round}: the acquisition gives {pool:.0f} candidates {different}, so that among them chance or the "
            "selector decides. The proxy tells them not apart, or nothing promises an improvement: choose another "
            "`proxy` or its features, or an `acquisition` with more weight on the deviation.",
            {"pool": pool, "scores": scores},
        )

    def _narrow(self, round: int) -> Finding | None:
        chosen = self._metrics(round, "select_batch")
        selected, largest = chosen.get("selected", 0.0), chosen.get(FAMILY, 0.0)
        if selected < FEWEST or largest <= _LARGE_FAMILY * selected:
            return None
        return _warning(
            round,
            "narrow_batch",
            f"Round {round}: {largest:.0f} of the {selected:.0f} chosen are of one family, of "
            f"{chosen.get(FAMILIES, 1.0):.0f} in the batch: their answers tell much the same. For breadth choose a "
            "`selector` that looks at the batch as a whole, such as kriging_believer or one with diversity, or raise "
            "the diversity of the `generator`.",
            {"selected": selected, "largest": largest, "families": chosen.get(FAMILIES, 1.0)},
        )

    def _failing(self, round: int) -> Finding | None:
        calls, failed = self._failures(round)
        if failed < _FEWEST_FAILED:
            return None
        before = [self._failures(one) for one in self._of_round if one < round]
        past, past_failed = sum(n for n, _ in before), sum(k for _, k in before)
        rate = (past_failed + 1.0) / (past + 2.0)  # of no failures so far the rule of succession still allows some
        more = past >= FEWEST and 1.0 - binomial_tail(failed - 1, calls, rate) < _RARE
        if failed < _FAILING * calls and not more:
            return None
        than = f", and {past_failed} of {past} before it" if past else ""
        return _warning(
            round,
            "oracle_failing",
            f"Round {round}: {failed} of {calls} calls failed{than}. `discover candidates NAME` shows what each says. "
            "Mend what the oracle needs and buy them again with --retry-failed; if it cannot measure such candidates, "
            "keep them out with a screen.",
            {"calls": float(calls), "failed": float(failed)},
        )

    def _failures(self, round: int) -> tuple[int, int]:
        calls = [row for row in self._of_round.get(round, []) if is_call(row)]
        return sum(row.calls for row in calls), sum(map(failed_calls, calls))

    def _slowing(self, round: int) -> Finding | None:
        seconds = {
            one: stage.seconds / calls
            for one in sorted(self._of_round)
            if one <= round and (stage := self._stages.get((one, "measure"))) and (calls := self._called(one))
        }
        here, before = seconds.pop(round, None), list(seconds.values())
        if here is None or len(before) < 2:
            return None
        usual = statistics.median(before)
        if here < _SLOWER * usual or here * self._called(round) < _SLOW_SECONDS:
            return None
        return _warning(
            round,
            "oracle_slowing",
            f"Round {round}: a call took {figure(here)} s, {here / usual:.1f} times the median of the rounds before "
            f"({figure(usual)} s). Look whether the machine, the licence or the service is shared now, or whether "
            "candidates became larger: `timeout` of the oracle and a screen of size limit both.",
            {"seconds": here, "usual": usual},
        )

    def _called(self, round: int) -> int:
        return sum(row.origin == "called" for row in self._of_round.get(round, []))

    def _gain(self, round: int) -> Gain | None:
        """Return the gain over the control arm up to a round; None where one value does not tell what is better."""
        if self._goals.observed or self._goals.several:
            return None
        return gain_over_control([row for row in self._rows if row.round <= round], self._goals)

    def _control_wins(self, round: int) -> Finding | None:
        gain = self._gain(round)
        if gain is None or gain.half is None or gain.mean >= -gain.half or gain.mean == 0:
            return None
        unit = shown_unit(self._goals.main.unit)
        return _warning(
            round,
            "control_winning",
            f"Round {round}: the control arm is better than what the model chose, by "
            f"{' '.join(filter(None, (figure(-gain.mean), unit)))} ± {figure(gain.half)} on average "
            f"({gain.control} and {gain.acquisition} values). Look first whether the goal has the right direction; "
            "else the proxy misleads: give it other features or more measurements, and raise `control.fraction` "
            "until it is better.",
            {"gain": gain.mean, "half": gain.half},
        )

    def _stalled(self, round: int) -> Finding | None:
        wanted = self._plan.stalled or STALLED_ROUNDS
        without, since, best = rounds_without_gain(self._rows, self._goals, round)
        if without < wanted:
            return None
        what = f"the {'hypervolume' if self._goals.several else 'value'} {figure(best)}"
        ends = (
            f"`budget.stalled: {wanted}` ends it here."
            if self._plan.stalled
            else f"Or let a campaign end by itself after so many rounds: `budget.stalled: {wanted}`."
        )
        first = round - without + 1
        span = f"Round {round}" if first == round else f"Rounds {first} to {round}"
        return _warning(
            round,
            "stalled",
            f"{span}: nothing better than {what} of round {since}. To "
            "search elsewhere give the deviation more weight in `acquisition`, take another generator or a larger "
            f"space. {ends}",
            {"rounds": float(without), "since": float(since)},
        )

    def _nearly_spent(self, round: int) -> Finding | None:
        plan = self._plan
        if round >= plan.rounds:
            return None
        left: list[tuple[str, float, float, str]] = []
        if plan.calls is not None:
            calls = sum(row.calls for one, of in self._of_round.items() if one <= round for row in of if is_call(row))
            left.append(("calls", plan.calls - calls, float(plan.batch), f"{calls} of {counted(plan.calls, 'call')}"))
        costs = [(one["round"], float(one["cost"])) for one in self._bought if one["round"] <= round]
        if plan.cost is not None and costs:
            cost = sum(one for _, one in costs)
            usual = sum(one for at, one in costs if at > 0) / round
            left.append(("cost", plan.cost - cost, usual, f"a cost of {figure(cost)} of {figure(plan.cost)}"))
        if plan.seconds is not None:
            seconds = sum(stage.seconds for stage in self._every if stage.round <= round)
            usual = sum(stage.seconds for stage in self._every if 0 < stage.round <= round) / round
            told = f"{seconds:.0f} of {plan.seconds:.0f} s of running time"
            left.append(("wall_time", plan.seconds - seconds, usual, told))
        short = [(name, told) for name, rest, needed, told in left if rest < needed]
        if not short:
            return None
        names = " and ".join(f"`budget.{name}`" for name, _ in short)
        return _warning(
            round,
            "budget_nearly_spent",
            f"Round {round}: {'; '.join(told for _, told in short)} are spent, so round {round + 1} of {plan.rounds} "
            f"will not be whole. Raise {names} and give the same command, or let it end there.",
            {name: rest for name, rest, _, _ in left},
        )

    def _metrics(self, round: int, name: str) -> Mapping[str, float]:
        stage = self._stages.get((round, name))
        return {} if stage is None else stage.metrics


def rounds_without_gain(rows: Iterable[CandidateRow], goals: Goals, round: int) -> tuple[int, int, float | None]:
    """Return for how many rounds up to this one nothing better was measured, the round of what is best, and its value.

    Of several objectives the hypervolume counts. Rounds that measured nothing of the acquisition arm do not count, and
    a campaign that only observes never stalls.

    Args:
        rows: the campaign's candidates.
        goals: of the campaign.
        round: the last one that is looked at.
    """
    best: float | None = None
    value: float | None = None
    since = without = 0
    if goals.observed:
        return 0, 0, None
    of_round, course = by_round(row for row in rows if row.round <= round), Course(goals)
    for one in sorted(at for at in of_round if at <= round):
        if goals.several:
            found = course.add(one, of_round[one]).hypervolume
            signed = found
        else:
            measured = [
                goals.main.signed(row.value) for row in of_round[one] if row.value is not None and goals.eligible(row)
            ]
            signed = max(measured, default=None)
            found = (
                None
                if signed is None
                else next(
                    row.value
                    for row in of_round[one]
                    if row.value is not None and goals.main.signed(row.value) == signed
                )
            )
        if signed is not None and (best is None or signed > best):
            best, value, since, without = signed, found, one, 0
        elif one > 0 and any(row.arm == Arm.ACQUISITION and row.value is not None for row in of_round[one]):
            without += 1
    return (without, since, value) if best is not None else (0, 0, None)


def _warning(round: int, kind: str, message: str, figures: dict[str, float], objective: str = "") -> Finding:
    return Finding(round, kind, Level.WARNING, message, figures, objective)
