"""Stage `propose`: draw distinct candidates from the trained generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.feature_shifts import shift_metrics
from data.ledger.summary import COUNTED
from data.records import Candidate
from data.stocks import STOCK
from models.featurisers.base import Featuriser
from models.parts import generator_of, proxy_beside, proxy_spec, space_of
from models.protocols import FromLibraries, Generator
from models.proxies.feature_shift import FEWEST, MOST, feature_shift
from models.registry import build
from tasks.origins import FILE, write_origins
from tasks.stages import CampaignContext, CampaignRef, StageRef, run_stage
from tasks.storage import load_state
from tasks.train_generator import generation_context


@task(name="propose", task_run_name="round {round}: propose", cache_policy=NO_CACHE, persist_result=False)
def propose(
    ref: CampaignRef, round: int, library: StageRef, dataset: StageRef, proxy: StageRef, generator: StageRef
) -> StageRef:
    """Draw `generator.proposals` candidates, and those of the control arm.

    Results: `proposals.parquet` and `control.parquet` (id, object, source, log_prob), in the order drawn; and how they
    were made, `lineage.parquet` (`tasks.origins`).
    """
    with ref.open() as context:
        return run_stage(
            context,
            round,
            "propose",
            inputs={"library": library, "dataset": dataset, "proxy": proxy, "generator": generator},
            settings=context.settings("generator", "control"),
            compute=lambda folder: _propose(context, folder, round, library, dataset, proxy, generator),
        )


def _propose(
    context: CampaignContext,
    folder: Path,
    round: int,
    library: StageRef,
    dataset: StageRef,
    proxy: StageRef,
    trained: StageRef,
) -> dict[str, float]:
    torch.set_num_threads(1)
    config = context.config
    known = generation_context(context, round, library, dataset, proxy)
    generator = generator_of(config.generator, context.campaign.base)
    generator.load_state(load_state(trained.path(context, "generator.pt")), known)
    proposals = generator.sample(config.generator.proposals, seed=context.seed(round, "propose"))
    _write(proposals, folder / "proposals.parquet")
    wanted = config.control.size(config.batch_size)
    control: list[Candidate] = []
    arms = [(generator, proposals)]
    if wanted:
        arm = generator_of(config.control, context.campaign.base)
        arm.fit(known)
        # Ten and fifty times: most random members of the space are refused by the screens, some are known.
        control = arm.sample(max(10 * config.batch_size, 50 * wanted), seed=context.seed(round, "control"))
        arms.append((arm, control))
    _write(control, folder / "control.parquet")
    write_origins(arms, folder / FILE, (*known.known, *known.library))
    told = {"proposals": float(len(proposals)), **_by_source([*proposals, *control], generator)}
    return told | _of_libraries(generator) | _shift(context, round, known.known, proposals)


def _shift(
    context: CampaignContext, round: int, known: Sequence[str], proposals: Sequence[Candidate]
) -> dict[str, float]:
    """Return which named features of the proposals are not as they are among the measured objects."""
    proxy = build("proxy", proxy_spec(proxy_beside(context.config), space_of(context.config)))
    featuriser = getattr(proxy, "featuriser", None)
    if not isinstance(featuriser, Featuriser):
        return {}
    names = featuriser.names().dense
    drawn = [candidate.object for candidate in proposals[:MOST]]
    if not names or min(len(known), len(drawn)) < FEWEST:
        return {}
    sides = [featuriser.partly(some, dense=True, kinds=()).dense for some in (known[:MOST], drawn)]
    moved = feature_shift(sides[0], sides[1], names, seed=context.seed(round, "shift"))
    far: dict[str, float] = {}
    for one in moved:  # columns of one name, such as the words of a variable, count once
        far.setdefault(one.name, one.deviations)
    return shift_metrics(far, len(set(names)))


def _of_libraries(generator: Generator) -> dict[str, float]:
    """Return how many members the generator's libraries have, and how many of them are left or have no value."""
    counts = generator.left() if isinstance(generator, FromLibraries) else None
    return {} if counts is None else dict(zip(STOCK, map(float, counts), strict=True))


def _write(candidates: list[Candidate], path: Path) -> None:
    rows = [(c.id, c.object, c.source, c.log_prob) for c in candidates]
    frame = pd.DataFrame(rows, columns=["id", "object", "source", "log_prob"]).astype(
        {"id": "str", "object": "str", "source": "str", "log_prob": "float64"}
    )
    frame.to_parquet(path, index=False)


def _by_source(candidates: list[Candidate], generator: Generator) -> dict[str, float]:
    """Return candidates by what proposed them; a member of a union that proposed nothing has none, and is told."""
    counts: dict[str, float] = {f"{COUNTED}/{source}": 0 for source in getattr(generator, "sources", ())}
    for candidate in candidates:
        key = f"{COUNTED}/{candidate.source}"
        counts[key] = counts.get(key, 0) + 1
    return counts
