"""Batches that were smaller than asked for, in sentences: what was not bought is counted and said."""

from __future__ import annotations

from collections.abc import Iterable

from data.ledger.campaigns import StageRow

SHORT = "short"
"""Metric of the stage `select_batch`: candidates fewer than a batch was to have; left out where there are none."""

ROUNDS_SAID = 5
"""Rounds that are named; of earlier ones only the count."""


def short_told(stages: Iterable[StageRow]) -> list[str]:
    """Return a sentence on the rounds whose batch was short; none where there is no such round."""
    by_name: dict[str, dict[int, StageRow]] = {}
    for stage in stages:
        by_name.setdefault(stage.name, {})[stage.round] = stage
    short = {
        round: int(stage.metrics[SHORT])
        for round, stage in sorted(by_name.get("select_batch", {}).items())
        if stage.metrics.get(SHORT)
    }
    if not short:
        return []
    screened = by_name.get("screen", {})
    named = [f"round {round} by {short[round]}{_passed(screened.get(round))}" for round in list(short)[-ROUNDS_SAID:]]
    earlier = len(short) - len(named)
    rounds = [f"{earlier} earlier round{'s' if earlier > 1 else ''}"] if earlier else []
    return [
        f"Batches were short by {sum(short.values())} in all: {', '.join([*rounds, *named])}. Raise "
        "`generator.proposals`, loosen `screens`, or give the generators and the control arm more to propose."
    ]


def _passed(screened: StageRow | None) -> str:
    if screened is None:
        return ""
    passed, control = (int(screened.metrics.get(key, 0)) for key in ("passed", "control_passed"))
    refused = int(screened.metrics.get("refused", 0))
    beside = f", {control} for the control arm" if control or screened.metrics.get("control_refused") else ""
    return f" ({passed} of {passed + refused} proposals passed{beside})"
