"""Stage `pretrain`: what the generator trains once, without a reward, before the first round."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.config import CampaignConfig
from data.ledger.campaigns import LedgerError
from data.ledger.ledger import Ledger
from data.pretraining import MADE_BEFORE, STAGE
from models.parts import generator_of, space_of
from models.protocols import Pretraining
from tasks.progress import stage_progress
from tasks.reporting.pretraining import publish_pretraining
from tasks.stages import BadInput, CampaignContext, CampaignRef, NotYet, StageRef, folder_sha256, run_stage
from tasks.storage import load_state, save_state
from tasks.tracking import Tracker, attempt
from tasks.workspace import Workspace

FILE = "pretrained.pt"


def pretrains(ref: CampaignRef) -> bool:
    """Return whether the generator trains something before the first round."""
    with ref.open() as context:
        return _pretraining(context.config, context.campaign.base) is not None


@task(name="pretrain", cache_policy=NO_CACHE, persist_result=False)
def pretrain(ref: CampaignRef) -> StageRef:
    """Pre-train the generator, or take what an equal or a named campaign has; shown in MLflow as a run of its own.

    Results: `pretrained.pt` (what the generator keeps), `history.csv` (metrics by step).

    Raises:
        BadInput: the named campaign is not there, has pre-trained nothing, or what does not fit.
    """
    with ref.open() as context:
        stage = run_stage(
            context,
            0,
            STAGE,
            inputs={},
            settings=context.settings("generator", "space"),
            compute=lambda folder: _pretrain(context, folder),
        )
        shutil.rmtree(_checkpoint(context).parent, ignore_errors=True)
        tracker = attempt("connecting", lambda: Tracker(context.workspace, context.campaign))
        if tracker is not None:
            attempt("publishing the pre-training", lambda: publish_pretraining(context, tracker, stage))
        return stage


def pretrained(context: CampaignContext) -> StageRef | None:
    """Return the stage, None where nothing was pre-trained."""
    return context.finished(0, STAGE)


def pretrained_file(context: CampaignContext) -> Path | None:
    """Return the file of what was pre-trained, None where nothing was."""
    stage = pretrained(context)
    return None if stage is None else stage.path(context, FILE)


def check_pretraining(config: CampaignConfig, base: Path, workspace: Workspace, ledger: Ledger) -> None:
    """Look for the pre-training of the campaign that the generator names, before anything is bought.

    Raises:
        BadInput: it is not there or cannot be used; the message says which and what to do.
    """
    own, control = (generator_of(part, base) for part in (config.generator, config.control))
    for where, inner in (
        *(("member of a union", one) for one in getattr(own, "members", ())),
        ("control arm", control),
    ):
        if isinstance(inner, Pretraining) and inner.pretrained_from is not None:
            raise BadInput(
                f"A {where} is to use the pre-training of the campaign {inner.pretrained_from!r}, and only the "
                "campaign's own generator can. Leave `from` out: an equal pre-training of the workspace is found "
                "without it, and made within the first round where there is none."
            )
    generator = _pretraining(config, base)
    if generator is not None and generator.pretrained_from is not None:
        _of_campaign(generator, config, workspace, ledger)


def _pretraining(config: CampaignConfig, base: Path) -> Pretraining | None:
    generator = generator_of(config.generator, base)
    return generator if isinstance(generator, Pretraining) and generator.pretrains else None


def _checkpoint(context: CampaignContext) -> Path:
    return context.round_folder(0) / "checkpoint" / FILE


def _pretrain(context: CampaignContext, folder: Path) -> dict[str, float]:
    torch.set_num_threads(1)  # as in training: more change the last bits
    generator = _pretraining(context.config, context.campaign.base)
    assert generator is not None  # `pretrains` was asked
    if generator.pretrained_from is not None:
        state: Mapping[str, Any] = _of_campaign(generator, context.config, context.workspace, context.ledger)
        again = True
    else:
        checkpoint = _checkpoint(context)
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        state, again = generator.pretraining(
            space_of(context.config),
            cache=context.workspace.cache,
            checkpoint=checkpoint,
            progress=stage_progress(0, STAGE),
        )
    save_state(folder / FILE, state)
    history = pd.DataFrame(state["history"])
    history.to_csv(folder / "history.csv", index=False)
    last = {f"final_{name}": float(value) for name, value in history.iloc[-1].dropna().items()}
    return {MADE_BEFORE: float(again), **last}


def _of_campaign(
    generator: Pretraining, config: CampaignConfig, workspace: Workspace, ledger: Ledger
) -> dict[str, Any]:
    """Return what the named campaign pre-trained.

    Raises:
        BadInput: there is nothing, or it cannot be used.
    """
    name = str(generator.pretrained_from)
    try:
        campaign = ledger.campaign_of(name)
    except LedgerError as error:
        if name != config.name:
            raise NotYet(f"The generator uses the pre-training of the campaign {name!r}. {error}") from error
    if name == config.name or campaign.name == config.name:
        raise BadInput(
            f"The campaign {name!r} is to use its own pre-training. Name an earlier campaign, or leave `from` out."
        )
    row = ledger.stage(campaign.id, 0, STAGE)
    if row is None:
        raise NotYet(
            f"The generator uses the pre-training of the campaign {name!r}, which has none yet. Run it first, or leave "
            "`from` out."
        )
    folder = workspace.home / row.uri
    if not folder.is_dir() or folder_sha256(folder) != row.sha256:
        raise NotYet(
            f"The generator uses the pre-training of the campaign {name!r}, which was altered or lost in {folder}. Run "
            "that campaign again, which restores it, or leave `from` out."
        )
    state = load_state(folder / FILE)
    try:
        generator.check_pretrained(state, space_of(config), f"The campaign {name!r}")
    except ValueError as error:
        raise BadInput(str(error)) from error
    return state
