"""Stage `select_batch`: score what passed, choose the batch and the control arm, book them as candidates."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.config import CampaignConfig
from data.ledger.course_health import FAMILIES, FAMILY, POOL, SCORES
from data.records import Arm, FloatArray, Prediction
from data.short_batches import SHORT
from models.acquisition.base import about_round, rounded
from models.acquisition.constrained_bound import ConstrainedBound
from models.buying.base import NEW
from models.featurisers.nearness import Nearness
from models.parts import acquisition_of, buying_of, level_costs, selector_of, space_of, through_goal
from models.protocols import Acquisition, Proxy, Scoring
from models.proxies.pending import believing_pending
from models.selectors.choice import believing, choose
from models.spaces.base import BaseSpace
from tasks.levels import offer_of, write_purchases
from tasks.levels import standing_of as level_standing
from tasks.remeasuring import choose_again, write_again
from tasks.stages import BadInput, CampaignContext, CampaignRef, StageRef, run_stage
from tasks.storage import load_proxies, measured_values, pending_of, read_table

PREDICTION_COLUMNS = ["predicted_mean", "predicted_std", "score", "novelty"]


@task(name="select batch", task_run_name="round {round}: select batch", cache_policy=NO_CACHE, persist_result=False)
def select_batch(ref: CampaignRef, round: int, dataset: StageRef, proxy: StageRef, screened: StageRef) -> StageRef:
    """Choose what to buy.

    Results: `batch.parquet` (id, object, arm, source, predicted_mean, predicted_std, score, novelty) in the order of
    purchase: acquisition and control arms interleaved, so that a budget that ends within the batch cuts both. What is
    predicted is the main objective, in its own unit; of several objectives, or under limits, the column `predicted` has
    JSON of mean and standard deviation of each, by name, in own units. Where an objective has levels from cheap to true
    also what is bought at which (`tasks.levels`), of new candidates and of earlier ones; the batch has the new ones.
    Where measurements may be repeated, what is measured again is in a table of its own (`tasks.remeasuring`).
    """
    with ref.open() as context:
        stage = run_stage(
            context,
            round,
            "select_batch",
            inputs={"dataset": dataset, "proxy": proxy, "screened": screened},
            settings=context.settings(
                *("acquisition", "selector", "control", "batch_size", "objectives"),
                *(["buying"] if context.config.levelled else []),
                *(["remeasure"] if context.config.remeasure else []),
            ),
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
    acquisition = acquisition_of(config)
    pending = pending_of(dataset.path(context, ""))
    own = tuple(believing_pending(one, pending) for one in load_proxies(proxy.path(context, ""), config))
    fitted, values = through_goal(config, own, measured_values(known, config))
    measured: list[str] = known["object"].tolist()
    seed = context.seed(round, "acquisition")
    about = about_round(acquisition, fitted, measured, values, seed=seed, goals=config.goals, space=space)
    if pending:
        about = believing(about, np.column_stack([one.predict(pending).mean for one in fitted]))

    def score(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[Prediction, ...]]:
        objects = frame["object"].tolist()
        predictions, spread = tuple(one.predict(objects) for one in fitted), float(known["value"].std())
        scored = _score(frame, predictions, acquisition, about, spread)
        scored = scored.assign(**_told(config, own, predictions, objects))
        return scored.assign(novelty=np.round(novelty(objects, measured, space.nearness), 6)), predictions

    scored, predictions = score(passed)
    if isinstance(acquisition, ConstrainedBound) and (verdict := acquisition.verdict(predictions, about)) is not None:
        raise BadInput(verdict)
    again, n_new = None, config.batch_size - n_control
    if config.remeasure:
        again = choose_again(context, round, dataset.path(context, ""), known, proxy.path(context, ""))
        n_new -= len(again)
    chosen = choose(
        selector_of(config),
        acquisition,
        fitted,
        about,
        scored["object"].tolist(),
        predictions,
        scored["score"].to_numpy(dtype=np.float64),
        n_new,
        space=space,
        seed=context.seed(round, "select_batch"),
    )
    told: dict[str, float] = {}
    if config.levelled is not None:
        standing = level_standing(dataset.path(context, ""), len(level_costs(config)))
        members = scored if standing.held.empty else pd.concat([scored, score(standing.held)[0]], ignore_index=True)
        at = config.objectives.index(config.levelled)
        offer = offer_of(
            config,
            standing,
            chosen=chosen,
            members=members,
            values=values[:, at],
            proxy=load_proxies(proxy.path(context, ""), config)[at],
            n=n_new,
            seed=context.seed(round, "buying"),
        )
        choices = buying_of(config).buy(offer)
        chosen = list(dict.fromkeys(member for member, _ in choices if offer.reached[member] == NEW))
    acquired = scored.iloc[chosen].assign(arm=str(Arm.ACQUISITION))
    control = read_table(screened.path(context, "control.parquet"))
    control = control[control["reason"].isna() & ~control["id"].isin(acquired["id"])].head(n_control)
    control = score(control.reset_index(drop=True))[0].assign(arm=str(Arm.CONTROL))
    if config.levelled is not None:
        told = write_purchases(config, folder, choices, members, control, offer.reached)
    if again is not None:
        told = write_again(again, folder)
    batch = _interleave(acquired, control)
    columns = [*PREDICTION_COLUMNS, *(["predicted"] if "predicted" in batch else [])]
    batch[["id", "object", "arm", "source", *columns]].to_parquet(folder / "batch.parquet", index=False)
    lacking = n_new - (len(acquired) if config.levelled is None else len(choices)) + n_control - len(control)
    return {
        "selected": len(acquired),
        "control": len(control),
        **({SHORT: lacking} if lacking > 0 else {}),
        **({} if acquired.empty and told else _means(acquired)),
        **_breadth(scored, acquired, space),
        **told,
    }


def _breadth(scored: pd.DataFrame, acquired: pd.DataFrame, space: BaseSpace[Any]) -> dict[str, float]:
    """Return how many scores are told apart among the candidates, and how the chosen ones share families."""
    families = Counter(filter(None, map(space.family, acquired["object"])))
    found: dict[str, float] = {POOL: len(scored), SCORES: int(scored["score"].nunique())}
    return found | ({FAMILIES: len(families), FAMILY: max(families.values())} if families else {})


def _means(acquired: pd.DataFrame) -> dict[str, float]:
    return {"mean_score": float(acquired["score"].mean()), "mean_novelty": float(acquired["novelty"].mean())}


def _score(
    frame: pd.DataFrame,
    predictions: tuple[Prediction, ...],
    acquisition: Acquisition,
    about: Scoring,
    spread: float,
) -> pd.DataFrame:
    here = replace(about, objects=tuple(frame["object"]))
    if len(about.improved or predictions) > 1:
        spread = 1.0  # scores of several objectives are logarithms, ranks or in measured ranges
    return frame.assign(score=rounded(acquisition.score(predictions, here), acquisition, spread))


def _told(
    config: CampaignConfig, proxies: tuple[Proxy, ...], predictions: tuple[Prediction, ...], objects: list[str]
) -> dict[str, Any]:
    """Return the columns that tell what is predicted, in the objectives' own units, from what is seen by the goals."""
    goals = config.goals
    own = [
        Prediction(goal.factor * seen.mean, seen.std, seen.freedom) if goal.target is None else proxy.predict(objects)
        for goal, proxy, seen in zip(goals, proxies, predictions, strict=True)
    ]
    main = own[goals.index(goals.main)]
    columns: dict[str, Any] = {"predicted_mean": main.mean, "predicted_std": main.std}
    if len(goals) > 1 or goals[0].limited:
        names = [goal.name for goal in goals]
        columns["predicted"] = [
            json.dumps({name: [float(one.mean[i]), float(one.std[i])] for name, one in zip(names, own, strict=True)})
            for i in range(len(objects))
        ]
    return columns


def novelty(objects: list[str], known: list[str], nearness: Nearness) -> FloatArray:
    """Return 1 - the largest similarity to a known object, shape `(n,)`."""
    if not objects or not known:
        return np.ones(len(objects))
    return 1.0 - nearness.nearest(objects, nearness.features(known))


def _interleave(acquired: pd.DataFrame, control: pd.DataFrame) -> pd.DataFrame:
    position = np.concatenate([(np.arange(len(arm)) + 0.5) / max(len(arm), 1) for arm in (acquired, control)])
    both = pd.concat([acquired, control], ignore_index=True)
    return both.iloc[np.argsort(position, kind="stable")].reset_index(drop=True)
