"""What candidates have besides in tables and files where a campaign has several objectives, or limits.

Of one objective without limits there is nothing besides. Of several there are, behind the columns of the main one, the
same four of each: `NAME.value`, `NAME.unit`, `NAME.predicted_mean`, `NAME.predicted_std`. `feasible` says whether what
was measured keeps to all limits, `front` whether no other candidate dominates it.
Of an objective with levels from cheap to true `NAME.level_0`, `NAME.level_1` and so on are the cheaper values; what
ends in `.calls` is how many calls each took, and is shown by the page only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from data.config import CampaignConfig
from data.goals import Goal, Goals
from data.readings import LACKING, Readings
from data.records import CallState, CandidateRow, JsonDict
from models.parts import units_of

_OF_EACH = ("value", "unit", "predicted_mean", "predicted_std")


def goals_with_units(config: CampaignConfig) -> Goals:
    """Return a campaign's goals with the units that its oracles measure in."""
    return config.goals.with_units(units_of(config))


def columns_with(columns: Sequence[str], goals: Goals, readings: Readings) -> list[str]:
    """Return columns of candidates, and behind those of the main prediction what objectives, limits and levels add."""
    place = list(columns).index("predicted_std") + 1
    of_each = [column_of(goal, name) for goal in goals for name in _OF_EACH] if len(goals) > 1 else []
    said = ["feasible"] * goals.limited + ["front"] * goals.several
    cheaper = [level_column(one.objective, level) for one in readings for level in range(len(one.below))]
    return [*columns[:place], *of_each, *cheaper, *said, *columns[place:]]


def level_column(objective: str, level: int) -> str:
    """Return the column of an objective's value at a level below the true one."""
    return f"{objective}.level_{level}"


def column_of(goal: Goal, name: str) -> str:
    """Return the column of an objective for what one objective alone has in the column of a name."""
    return f"{goal.name}.{name}"


def cells_of(row: CandidateRow, goals: Goals, front: Collection[str]) -> JsonDict:
    """Return a candidate with what such columns hold.

    Args:
        row: the candidate.
        goals: of the campaign, with units.
        front: ids of the candidates that none dominates.
    """
    cells: JsonDict = {**row._asdict(), "unit": goals.main.unit}
    values, predicted = goals.values(row), row.predicted or {}
    for goal in goals if len(goals) > 1 else ():
        told = (values.get(goal.name), goal.unit, *predicted.get(goal.name, (None, None)))
        cells |= {column_of(goal, name): cell for name, cell in zip(_OF_EACH, told, strict=True)}
    for objective, known in (row.levels or {}).items():
        cells |= {level_column(objective, level): one.value for level, one in enumerate(known[:-1])}
        cells |= {f"{level_column(objective, level)}.calls": one.calls for level, one in enumerate(known[:-1])}
    measured = goals.measured(row)
    cells |= {"feasible": goals.eligible(row) if measured else None} if goals.limited else {}
    cells |= {"front": row.id in front if measured else None} if goals.several else {}
    return cells


def front_of(rows: Sequence[CandidateRow], goals: Goals) -> frozenset[str]:
    """Return the ids of the candidates that none dominates, where more than one objective is to be improved."""
    return frozenset(row.id for row in goals.front(rows)) if goals.several else frozenset()


def lacking(row: JsonDict, goals: Goals) -> list[str]:
    """Return the objectives without a value of a candidate that has the main one and whose calls have ended without."""
    if row.get("value") is None or row.get("state") not in _WITHOUT or len(goals) == 1:
        return []
    return [goal.name for goal in goals if row.get(column_of(goal, "value")) is None]


def reason_told(row: JsonDict, *, lacks: bool = False) -> str:
    """Return why a candidate has no value, as far as somebody said so.

    Args:
        row: the candidate.
        lacks: it is said before which values its answer lacks: only what is said besides is returned.
    """
    error, message = row.get("error"), str(row.get("message") or "")
    if lacks and error == LACKING:
        return message.partition(". ")[2]
    return ": ".join(str(part) for part in (error, message) if part)


_WITHOUT = (CallState.FAILED, CallState.ABANDONED, CallState.IN_DOUBT)


def limits_broken(values: JsonDict, goals: Goals) -> list[str]:
    """Return what is told of each limit that measured values break: `toxicity above 0.3`."""
    told = []
    for goal in goals:
        value = values.get(goal.name)
        if value is not None and not goal.keeps(value):
            low, _ = goal.allowed
            told.append(f"{goal.name} {f'below {low:g}' if value < low else f'above {goal.at_most:g}'}")
    return told
