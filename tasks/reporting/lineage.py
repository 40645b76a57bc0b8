"""How a candidate came to be, in words and as rows of a table: for the terminal, the page, figures and exports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from data.goals import Goals
from data.ledger.health import Z90
from data.records import JsonDict, Making
from data.wording import figure, interval, shown_unit
from models.spaces.base import BaseSpace
from tasks.lineage import Ancestor, Lineage
from tasks.reporting.objectives import cells_of, column_of

COLUMNS = (
    "step", "id", "object", "operation", "parents", "round", "arm", "source", "state",
    "value", "unit", "predicted_mean", "predicted_std",
)  # fmt: skip
"""Of the table; of several objectives what each has besides comes behind."""
_OF_EACH = ("value", "unit", "predicted_mean", "predicted_std")

_BEGUN = {
    Making.INITIAL: "initial design",
    Making.LIBRARY: "from a library",
    Making.DATA: "from your data",
    Making.DRAWN: "drawn at random from the space",
    Making.BUILT: "built from nothing",
    Making.TOLD: "measured without having been asked for",
    Making.UNKNOWN: "origin not written down",
}
_STEPS = {
    Making.MUTATION: ("mutation", "mutations"),
    Making.CROSSOVER: ("crossover", "crossovers"),
    Making.BOTH: ("crossover with mutation", "crossovers with mutation"),
    Making.STEP: ("building step", "building steps"),
}


def operation_told(step: Ancestor) -> str:
    """Return how an object was made, in a few words; of a library its name."""
    if step.operation == Making.LIBRARY and step.libraries:
        return f"from the library {' or '.join(step.libraries)}"
    if step.operation in _STEPS:
        return _STEPS[Making(step.operation)][0]
    return _BEGUN.get(step.operation, step.operation)  # type: ignore[call-overload, no-any-return]  # a generator's own


def made_told(step: Ancestor, partners: Sequence[Ancestor]) -> str:
    """Return how an object was made, and with which others beside the one before it."""
    told = operation_told(step)
    if is_with_itself(step, partners):
        return with_itself_told(step)
    if partners:
        return f"{told.replace(' with mutation', '')} with {' and '.join(one.object for one in partners)}" + (
            ", then a mutation" if step.operation == Making.BOTH else ""
        )
    return told


def is_with_itself(step: Ancestor, partners: Sequence[Ancestor]) -> bool:
    """Return whether an object was made by crossing its one parent with itself."""
    return step.operation in (Making.CROSSOVER, Making.BOTH) and not partners


def with_itself_told(step: Ancestor) -> str:
    """Return how such an object was made."""
    return "crossover of its parent with itself" + (", then a mutation" if step.operation == Making.BOTH else "")


def value_told(step: Ancestor, goals: Goals, minus: str = "-") -> str:
    """Return what was measured of an object, in the objectives' units; else why there is nothing.

    Args:
        step: the object.
        goals: of the campaign, with units.
        minus: how the sign is written.
    """
    row = step.row
    if row is None:
        return "not bought"
    told = values_told(step, goals, minus)
    if not told:
        return "no value at the true level" if row.state == "done" else row.state.replace("_", " ")
    return ", ".join(f"{name} {value}".strip() for name, value in told)


def values_told(step: Ancestor, goals: Goals, minus: str = "-") -> list[tuple[str, str]]:
    """Return the name of each measured value, empty where there is one objective, and the value with its unit.

    Arguments as `value_told`.
    """
    values = {} if step.row is None else goals.values(step.row)
    return [
        (_name(goal.name, goals), f"{figure(values[goal.name]).replace('-', minus)} {shown_unit(goal.unit)}".strip())
        for goal in goals
        if goal.name in values
    ]


def _name(name: str, goals: Goals) -> str:
    return name.replace("_", " ") if len(goals) > 1 else ""


def ends(mean: float | None, std: float | None) -> str:
    """Return a mean and the ends of its 90 % interval, as terminals write predictions; empty without a mean."""
    return "" if mean is None else interval(mean, None if std is None else Z90 * std)


def with_ends(mean: float | None, std: float | None) -> str:
    """Return the same as pages write it."""
    return ends(mean, std).replace("-", "−")


def predicted_told(step: Ancestor, goals: Goals, written: Callable[[float | None, float | None], str] = ends) -> str:
    """Return what was predicted of an object before it was bought; empty: nothing.

    Args:
        step: the object.
        goals: of the campaign.
        written: makes a text of mean and standard deviation.
    """
    return ", ".join(f"{name} {told}".strip() for name, told in predictions_told(step, goals, written))


def predictions_told(
    step: Ancestor, goals: Goals, written: Callable[[float | None, float | None], str] = ends
) -> list[tuple[str, str]]:
    """Return the name of each predicted value, empty where there is one objective, and what was predicted.

    Arguments as `predicted_told`.
    """
    row = step.row
    if row is None:
        return []
    if len(goals) == 1:
        told = written(row.predicted_mean, row.predicted_std)
        return [("", told)] if told else []
    predicted = row.predicted or {}
    return [(_name(goal.name, goals), written(*predicted[goal.name])) for goal in goals if goal.name in predicted]


def bought_told(step: Ancestor) -> str:
    """Return in which round and arm an object was bought; empty: it was not."""
    return "" if step.row is None else f"round {step.row.round}, {step.row.arm}"


def lineage_told(lineage: Lineage, space: BaseSpace[Any]) -> list[str]:
    """Return sentences on a whole lineage: how long its line is, where it begins, and what is not known."""
    first, steps = lineage.line[0], lineage.line[1:]
    counts = Counter(step.operation for step in steps)
    parts = [f"{n} {_STEPS[Making(one)][n > 1] if one in _STEPS else one}" for one, n in counts.items()]
    if not steps:
        told = [f"It has no ancestors: {operation_told(first)}."]
    else:
        others = len(lineage.members) - len(lineage.line)
        more = f"; {others} more ancestors by other lines" if others > 1 else "; one more by another line" * others
        count = f"{len(steps)} step{'s' if len(steps) > 1 else ''} ({', '.join(parts)})"
        told = [f"{count}, the first {space.nouns[0]} {_where(first)}{more}."]
    if any(step.operation == Making.STEP for step in lineage.line):
        told.append("Of the ways in which it can be built one is shown; the generator may have taken another.")
    if lineage.unwritten:
        rounds = ", ".join(map(str, lineage.unwritten))
        told.append(
            f"What round{'s' if len(lineage.unwritten) > 1 else ''} {rounds} made of what was not written down: an "
            "earlier discovery-flows ran it."
        )
    return told


def _where(first: Ancestor) -> str:
    if first.operation == Making.INITIAL:
        return "of the initial design"
    if first.operation == Making.LIBRARY:
        return f"of the library {' or '.join(first.libraries)}" if first.libraries else "of the campaign's library"
    if first.operation == Making.UNKNOWN:
        return "of an origin that was not written down"
    return operation_told(first)


def table_of(lineage: Lineage, goals: Goals) -> list[JsonDict]:
    """Return a row for each member of a lineage, parents before what was made of them, with the keys of `columns`."""
    place = {step.id: number for number, step in enumerate(lineage.line, start=1)}
    rows = []
    for member in lineage.members:
        cells = {} if member.row is None else cells_of(member.row, goals, frozenset())
        row = {name: cells.get(name) for name in columns(goals)}
        row |= {
            "step": place.get(member.id),
            "id": member.id,
            "object": member.object,
            "operation": member.operation,
            "parents": " ".join(member.parents),
        }
        rows.append(row)
    return rows


def columns(goals: Goals) -> list[str]:
    """Return the columns of a table of a lineage."""
    of_each = [column_of(goal, name) for goal in goals for name in _OF_EACH] if len(goals) > 1 else []
    return [*COLUMNS, *of_each]
