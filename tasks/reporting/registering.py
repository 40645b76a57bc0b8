"""A trained proxy in MLflow's registry: a version that says what it predicts, how well, and of what it was trained."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from models.parts import space_of
from tasks.reporting.objectives import goals_with_units
from tasks.reporting.round_metrics import model_metrics
from tasks.reporting.verdict import version_note
from tasks.stages import CampaignContext
from tasks.storage import read_json
from tasks.tracking import Tracker

EXAMPLES = 3
"""Objects that a version has as an example of what it is asked."""


def register(context: CampaignContext, tracker: Tracker, run: str, folder: Path, place: int, why: str) -> str:
    """Register a trained proxy, unless it is registered; return its version.

    Args:
        context: of the campaign.
        tracker: of it.
        run: that shows it.
        folder: of the proxy.
        place: of the objective that it predicts, among the campaign's.
        why: it was trained, such as `for round 2`.
    """
    goals, space = goals_with_units(context.config), space_of(context.config)
    goal = goals[place]
    training = read_json(folder / "training.json")
    objects = pd.read_csv(folder / "heldout.csv")["object"].astype(str)
    return tracker.proxy_version(
        run,
        folder,
        training,
        metrics=model_metrics(training, goal.name if len(goals) > 1 else ""),
        note=version_note(training, training["n"], why, f"{goal.name} {goal.unit}".strip()),
        column=space.column,
        example=objects.head(EXAMPLES).tolist(),
        objective="" if goal.name == context.goals.main.name else goal.name,
    )
