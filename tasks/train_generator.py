"""Stage `train_generator`: train the generator on the acquisition as log-reward, resumable by its checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.ledger.summary import MET, REFUSED_BY
from models.acquisition.log_reward import AcquisitionReward
from models.parts import generator_of, reward_of, space_of, through_goal
from models.protocols import GenerationContext, Progress
from models.proxies.pending import believing_pending
from tasks.gather_members import gathered, member_files
from tasks.pretrain import pretrained, pretrained_file
from tasks.progress import stage_progress
from tasks.stages import CampaignContext, CampaignRef, StageRef, run_stage
from tasks.storage import load_proxies, measured_values, pending_of, read_table, save_state


@task(
    name="train generator", task_run_name="round {round}: train generator", cache_policy=NO_CACHE, persist_result=False
)
def train_generator(
    ref: CampaignRef, round: int, library: StageRef, dataset: StageRef, proxy: StageRef, previous: StageRef | None
) -> StageRef:
    """Train the generator of a round; a killed training goes on from its checkpoint.

    Results: `generator.pt` (state), `history.csv` (metrics by step).
    """
    with ref.open() as context:
        inputs: dict[str, StageRef | str] = {"library": library, "dataset": dataset, "proxy": proxy}
        if previous is not None:
            inputs["previous"] = previous
        if (members := gathered(context)) is not None:
            inputs["members"] = members
        if (before := pretrained(context)) is not None:
            inputs["pretrained"] = before
        stage = run_stage(
            context,
            round,
            "train_generator",
            inputs=inputs,
            settings=context.settings("generator", "acquisition", "space", "screens", "objectives"),
            compute=lambda folder: _train(context, folder, round, library, dataset, proxy, previous),
        )
        shutil.rmtree(_checkpoint(context, round).parent, ignore_errors=True)
        return stage


def _checkpoint(context: CampaignContext, round: int) -> Path:
    return context.round_folder(round) / "checkpoint" / "generator.pt"


def _train(
    context: CampaignContext,
    folder: Path,
    round: int,
    library: StageRef,
    dataset: StageRef,
    proxy: StageRef,
    previous: StageRef | None,
) -> dict[str, float]:
    torch.set_num_threads(1)  # small networks: threads cost more than they bring, and change the last bits
    checkpoint = _checkpoint(context, round)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    generator = generator_of(context.config.generator, context.campaign.base)
    known = generation_context(
        context,
        round,
        library,
        dataset,
        proxy,
        checkpoint=checkpoint,
        warm_start=None if previous is None else previous.path(context, "generator.pt"),
        progress=stage_progress(round, "train_generator"),
    )
    begun = checkpoint.exists()
    generator.fit(known)
    save_state(folder / "generator.pt", generator.state())
    history = pd.DataFrame(generator.history())
    history.to_csv(folder / "history.csv", index=False)
    final = {} if history.empty else {f"final_{k}": float(v) for k, v in history.iloc[-1].dropna().items()}
    reward = known.log_reward
    if begun or not isinstance(reward, AcquisitionReward):  # what was met before a kill is not counted
        return final
    return final | {MET: reward.met, **{f"{REFUSED_BY}/{kind}": n for kind, n in reward.refused_by.items()}}


def generation_context(
    context: CampaignContext,
    round: int,
    library: StageRef,
    dataset: StageRef,
    proxy: StageRef,
    *,
    checkpoint: Path | None = None,
    warm_start: Path | None = None,
    progress: Progress = lambda done, total, metrics: None,
) -> GenerationContext:
    """Return what the generator of a round may know."""
    measured = read_table(dataset.path(context, "dataset.parquet"))
    pending = pending_of(dataset.path(context, ""))
    proxies = tuple(believing_pending(one, pending) for one in load_proxies(proxy.path(context, ""), context.config))
    fitted, values = through_goal(context.config, proxies, measured_values(measured, context.config))
    seed = context.seed(round, "acquisition")
    reward = reward_of(context.config, fitted, measured["object"].tolist(), values, seed=seed)
    # Best first, ties by identity; of several objectives, those that keep to all limits by undominated fronts.
    order = np.lexsort((measured["id"].to_numpy(dtype=str), -reward.standing(values)))
    return GenerationContext(
        space=space_of(context.config),
        log_reward=reward,
        seed=context.seed(round, "train_generator"),
        known=tuple(measured["object"].iloc[order]),
        asked=_without_a_value(context, round, frozenset(measured["id"])),
        known_log_reward=reward.of_values(values[order]),
        utilities=reward.utilities(values[order]) if len(context.config.goals.improved) > 1 else None,
        sources=tuple(measured["source"].iloc[order]),
        library=tuple(read_table(library.path(context, "library.parquet"), ["object"])["object"]),
        checkpoint=checkpoint,
        warm_start=warm_start,
        members=member_files(context),
        pretrained=pretrained_file(context),
        cache=context.workspace.cache,
        progress=progress,
    )


def _without_a_value(context: CampaignContext, round: int, measured: frozenset[str]) -> tuple[str, ...]:
    """Return the objects of earlier rounds that are not measured, whatever their calls have come to since."""
    earlier = context.ledger.candidates(context.campaign.id, last=round - 1)
    return tuple(dict.fromkeys(row.object for row in earlier if row.id not in measured))
