"""Stage `select_batch`: score what passed, choose the batch and the control arm, book them as candidates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.records import Arm, FloatArray, Prediction
from models.acquisition.base import about_round, rounded
from models.acquisition.constrained_bound import ConstrainedBound
from models.featurisers.nearness import Nearness
from models.parts import acquisition_of, selector_of, space_of, through_goal
from models.protocols import Acquisition, Scoring
from models.selectors.choice import choose
from tasks.stages import BadInput, CampaignContext, CampaignRef, StageRef, run_stage
from tasks.storage import load_proxy, read_table

PREDICTION_COLUMNS = ["predicted_mean", "predicted_std", "score", "novelty"]


@task(name="select batch", task_run_name="round {round}: select batch", cache_policy=NO_CACHE, persist_result=False)
def select_batch(ref: CampaignRef, round: int, dataset: StageRef, proxy: StageRef, screened: StageRef) -> StageRef:
    """Choose what to buy.

    Results: `batch.parquet` (id, object, arm, source, predicted_mean, predicted_std, score, novelty) in the order of
    purchase: acquisition and control arms interleaved, so that a budget that ends within the batch cuts both.
    """
    with ref.open() as context:
        stage = run_stage(
            context,
            round,
            "select_batch",
            inputs={"dataset": dataset, "proxy": proxy, "screened": screened},
            settings=context.settings("acquisition", "selector", "control", "batch_size", "objectives"),
            compute=lambda folder: _select(context, folder, round, dataset, proxy, screened),
        )
        batch = read_table(stage.path(context, "batch.parquet")).rename(columns={"id": "object_id"})
        space = space_of(context.config)
        batch = batch.assign(compound=[space.compound(obj) for obj in batch["object"]])
        rows = [{str(k): v for k, v in row.items()} for row in batch.to_dict("records")]
        context.ledger.add_candidates(context.campaign.id, round, rows)
        return stage


def _select(
    context: CampaignContext, folder: Path, round: int, dataset: StageRef, proxy: StageRef, screened: StageRef
) -> dict[str, float]:
    config = context.config
    n_control = config.control.size(config.batch_size)
    known = read_table(dataset.path(context, "dataset.parquet"))
    passed = read_table(screened.path(context, "proposals.parquet"))
    passed = passed[passed["reason"].isna()].reset_index(drop=True)
    space = space_of(config)
    acquisition, own_unit = acquisition_of(config), config.goals[0].factor
    own: FloatArray = known["value"].to_numpy(dtype=np.float64)
    fitted, values = through_goal(config, load_proxy(proxy.path(context, "")), own)
    measured: list[str] = known["object"].tolist()
    about = about_round(acquisition, fitted, measured, values, seed=context.seed(round, "acquisition"), space=space)

    def score(frame: pd.DataFrame) -> tuple[pd.DataFrame, Prediction]:
        prediction, spread = fitted.predict(frame["object"].tolist()), float(known["value"].std())
        scored = _score(frame, prediction, acquisition, about, spread)
        scored = scored.assign(predicted_mean=own_unit * prediction.mean, predicted_std=prediction.std)
        far = novelty(scored["object"].tolist(), measured, space.nearness)
        return scored.assign(novelty=np.round(far, 6)), prediction

    scored, prediction = score(passed)
    if isinstance(acquisition, ConstrainedBound) and (verdict := acquisition.verdict((prediction,))) is not None:
        raise BadInput(verdict)
    chosen = choose(
        selector_of(config),
        acquisition,
        fitted,
        about,
        scored["object"].tolist(),
        prediction,
        scored["score"].to_numpy(dtype=np.float64),
        config.batch_size - n_control,
        space=space,
        seed=context.seed(round, "select_batch"),
    )
    acquired = scored.iloc[chosen].assign(arm=str(Arm.ACQUISITION))
    control = read_table(screened.path(context, "control.parquet"))
    control = control[control["reason"].isna() & ~control["id"].isin(acquired["id"])].head(n_control)
    control = score(control.reset_index(drop=True))[0].assign(arm=str(Arm.CONTROL))
    batch = _interleave(acquired, control)
    batch[["id", "object", "arm", "source", *PREDICTION_COLUMNS]].to_parquet(folder / "batch.parquet", index=False)
    return {
        "selected": len(acquired),
        "control": len(control),
        "mean_score": float(acquired["score"].mean()),
        "mean_novelty": float(acquired["novelty"].mean()),
    }


def _score(
    frame: pd.DataFrame, prediction: Prediction, acquisition: Acquisition, about: Scoring, spread: float
) -> pd.DataFrame:
    here = replace(about, objects=tuple(frame["object"]))
    return frame.assign(score=rounded(acquisition.score((prediction,), here), acquisition, spread))


def novelty(objects: list[str], known: list[str], nearness: Nearness) -> FloatArray:
    """Return 1 - the largest similarity to a known object, shape `(n,)`."""
    if not objects or not known:
        return np.ones(len(objects))
    return 1.0 - nearness.nearest(objects, nearness.features(known))


def _interleave(acquired: pd.DataFrame, control: pd.DataFrame) -> pd.DataFrame:
    position = np.concatenate([(np.arange(len(arm)) + 0.5) / max(len(arm), 1) for arm in (acquired, control)])
    both = pd.concat([acquired, control], ignore_index=True)
    return both.iloc[np.argsort(position, kind="stable")].reset_index(drop=True)
