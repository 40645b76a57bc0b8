"""The plots of a report: takes rows from the ledger and the stages, writes PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from data.records import CandidateRow, JsonDict
from models.parts import oracle_of, space_of
from models.spaces.base import BaseSpace
from tasks.reporting import plots
from tasks.stages import CampaignContext
from tasks.storage import read_json, read_table

LIBRARY_SAMPLE = 500
"""Library objects drawn behind the measured ones."""


def round_figures(context: CampaignContext, rows: Sequence[CandidateRow], round: int, folder: Path) -> dict[str, Path]:
    """Draw a campaign after a round; returns caption -> file.

    Args:
        context: the campaign.
        rows: its candidates of the rounds so far.
        round: the last of them.
        folder: takes the PNG files.
    """
    space = space_of(context.config)
    name, unit = context.config.objective.name, oracle_of(context.config).unit
    bought = sorted(rows, key=lambda row: (row.round, row.position))
    figures: dict[str, tuple[str, Figure]] = {
        "best_so_far": (
            "Best so far against calls",
            plots.best_so_far(bought, maximise=context.maximise, objective=name, unit=unit),
        ),
        "space_map": (
            space.map_name,
            plots.space_map(_library(context), bought, space.nearness, objective=name, unit=unit),
        ),
    }
    if any(row.predicted_mean is not None for row in rows):
        figures["predicted_against_measured"] = (
            "Predicted against measured",
            plots.predicted_against_measured(bought, objective=name, unit=unit),
        )
    splits = _held_out(context, round, space)
    if splits:
        figures["reliability"] = (
            f"Calibration of the proxy on held-out {space.nouns[1]}, round {round}",
            plots.reliability_diagram(splits, unit=unit),
        )
    history = _history(context, round)
    if history:
        figures["training"] = (f"Training of the generator, round {round}", plots.training(history))
    files = {}
    for stem, (caption, figure) in figures.items():
        files[caption] = folder / f"{stem}.png"
        files[caption].write_bytes(plots.png(figure))
    return files


def _library(context: CampaignContext) -> list[str]:
    stage = context.finished(0, "prepare_data")
    if stage is None:
        return []
    objects = read_table(stage.path(context, "library.parquet"), ["object"])["object"]
    drawn = np.random.default_rng(context.seed("map")).permutation(len(objects))[:LIBRARY_SAMPLE]
    return [str(text) for text in objects.iloc[np.sort(drawn)]]


def _held_out(context: CampaignContext, round: int, space: BaseSpace[Any]) -> dict[str, list[JsonDict]]:
    stage = context.finished(round, "train_proxy")
    if stage is None:
        return {}
    training = read_json(stage.path(context, "training.json"))
    by_family = training["split"].endswith(f"by {space.family_name}")  # else there were too few: the splits are one
    names = {f"{space.family_name} split": "heldout.csv"} if by_family else {}
    names["random split"] = "random.csv"
    return {
        name: [{str(k): v for k, v in row.items()} for row in pd.read_csv(stage.path(context, file)).to_dict("records")]
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
