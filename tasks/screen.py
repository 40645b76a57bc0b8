"""Stage `screen`: leave out what is known and what the screens refuse, and say why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.ledger.campaigns import CampaignState
from data.ledger.summary import COUNTED, REFUSED_BY
from models.acquisition.log_reward import refusals
from models.featurisers.nearness import Nearness
from models.parts import domain_of, screens_of, space_of
from tasks.stages import CampaignContext, CampaignRef, CampaignStopped, StageRef, run_stage
from tasks.storage import read_table

KNOWN = "already in the campaign"


@task(name="screen", task_run_name="round {round}: screen", cache_policy=NO_CACHE, persist_result=False)
def screen(ref: CampaignRef, round: int, dataset: StageRef, proposals: StageRef) -> StageRef:
    """Screen the proposals and the control arm; the proxy's domain is asked of the proposals only.

    Results: `proposals.parquet`, `control.parquet`: as proposed, plus `reason` (null where it passed).

    Raises:
        CampaignStopped: nothing is left; the message counts the reasons.
    """
    with ref.open() as context:
        stage = run_stage(
            context,
            round,
            "screen",
            inputs={"dataset": dataset, "proposals": proposals},
            settings=context.settings("space", "screens", "proxy.domain"),
            compute=lambda folder: _screen(context, folder, round, dataset, proposals),
        )
        if stage.metrics["passed"] == 0:
            raise CampaignStopped(CampaignState.NO_CANDIDATES, _nothing_left(context, round, stage))
        return stage


def _screen(
    context: CampaignContext, folder: Path, round: int, dataset: StageRef, proposals: StageRef
) -> dict[str, float]:
    # Earlier rounds only: this round's own batch is in the ledger when the stage is computed again.
    known = context.ledger.ids_before(context.campaign.id, round)
    measured = read_table(dataset.path(context, "dataset.parquet"), ["object"])["object"].tolist()
    screens = screens_of(context.config)
    passed = {}
    sources: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    # The control arm is what no model would choose: that a model would not believe in it is no reason to refuse it.
    for name, own in (("proposals", domain_of(context.config, measured)), ("control", [])):
        frame = read_table(proposals.path(context, f"{name}.parquet"))
        refused = refusals([*screens, *own], frame["object"].tolist())
        refused = [
            ("known", KNOWN) if key in known else refusal for key, refusal in zip(frame["id"], refused, strict=True)
        ]
        frame["reason"] = pd.array([None if refusal is None else refusal[1] for refusal in refused], dtype="str")
        kinds.update(refusal[0] for refusal in refused if refusal)
        frame.to_parquet(folder / f"{name}.parquet", index=False)
        passed[name] = int(frame["reason"].isna().sum())
        sources.update(frame.loc[frame["reason"].isna(), "source"])
    return {
        "passed": passed["proposals"],
        "refused": len(read_table(folder / "proposals.parquet")) - passed["proposals"],
        "control_passed": passed["control"],
        "control_refused": len(read_table(folder / "control.parquet")) - passed["control"],
        **{f"{COUNTED}/{source}": n for source, n in sources.items()},
        **{f"{REFUSED_BY}/{kind}": n for kind, n in kinds.items()},
        **_nearness(read_table(folder / "proposals.parquet"), measured, space_of(context.config).nearness),
    }


def _nearness(proposals: pd.DataFrame, measured: list[str], nearness: Nearness) -> dict[str, float]:
    """Return how similar what passed is to the nearest measured object: the median, and the tenth below."""
    left = proposals.loc[proposals["reason"].isna(), "object"].tolist()
    if not left or not measured:
        return {}
    nearest = nearness.nearest(left, nearness.features(measured))
    return {"similarity_median": float(np.median(nearest)), "similarity_low": float(np.quantile(nearest, 0.1))}


def _nothing_left(context: CampaignContext, round: int, stage: StageRef) -> str:
    frame = read_table(stage.path(context, "proposals.parquet"))
    if frame.empty:
        return f"Round {round}: the generator proposed nothing. Look at its history, or choose another generator."
    reasons = frame["reason"].value_counts().head(3)
    told = "; ".join(f"{n} x {reason}" for reason, n in reasons.items())
    return (
        f"Round {round}: none of {len(frame)} proposals is left after screening ({told}). "
        "Loosen `screens`, `space` or `proxy.domain`, or choose another generator."
    )
