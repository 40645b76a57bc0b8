"""A pre-training as a run of MLflow, beside the rounds of its campaign."""

from __future__ import annotations

from typing import Any

import pandas as pd

from data.config import digest
from data.pretraining import MADE_BEFORE
from tasks.reporting.round_metrics import shown_curves
from tasks.stages import CampaignContext, StageRef
from tasks.tracking import Tracker

NAME = "pre-training"


def publish_pretraining(context: CampaignContext, tracker: Tracker, stage: StageRef) -> None:
    """Show what was trained before the first round, and what is kept of it.

    Args:
        context: of the campaign.
        tracker: of it.
        stage: `pretrain`.
    """
    key = digest([stage.sha256])
    run = tracker.stage_run(NAME)
    if tracker.published(run) == key:
        return
    generator: dict[str, Any] = context.config.generator.component()
    tracker.params(run, {"generator": generator["kind"], "pretrain": generator.get("pretrain") or "as by default"})
    history = pd.read_csv(stage.path(context, "history.csv"))
    curves = shown_curves(history)
    tracker.metrics(run, [{str(k): v for k, v in row.items()} for row in curves.to_dict("records")])
    again = stage.metrics[MADE_BEFORE]
    tracker.metrics(run, [{"seconds": stage.seconds, MADE_BEFORE: again}])
    note = "Nothing was trained: an equal pre-training was there." if again else f"{len(history)} steps, no reward."
    tracker.tags(run, {"mlflow.note.content": f"**Pre-training.** {note}"})
    tracker.artifacts(run, stage.path(context, ""), "pretrained")
    tracker.mark_published(run, key)
