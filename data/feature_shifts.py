"""Which features of the proposals are not as they were among what a proxy learnt from, in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from data.ledger.campaigns import StageRow

SHIFT = "shift"
"""Metric of the stage `propose` behind a slash and the name of a feature: by how many deviations its mean moved."""
MOVED, TESTED = "shifted", "shift_tested"
"""Metrics of the same stage: features that moved, and that were tested."""
KEPT, NAMED = 20, 6
"""Features whose shift is kept, and those of them that are named, the surest first."""


def shift_metrics(moved: Mapping[str, float], tested: int) -> dict[str, float]:
    """Return the metrics of a test of `tested` features: name -> deviations of those that moved, the surest first."""
    kept = dict(list(moved.items())[:KEPT])
    return {MOVED: float(len(moved)), TESTED: float(tested), **{f"{SHIFT}/{name}": far for name, far in kept.items()}}


def shift_told(stages: Iterable[StageRow]) -> list[str]:
    """Return a sentence on the proposals of the last round; none where nothing was tested or moved."""
    proposed = max((s for s in stages if s.name == "propose"), key=lambda stage: stage.round, default=None)
    if proposed is None or not proposed.metrics.get(MOVED):
        return []
    count, tested = (int(proposed.metrics[name]) for name in (MOVED, TESTED))
    far = {key.partition("/")[2]: value for key, value in proposed.metrics.items() if key.startswith(f"{SHIFT}/")}
    largest = sorted(far.items(), key=lambda item: (-abs(item[1]), item[0]))[:NAMED]
    told = ", ".join(f"{name} {value:+.1f}".replace("-", "−") for name, value in largest)
    more = f", and {count - len(largest)} more" if count > len(largest) else ""
    return [
        f"Proposals of round {proposed.round} are unlike what the proxy learnt from in {count} of {tested} features; "
        f"their means moved by these deviations: {told}{more}. Far from its data a proxy is less to be believed: "
        "`proxy.domain.min_similarity` keeps to what is near."
    ]
