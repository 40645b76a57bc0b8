"""Figures of the page of candidates: a tile each, in the section whose question they help to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.goals import Goals
from data.ledger.summary import FEWEST
from data.records import Arm, RoundSummary
from data.wording import interval, shown_unit
from tasks.reporting.page_cells import finite, shown

_FIGURES = {
    "best": "Best so far",
    "top10_mean": "Mean of the ten best",
    "initial_best": "Best before round 1",
    "acquisition_mean": "Mean, acquisition arm, all rounds",
    "control_mean": "Mean, control arm, all rounds",
    "calls": "Oracle calls",
    "failed": "Failed calls, all rounds",
    "rounds": "Rounds",
}
_OF_SEVERAL = {
    "front": "On the front",
    "hypervolume": "Hypervolume",
    "acquisition_hypervolume": "Hypervolume, acquisition arm",
    "control_hypervolume": "Hypervolume, control arm",
}
_SHARES = {
    "feasible": "Within the limits, all rounds",
    "acquisition_feasible": "Within the limits, acquisition arm, all rounds",
    "control_feasible": "Within the limits, control arm, all rounds",
}
_GRAPH = {
    "graph_entropy": "Entropy of the graph, nats",
    "expected_edges": "Expected number of edges",
    "likely_edges": "Edges more probable than not",
    "drawn_edges_error": "Error of the drawn graphs' edges, mean",
}
_ARMS = frozenset(str(arm) for arm in Arm)
_LABELS = _FIGURES | _OF_SEVERAL | _SHARES | _GRAPH
_OF_MAIN = frozenset({"best", "top10_mean", "initial_best"})
"""Figures of the main objective that say little where several are to be improved."""
_VALUES = frozenset({"best", "top10_mean", "initial_best", "acquisition_mean", "control_mean"})
_FIRST = frozenset({"best", "best_of", "calls"})
_ORIGIN = frozenset({"rounds", "failed"})


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure.

    Attributes:
        label: what it is.
        text: as it is shown.
        unit: behind it, or what else belongs to it.
        share: percent of what is allowed, for a meter; None: there is no such.
        number: whether the text must not be broken.
    """

    label: str
    text: str
    unit: str = ""
    share: float | None = None
    number: bool = True


def tiles(summary: Mapping[str, Any], goals: Goals) -> dict[str, list[Tile]]:
    """Return the figures of a campaign by where they stand: `first`, `graph`, `control`, `trust` and `origin`.

    Args:
        summary: figures by name, as `tasks.reporting.page.candidates_page` takes them.
        goals: with units.
    """
    unit, named = shown_unit(goals.main.unit), {}
    if len(goals) > 1:  # whose mean it is
        of = goals.main.name.replace("_", " ")
        named = {name: _FIGURES[name].replace("Mean", f"Mean {of}") for name in _VALUES if "_mean" in name}
        named |= {"best": f"Best {of}", "initial_best": f"Best {of} before round 1"}
    few = summary.get("top_n")
    if few is not None and few < RoundSummary.TOP:
        named["top10_mean"] = f"Mean of the {few} best there are"
    found: dict[str, list[Tile]] = {"first": _best_of(summary.get("best_of") or {}, goals)}
    found |= {place: [] for place in ("graph", "control", "trust", "origin")}
    for name, value in summary.items():
        arm, _, what = name.rpartition("_")
        if (
            value is None
            or (name == "budget" and "calls" in summary)
            or (arm in _ARMS and what in ("n", "half", "outside"))
        ):
            continue
        if name in ("best_of", "hypervolume_calls", "top_n") or ("best_of" in summary and name in _OF_MAIN):
            continue
        about, budget, text = "", None, shown(value) if name in _VALUES and finite(value) else _plain(value)
        if name in _VALUES:
            n, half = summary.get(f"{arm}_n"), summary.get(f"{arm}_half")
            half = half if n is not None and n >= FEWEST else None
            about = f"{unit} (n {n})".lstrip() if n else unit
            if half is not None:
                text, _, ends = interval(value, half).replace("-", "−").partition(" ")
                about = f"{unit} {ends}, 95 % interval, n {n}".lstrip()
            outside = summary.get(f"{arm}_outside")
            about += f"; within the limits, {outside} outside left out" if outside else ""
        elif name == "calls" and summary.get("budget"):
            budget = summary["budget"]
            about = f"of {budget:,}"
        elif name == "likely_edges":
            text = f"{value:.0f}"
        elif name in _SHARES:
            text, about = f"{100 * value:.0f}", "%"
        elif name in _OF_SEVERAL and arm in _ARMS:
            about = f"initial design and {summary.get('hypervolume_calls')} calls"
        label = named.get(name) or _LABELS.get(name) or (name[:1].upper() + name[1:]).replace("_", " ")
        share = round(min(100.0 * value / budget, 100.0), 1) if budget else None
        found[_place(name)].append(Tile(label, text, about, share, isinstance(value, int | float)))
    return found


def _place(name: str) -> str:
    if name in _GRAPH:
        return "graph"
    if name in _FIRST or name in _ORIGIN:
        return "first" if name in _FIRST else "origin"
    return "control" if name in _LABELS else "trust"


def _best_of(best: Mapping[str, float], goals: Goals) -> list[Tile]:
    return [
        Tile(f"Best {goal.name.replace('_', ' ')}", shown(best[goal.name]), shown_unit(goal.unit))
        for goal in goals
        if goal.name in best
    ]


def _plain(value: Any) -> str:
    return shown(value) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
