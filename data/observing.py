"""An objective whose goal is to observe: all that its oracle answers with, none of it better than another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

OBSERVE = "observe"
"""The goal of what is measured for what it tells."""


def each_output(raw: Any) -> Any:
    """Return a campaign as it is written with one objective for each output of an oracle that is to be observed.

    An objective with the goal `observe` that names no `output` stands for all `outputs` of its oracle, and each is
    named as the output is.
    """
    if not isinstance(raw, Mapping) or not isinstance(raw.get("objectives"), list | tuple):
        return raw
    found: list[Any] = []
    for one in raw["objectives"]:
        oracle = one.get("oracle") if isinstance(one, Mapping) else None
        outputs = oracle.get("outputs") if isinstance(oracle, Mapping) else None
        if outputs and one.get("goal") == OBSERVE and one.get("output") is None:
            found += [{**one, "name": str(name), "output": str(name)} for name in outputs]
        else:
            found.append(one)
    return {**raw, "objectives": found}


def refuse_mixed(goals: Sequence[tuple[str, str]]) -> None:
    """Refuse to observe beside improving: what a measurement tells and how good it is have no common scale.

    Args:
        goals: name and goal of each objective.

    Raises:
        ValueError: some are observed and others are not.
    """
    others = [name for name, goal in goals if goal != OBSERVE]
    if others and len(others) < len(goals):
        raise ValueError(
            f"{', '.join(name for name, goal in goals if goal == OBSERVE)} are observed, and {', '.join(others)} "
            "improved or kept within limits; what an answer tells and how good it is have no common scale, so give all "
            "the goal observe, or none"
        )
