"""Measured objects that no proxy learns, in a sentence: what is unlike everything around it is named, never dropped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from data.ledger.campaigns import StageRow

NEVER = "never_learnt"
"""Metric of the stage `train_proxy`: rows that are never learnt; left out where there is no map. Behind a slash the id
of one, whose value is its last residual in predicted deviations."""

KEPT, NAMED = 50, 5
"""Rows whose ids are kept, and those of them that are named, the farthest first."""


def never_metrics(residuals: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of rows that are never learnt, id -> last residual: all counted, the farthest kept."""
    farthest = sorted(residuals.items(), key=lambda item: (-abs(item[1]), item[0]))[:KEPT]
    return {NEVER: float(len(residuals)), **{f"{NEVER}/{key}": value for key, value in farthest}}


def never_told(metrics: Mapping[str, float], round: int) -> str:
    """Return what the metrics of a proxy say of such rows; empty where there are none."""
    count = int(metrics.get(NEVER, 0.0))
    if not count:
        return ""
    named = {key.partition("/")[2]: value for key, value in metrics.items() if key.startswith(f"{NEVER}/")}
    farthest = sorted(named.items(), key=lambda item: (-abs(item[1]), item[0]))
    parts = [f"{key} ({residual_told(value)})" for key, value in farthest[:NAMED]]
    more = f" and {count - len(parts)} more" if count > len(parts) else ""
    what = "1 measured value is" if count == 1 else f"{count} measured values are"
    return (
        f"Round {round}: {what} far from what the others alone predict, and never learnt: {', '.join(parts)}{more}. "
        "Look for a slip, another unit or another compound, and measure again (`remeasure`, or one more row for "
        "`discover tell`). Nothing was left out; acquisition is drawn to such values."
    )


def residual_told(residual: float) -> str:
    """Return a residual in predicted deviations in words."""
    return f"{abs(residual):.1f} predicted deviations {'above' if residual > 0 else 'below'}"


def never_of(stages: Iterable[StageRow]) -> dict[str, float]:
    """Return what the last proxies of a campaign never learnt, of any objective: id -> last residual.

    Args:
        stages: the campaign's finished ones.
    """
    trained = max((stage for stage in stages if stage.name == "train_proxy"), key=lambda s: s.round, default=None)
    found: dict[str, float] = {}
    for key, value in () if trained is None else trained.metrics.items():
        _, mark, owner = f"/{key}".partition(f"/{NEVER}/")
        if mark and abs(value) > abs(found.get(owner, 0.0)):
            found[owner] = value
    return found
