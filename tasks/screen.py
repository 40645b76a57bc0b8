"""Stage `screen`: leave out what is known and what the screens refuse, and say why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.ledger.campaigns import CampaignState
from data.ledger.summary import COUNTED, IMPORTED, REFUSED_BY
from data.records import CallState
from data.stocks import STOCK
from models.acquisition.log_reward import refusals
from models.featurisers.nearness import Nearness
from models.parts import domain_of, generator_of, screens_of, space_of
from models.protocols import FromLibraries
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
            raise CampaignStopped(CampaignState.NO_CANDIDATES, _nothing_left(context, round, stage, proposals))
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


def _nothing_left(context: CampaignContext, round: int, stage: StageRef, proposals: StageRef) -> str:
    frame = read_table(stage.path(context, "proposals.parquet"))
    members, left, unmeasured = (int(proposals.metrics.get(name, -1)) for name in STOCK)
    if frame.empty and left == 0:
        return f"Round {round}: {_all_bought(context, round, members, unmeasured)} {_BEGIN_ANEW}"
    if frame.empty:
        return f"Round {round}: the generator proposed nothing. Look at its history, or choose another generator."
    if (frame["reason"] == KNOWN).all():
        return (
            f"Round {round}: all {len(frame)} proposals are {KNOWN}, so that the generator has nothing new to offer. "
            "Begin anew (--fresh) with a larger `space`, more `generator.proposals` or another generator; what is "
            "measured is not bought again."
        )
    reasons = frame["reason"].value_counts().head(3)
    told = "; ".join(f"{n} x {reason}" for reason, n in reasons.items())
    beside = f" {members - left} of the {members} of the library are in the campaign." if left > 0 else ""
    return (
        f"Round {round}: none of {len(frame)} proposals is left after screening ({told}).{beside} "
        "Loosen `screens`, `space` or `proxy.domain`, or choose another generator."
    )


_BEGIN_ANEW = (
    "Nothing is left to propose. Begin anew (--fresh) with a larger library or another generator; what is measured is "
    "not bought again."
)


def _all_bought(context: CampaignContext, round: int, members: int, unmeasured: int) -> str:
    """Return the sentence on libraries of which every member is in the campaign."""
    generator = generator_of(context.config.generator, context.campaign.base)
    noun, nouns = space_of(context.config).nouns
    names = generator.libraries if isinstance(generator, FromLibraries) else ()
    what = f"the library {names[0]}" if len(names) == 1 else f"the libraries {', '.join(names)}"
    earlier = context.ledger.candidates(context.campaign.id, last=round - 1)
    given = " or came with a value" if any(row.origin == IMPORTED for row in earlier) else ""
    states = {row.state for row in earlier if row.state != CallState.DONE}
    ended = "failed" if states <= {str(CallState.FAILED)} else "have no value"
    without = f" ({unmeasured} of them {ended})" if unmeasured else ""
    every = f"the only {noun} of {what} has" if members == 1 else f"all {members} {nouns} of {what} have"
    return f"{every} been bought{given}{without}."
