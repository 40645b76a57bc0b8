"""Measuring again in a campaign: what is chosen for it in a round, and the table and the sentence that say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from data.goals import Goal, Goals
from data.ledger.by_level import PURCHASES_TOLD
from data.ledger.summary import repeated
from data.ledger.telling import calls_of
from data.records import CandidateRow, FloatArray
from models.proxies.warm_start import REPEAT
from models.selectors.remeasuring import Again, Known, worth_remeasuring
from tasks.stages import CampaignContext
from tasks.storage import REPEATS, measured_values, pending_of, write_json
from tasks.train_proxy import repeats_of

REMEASURED = "remeasured.parquet"
"""Table beside a batch: what is measured again (id, object, part, replicate, objective, why), in the order of purchase;
no such file where nothing is."""


def choose_again(context: CampaignContext, round: int, folder: Path, known: pd.DataFrame, proxy: Path) -> pd.DataFrame:
    """Return what a round measures again, as `REMEASURED` has it; empty where that is nothing.

    Args:
        context: of the campaign.
        round: that buys.
        folder: of the stage that wrote the data set.
        known: the data set.
        proxy: folder of the round's trained proxies.
    """
    config, goals = context.config, context.config.goals
    rows = known.reset_index(drop=True)
    waiting = set(pending_of(folder))
    repeats = repeats_of(folder / REPEATS)
    values = measured_values(rows, config)
    parts = [proxy] if len(goals) == 1 else [proxy / str(k) for k in range(len(goals))]
    kept = np.array([_keeps(goals, own) for own in values], dtype=bool)
    idle = np.array([obj not in waiting for obj in rows["object"]], dtype=bool)
    objectives = [
        _known(goal, rows["id"], np.where(idle, values[:, k], np.nan), kept, repeats.get(goal.name, {}), parts[k])
        for k, goal in enumerate(goals)
    ]
    chosen = worth_remeasuring(objectives, config.remeasure, config.readings.replicates)
    return _table(context, round, rows, chosen)


def _keeps(goals: Goals, values: FloatArray) -> bool:
    told = {goal.name: float(value) for goal, value in zip(goals, values, strict=True)}
    return goals.feasible(told)


def _known(
    goal: Goal, ids: pd.Series, values: FloatArray, kept: np.ndarray, repeats: dict[str, list[float]], proxy: Path
) -> Known:
    """Return what is known of an objective."""
    merits = None
    if goal.sign:
        signed = np.array([goal.signed(value) for value in values])
        merits = np.where(kept & ~np.isnan(values), signed, -np.inf)
    heldout = pd.read_csv(proxy / "heldout.csv")
    heldout["id"] = heldout["id"].astype(str).str.partition(REPEAT)[0]
    told = heldout.groupby("id")[["mean", "std"]].mean().reindex(ids)
    own = [repeats.get(key, []) for key in ids]
    spread = repeated(
        [CandidateRow(key, repeats={goal.name: tuple(found)}) for key, found in repeats.items()], Goals([goal])
    )
    return Known(
        goal.name,
        values,
        merits,
        np.array([max(1, len(found)) for found in own], dtype=np.int64),
        (told["mean"].to_numpy(dtype=np.float64), told["std"].to_numpy(dtype=np.float64)),
        spread[0].deviation if spread else None,
        spread[0].objects if spread else 0,
    )


def _table(context: CampaignContext, round: int, rows: pd.DataFrame, chosen: list[Again]) -> pd.DataFrame:
    """Return the purchases: of each object from the oracle of the objective, as its next repetition."""
    part_of = {one.objective: one.part for one in context.config.readings}
    booked: dict[tuple[str, str], int] = {}
    for call in calls_of(context.ledger, context.campaign.id) if chosen else ():
        if call["round"] < round:  # a stage that is made again must choose as it did
            asked = (call["object_id"], call["part"])
            booked[asked] = max(booked.get(asked, 0), call["replicate"] + 1)
    told = []
    for one in chosen:
        key, obj, part = str(rows["id"][one.member]), str(rows["object"][one.member]), part_of[one.objective]
        told.append((key, obj, part, booked.get((key, part), 0), one.objective, one.why))
    columns = ["id", "object", "part", "replicate", "objective", "why"]
    return pd.DataFrame(told, columns=columns).astype({"replicate": "int64"})


def write_again(again: pd.DataFrame, folder: Path) -> dict[str, float]:
    """Write what is measured again and the sentence on it; return their number, for metrics."""
    if not again.empty:
        again.to_parquet(folder / REMEASURED, index=False)
        told = "; ".join(f"{key} ({why})" for key, why in zip(again["id"], again["why"], strict=True))
        write_json(folder / PURCHASES_TOLD, {"told": f"measured again instead of something new: {told}."})
    return {"remeasured": float(len(again))}


def again_of(batch: Path) -> pd.DataFrame:
    """Return what a round measures again; empty where nothing is. `batch`: folder of the stage that chose it."""
    file = batch / REMEASURED
    if not file.is_file():
        return pd.DataFrame(columns=["id", "object", "part", "replicate"])
    return pd.read_parquet(file)
