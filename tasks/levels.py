"""Levels from cheap to true in a campaign: what was bought at each, what is to be bought, and the tables of both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.config import CampaignConfig
from data.goals import Goal
from data.ledger.by_level import PURCHASES_TOLD
from data.records import Arm, CandidateRow, FloatArray
from models.buying.base import NEW, Choice, LevelJoint, Offer
from models.parts import buying_of, initial_levels, level_costs
from models.protocols import LevelProxy
from models.proxies.calibration import Calibrated
from models.proxies.cheaper import CheaperLevel, CheaperLevels
from tasks.stages import CampaignContext
from tasks.storage import write_json

LEVELS = "levels.parquet"
"""Table beside a data set, where an objective has several levels: every measurement of it at each, also what has no
answer (id, object, arm, objective, level, replicate, value, round)."""

PURCHASES = "purchases.parquet"
"""Table beside a batch, where an objective has several levels: what is to be bought (purchase, id, object, arm, level);
rows of one purchase are bought together or not at all."""


@dataclass(frozen=True, slots=True)
class LevelPurchase:
    """What is bought of one object.

    Attributes:
        object_id: of what.
        object: its text.
        levels: which are bought.
        parts: the oracles that are asked.
    """

    object_id: str
    object: str
    levels: tuple[int, ...]
    parts: tuple[str, ...]


def purchases_of(context: CampaignContext, round: int, batch: Path) -> list[LevelPurchase]:
    """Return what a round buys, in order: of the initial design as its way of buying says, later as was chosen.

    Args:
        context: of the campaign, which has levels.
        round: 0 for the initial design.
        batch: folder of the stage that chose the batch.
    """
    config = context.config
    if round:
        table = pd.read_parquet(batch / PURCHASES)
        return [
            _purchase(config, str(of_one["id"].iloc[0]), str(of_one["object"].iloc[0]), tuple(of_one["level"].tolist()))
            for _, of_one in table.groupby("purchase", sort=True)
        ]
    rows = context.ledger.candidates(context.campaign.id, 0, 0, as_of=0)
    fresh = [row for row in rows if row.origin != "imported"]
    levels = initial_levels(config, len(fresh))
    return [_purchase(config, row.id, row.object, own) for row, own in zip(fresh, levels, strict=True)]


def _purchase(config: CampaignConfig, object_id: str, obj: str, levels: tuple[int, ...]) -> LevelPurchase:
    readings = config.readings
    levelled = readings.levelled
    assert levelled is not None
    top = len(levelled.below)
    parts = [part for at in levels for part in (readings.true_parts if at == top else (levelled.below[at][0],))]
    return LevelPurchase(object_id, obj, levels, tuple(dict.fromkeys(parts)))


def write_levels(context: CampaignContext, rows: list[CandidateRow], folder: Path, round: int) -> dict[str, float]:
    """Write every measurement at every level; return the calls and the cost of a round by level, for metrics."""
    told = [
        (row.id, row.object, row.arm, objective, place, number, value, level.round)
        for row in rows
        for objective, known in (row.levels or {}).items()
        for place, level in enumerate(known)
        if level.round is not None
        for number, value in enumerate(level.repeats or (level.value,))
    ]
    columns = ["id", "object", "arm", "objective", "level", "replicate", "value", "round"]
    table = pd.DataFrame(told, columns=columns).astype({"value": "float64", "level": "int64", "round": "int64"})
    table.to_parquet(folder / LEVELS, index=False)
    bought = [row for row in context.ledger.bought(context.campaign.id) if row["round"] == round]
    return {
        f"level_{place}/{what}": float(sum(row[what] for row in bought if row["part"] == part))
        for place, part in enumerate(parts_by_level(context.config))
        for what in ("calls", "cost")
    }


def parts_by_level(config: CampaignConfig) -> list[str]:
    """Return the oracle of each level, from cheap to true."""
    levelled = config.readings.levelled
    return [] if levelled is None else [part for part, _ in levelled.levels]


def cheaper_of(dataset: Path, objective: str) -> CheaperLevels | None:
    """Return what is known below the truth of an objective; None where it has one level.

    Args:
        dataset: folder of the stage that wrote the data set.
        objective: its name.
    """
    file = dataset / LEVELS
    if not file.is_file():
        return None
    table = pd.read_parquet(file)
    table = table[table["objective"] == objective]
    if table.empty:
        return None
    known = table[table["value"].notna()].sort_values(["id", "replicate"])
    found = []
    for level in range(int(table["level"].max())):
        own = known[known["level"] == level]
        found.append(CheaperLevel(tuple(own["id"]), tuple(own["object"]), own["value"].to_numpy(dtype=np.float64)))
    return CheaperLevels(tuple(found))


@dataclass(frozen=True)
class Standing:
    """Where the objects of a campaign stand among its levels.

    Attributes:
        held: id, object, level and value of those that could go up: measured at a level, and asked at none above.
        answered: shape `(L,)`, objects that are measured at each level, the control arm left out.
        asked: shape `(L,)`, the same, whatever became of the call.
    """

    held: pd.DataFrame
    answered: NDArray[np.int64]
    asked: NDArray[np.int64]


def standing_of(dataset: Path, levels: int) -> Standing:
    """Return where the objects of a data set (its stage's folder) stand."""
    table = pd.read_parquet(dataset / LEVELS)
    table = table[table["arm"] != str(Arm.CONTROL)]
    means = table.groupby(["id", "level"], as_index=False).agg({"object": "first", "value": "mean"})
    highest = means.loc[means.groupby("id")["level"].idxmax()].sort_values("id")
    held = highest[(highest["level"] < levels - 1) & highest["value"].notna()].reset_index(drop=True)
    counts = [means[means["level"] == level] for level in range(levels)]
    answered = np.array([int(own["value"].notna().sum()) for own in counts], dtype=np.int64)
    return Standing(held, answered, np.array([len(own) for own in counts], dtype=np.int64))


def offer_of(
    config: CampaignConfig,
    standing: Standing,
    *,
    chosen: list[int],
    members: pd.DataFrame,
    values: FloatArray,
    proxy: Calibrated,
    n: int,
    seed: int,
) -> Offer:
    """Return what may be bought in a round.

    Args:
        config: of the campaign.
        standing: of its objects.
        chosen: the selector's choice among the new candidates.
        members: object and score of the new candidates, then of those that are held.
        values: signed true values, nan where there is none.
        proxy: of the objective that has levels.
        n: purchases wanted.
        seed: of ways of buying that draw.
    """
    held, new = standing.held, len(members) - len(standing.held)
    goal = next(goal for goal, one in zip(config.goals, config.objectives, strict=True) if one.levels)
    known = _joint(proxy, goal, members["object"].tolist())
    true = values[~np.isnan(values)]
    return Offer(
        chosen=tuple(chosen),
        scores=members["score"].to_numpy(dtype=np.float64),
        reached=np.concatenate([np.full(new, NEW), held["level"].to_numpy(dtype=np.int64)]),
        low=np.concatenate([np.full(new, np.nan), [goal.signed(value) for value in held["value"]]]),
        answered=standing.answered,
        asked=standing.asked,
        costs=np.array(level_costs(config)),
        n=n,
        best=float(true.max()) if len(true) else None,
        joint=None if known is None else known[0],
        noise=np.zeros(0) if known is None else known[1],
        seed=seed,
    )


def _joint(proxy: Calibrated, goal: Goal, objects: list[str]) -> tuple[LevelJoint, FloatArray] | None:
    """Return the signed posterior at all levels and the noise, calibrated as predictions are; None: there is none."""
    within = proxy.proxy
    if not isinstance(within, LevelProxy):
        return None

    def joint(members: Any) -> tuple[FloatArray, FloatArray]:
        some = [objects[i] for i in members]
        mean, covariance = within.joint_levels(some)
        factor = np.tile(proxy.calibration.factor(within.predict(some).std), len(mean))
        return goal.factor * mean, covariance * factor[:, None] * factor[None, :]

    noise = within.level_noise()
    factor = float(proxy.calibration.factor(np.sqrt(noise[-1:]).clip(1e-300))[0])
    return joint, noise * factor**2


def write_purchases(
    config: CampaignConfig,
    folder: Path,
    choices: list[Choice],
    members: pd.DataFrame,
    control: pd.DataFrame,
    reached: NDArray[np.int64],
) -> dict[str, float]:
    """Write what is to be bought, both arms interleaved, and the sentence on it; return what goes up, for metrics.

    Args:
        config: of the campaign.
        folder: of the stage.
        choices: of the acquisition arm, in the order of purchase.
        members: what they are of: id and object.
        control: the control arm: id and object.
        reached: level of each member so far.
    """
    levels, buying = len(level_costs(config)), buying_of(config)
    arms = (
        [(str(members["id"].iloc[m]), str(members["object"].iloc[m]), str(Arm.ACQUISITION), own) for m, own in choices],
        [
            (key, obj, str(Arm.CONTROL), buying.control(levels))
            for key, obj in zip(control["id"], control["object"], strict=True)
        ],
    )
    place = np.concatenate([(np.arange(len(arm)) + 0.5) / max(len(arm), 1) for arm in arms])
    every = [*arms[0], *arms[1]]
    rows = [
        (number, key, obj, arm, level)
        for number, at in enumerate(np.argsort(place, kind="stable"))
        for key, obj, arm, own in (every[at],)
        for level in own
    ]
    columns = ["purchase", "id", "object", "arm", "level"]
    table = pd.DataFrame(rows, columns=columns).astype({"purchase": "int64", "level": "int64"})
    table.to_parquet(folder / PURCHASES, index=False)
    promoted = [int((reached[[m for m, own in choices if own[-1] == level]] != NEW).sum()) for level in range(levels)]
    fresh = [sum(reached[m] == NEW and own[-1] == level for m, own in choices) for level in range(levels)]
    write_json(folder / PURCHASES_TOLD, {"told": _told(config, fresh, promoted, len(control), buying.why())})
    return {f"promoted/level_{level}": float(count) for level, count in enumerate(promoted) if level}


def _told(config: CampaignConfig, fresh: list[int], promoted: list[int], control: int, why: str) -> str:
    costs, buying = level_costs(config), buying_of(config)
    new = [f"{count} up to level {level}" for level, count in enumerate(fresh) if count]
    up = [f"{count} to level {level}" for level, count in enumerate(promoted) if count]
    parts = [f"new {', '.join(new)}"] if new else []
    parts += [f"promoted {', '.join(up)}"] if up else []
    if control:
        each = sum(costs[level] for level in buying.control(len(costs)))
        parts.append(f"the control arm's {control} at the true level, which cost {control * each:g}")
    return f"{'; '.join(parts) or 'nothing is bought'}: {why}."
