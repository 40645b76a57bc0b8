"""The plots of a campaign: takes rows from the ledger and the stages; draws them, and writes them for a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from data.goals import Goal, Goals, read_as
from data.ledger.health import predicted_and_measured
from data.ledger.summary import summaries
from data.records import Arm, CandidateRow, JsonDict
from models.parts import space_of
from models.spaces.base import BaseSpace
from tasks.explaining import Explainer
from tasks.reporting import plots
from tasks.reporting.arms_plot import reached_for_cost
from tasks.reporting.contributions_plot import contributions_plot
from tasks.reporting.inline_svg import Point, inline_svg
from tasks.reporting.objectives import goals_with_units
from tasks.reporting.page import Plot
from tasks.stages import CampaignContext
from tasks.storage import read_json, read_table

FEW_PAIRS = 8
"""Pairs of orders by which the page's predictions are explained; `discover explain` takes more."""
LIBRARY_SAMPLE = 500
"""Library objects drawn behind the measured ones."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure that can be drawn."""

    caption: str
    draw: Callable[[], Figure]
    question: str = "control"
    """Which one of the page it helps to answer."""


def round_figures(
    context: CampaignContext,
    rows: Sequence[CandidateRow],
    round: int,
    folder: Path,
    points: Mapping[str, Point],
    best: Sequence[tuple[int, CandidateRow]] = (),
) -> list[Plot]:
    """Draw a campaign after a round; returns the pictures for the page.

    Args:
        context: the campaign.
        rows: its candidates of the rounds so far.
        round: the last of them.
        folder: takes the files, PNG and SVG.
        points: what the page tells of candidates where they are drawn, by id.
        best: candidates whose predictions are explained, with their ranks.
    """
    found: list[Plot] = []
    drawings = round_drawings(context, rows, round) | explaining_drawings(context, best)
    for stem, drawing in drawings.items():
        figure = drawing.draw()
        (folder / f"{stem}.png").write_bytes(plots.png(figure))
        (folder / f"{stem}.svg").write_text(plots.svg(figure), encoding="utf-8")
        found.append(Plot(drawing.caption, inline_svg(figure, f"f{len(found)}", points), drawing.question))
    return found


def round_drawings(context: CampaignContext, rows: Sequence[CandidateRow], round: int) -> dict[str, Drawing]:
    """Return what there is to draw of a campaign after a round, by name; nothing is drawn yet.

    Args:
        context: the campaign.
        rows: its candidates of the rounds so far.
        round: the last of them.
    """
    space, goals = space_of(context.config), goals_with_units(context.config)
    bought = sorted(rows, key=lambda row: (row.round, row.position))
    main = goals.main

    def space_map() -> Figure:
        return plots.space_map(_library(context), bought, space.nearness, objective=main.name, unit=main.unit)

    found: dict[str, Drawing] = {
        **_best_so_far(bought, goals),
        **_reached(bought, goals, _costs(context, round)),
        **_front(bought, goals),
        "space_map": Drawing(f"{space.map_name}: {space.map_method}", space_map, "origin"),
        **_predicted(bought, goals),
        **_trusted(bought, goals),
    }
    for goal, splits in _held_out(context, round, space).items():
        found[_stem("reliability", goal, goals)] = Drawing(
            f"Calibration of the proxy on held-out {space.nouns[1]}{_of(goal, goals)}, round {round}",
            partial(plots.reliability_diagram, splits, unit=goal.unit),
            "trust",
        )
    history = _history(context, round)
    if history:
        found["training"] = Drawing(
            f"Training of the generator, round {round}", partial(plots.training, history), "origin"
        )
    return found


def explaining_drawings(context: CampaignContext, best: Sequence[tuple[int, CandidateRow]]) -> dict[str, Drawing]:
    """Return figures of what the last proxies see in the best candidates, as far as they predict from features.

    Args:
        context: the campaign.
        best: candidates with their ranks.
    """
    space, goals = space_of(context.config), goals_with_units(context.config)
    explainer = Explainer.of(context, goals) if best else None
    if explainer is None:
        return {}
    known = explainer

    def draw(goal: Goal) -> Figure:
        return contributions_plot(
            [(f"#{rank}", known.explain(row, goal, pairs=FEW_PAIRS)) for rank, row in best], space
        )

    return {
        _stem("contributions", goal, goals): Drawing(
            f"What the predictions of the best rest on{_of(goal, goals)}: what their parts add, by the proxy of "
            f"round {known.round}",
            partial(draw, goal),
            "trust",
        )
        for goal in goals
        if known.explains(goal)
    }


def _best_so_far(bought: Sequence[CandidateRow], goals: Goals) -> dict[str, Drawing]:
    outside = _outside(bought, goals)
    return {
        _stem("best_so_far", goal, goals): Drawing(
            f"Best {_named(goal)} so far, in order of purchase"
            if goals.several
            else "Best so far, in order of purchase",
            partial(plots.best_so_far, _read(bought, goal, goals), goal, outside=outside),
        )
        for goal in (goals[k] for k in goals.improved)
    }


def _reached(bought: Sequence[CandidateRow], goals: Goals, costs: Mapping[int, float]) -> dict[str, Drawing]:
    outside = _outside(bought, goals)
    return {
        _stem("reached_for_cost", goal, goals): Drawing(
            f"Best and mean of the ten best against cost, and what each arm reached by equally many purchases"
            f"{_of(goal, goals)}",
            partial(reached_for_cost, _read(bought, goal, goals), costs, goal, outside=outside),
        )
        for goal in (goals[k] for k in goals.improved)
    }


def _outside(bought: Sequence[CandidateRow], goals: Goals) -> frozenset[str]:
    """Return the ids of those that have a value and are never the best: some of a limit's side, some not whole."""
    return frozenset(row.id for row in bought if goals.values(row) and not goals.eligible(row))


def _costs(context: CampaignContext, round: int) -> dict[int, float]:
    """Return what was booked in each round so far."""
    costs: dict[int, float] = {}
    for booked in context.ledger.bought(context.campaign.id):
        if booked["round"] <= round:
            costs[booked["round"]] = costs.get(booked["round"], 0.0) + float(booked["cost"])
    return costs


def _front(bought: Sequence[CandidateRow], goals: Goals) -> dict[str, Drawing]:
    if not goals.several:
        return {}
    return {
        "front": Drawing(
            "Front: what no other candidate surpasses in every objective", partial(plots.front, bought, goals)
        ),
        "hypervolume": Drawing("Hypervolume against calls", lambda: plots.hypervolume(summaries(bought, goals))),
    }


def _predicted(bought: Sequence[CandidateRow], goals: Goals) -> dict[str, Drawing]:
    found = {}
    for goal in goals:
        rows = _read(bought, goal, goals)
        if any(row.predicted_mean is not None for row in rows):
            found[_stem("predicted_against_measured", goal, goals)] = Drawing(
                f"Predicted against measured{_of(goal, goals)}",
                partial(plots.predicted_against_measured, rows, objective=goal.name, unit=goal.unit),
                "trust",
            )
    return found


FEWEST_RELIABLE = 5
"""Purchases of an arm of which a curve of calibration is drawn."""


def _trusted(bought: Sequence[CandidateRow], goals: Goals) -> dict[str, Drawing]:
    """Return figures of how many purchases lay inside their predicted intervals: the chosen ones, and the control."""
    found = {}
    for goal in goals:
        predicted = predicted_and_measured(_read(bought, goal, goals))
        arms = {
            str(arm): [row for row in predicted if row.arm == arm and row.predicted_std]
            for arm in (Arm.ACQUISITION, Arm.CONTROL)
        }
        splits = {
            arm: [
                {"value": row.value, "mean": row.predicted_mean, "std": row.predicted_std, "raw_std": row.predicted_std}
                for row in rows
            ]
            for arm, rows in arms.items()
            if len(rows) >= FEWEST_RELIABLE
        }
        if splits:
            found[_stem("reliability_bought", goal, goals)] = Drawing(
                f"Calibration of the predictions on what was bought{_of(goal, goals)}",
                partial(plots.reliability_diagram, splits, unit=goal.unit),
                "trust",
            )
    return found


def _read(rows: Sequence[CandidateRow], goal: Goal, goals: Goals) -> Sequence[CandidateRow]:
    return rows if len(goals) == 1 else [read_as(row, goal) for row in rows]


def _stem(stem: str, goal: Goal, goals: Goals) -> str:
    """Return the name of a figure's file; of several objectives it ends in the place of its own."""
    return stem if len(goals) == 1 else f"{stem}_{list(goals).index(goal) + 1}"


def _named(goal: Goal) -> str:
    return goal.name.replace("_", " ")


def _of(goal: Goal, goals: Goals) -> str:
    return "" if len(goals) == 1 else f", {_named(goal)}"


def _library(context: CampaignContext) -> list[str]:
    stage = context.finished(0, "prepare_data")
    if stage is None:
        return []
    objects = read_table(stage.path(context, "library.parquet"), ["object"])["object"]
    drawn = np.random.default_rng(context.seed("map")).permutation(len(objects))[:LIBRARY_SAMPLE]
    return [str(text) for text in objects.iloc[np.sort(drawn)]]


def _held_out(context: CampaignContext, round: int, space: BaseSpace[Any]) -> dict[Goal, dict[str, list[JsonDict]]]:
    """Return of each objective the held-out predictions of its proxy by split, as far as there are."""
    stage, goals = context.finished(round, "train_proxy"), goals_with_units(context.config)
    if stage is None:
        return {}
    folders = {goal: stage.path(context, "" if len(goals) == 1 else str(place)) for place, goal in enumerate(goals)}
    return {goal: _splits(folder, space) for goal, folder in folders.items()}


def _splits(folder: Path, space: BaseSpace[Any]) -> dict[str, list[JsonDict]]:
    training = read_json(folder / "training.json")
    by_family = training["split"].endswith(f"by {space.family_name}")  # else there were too few: the splits are one
    names = {f"{space.family_name} split": "heldout.csv"} if by_family else {}
    names["random split"] = "random.csv"
    return {
        name: [{str(k): v for k, v in row.items()} for row in pd.read_csv(folder / file).to_dict("records")]
        for name, file in names.items()
    }


def _history(context: CampaignContext, round: int) -> list[dict[str, float]]:
    stage = context.finished(round, "train_generator")
    if stage is None:
        return []
    file = stage.path(context, "history.csv")
    if not file.read_text().strip():
        return []
    rows = pd.read_csv(file)
    if "loss" not in rows:
        return []
    return [{str(k): float(v) for k, v in row.items()} for row in rows[rows["loss"].notna()].to_dict("records")]
