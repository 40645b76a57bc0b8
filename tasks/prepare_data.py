"""Stage `prepare_data`: read and standardise the source, draw the initial design."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.campaigns import CampaignState
from data.config import digest
from data.datasets import Library
from data.decades import wide_span
from data.records import Arm
from data.remarks import REPORT, reading_line
from data.spreadsheets import write_csv
from models.registry import build
from models.reward import first_refusal
from models.sources.base import read_source
from tasks.components import book_of, screens_of, write_json
from tasks.stages import BadInput, CampaignContext, CampaignRef, CampaignStopped, StageRef, file_sha256, run_stage
from tasks.train_proxy import MINIMUM_LABELS


@task(name="prepare data", cache_policy=NO_CACHE, persist_result=False)
def prepare_data(ref: CampaignRef) -> StageRef:
    """Read the campaign's source, report what was refused row by row, and book the initial design.

    Results: `library.parquet` (id, smiles, value, scaffold), `refused.csv` (line, text, reason), `initial.parquet`.

    Raises:
        BadInput: the source cannot be read, no row is usable, or the budget is smaller than the initial design.
        CampaignStopped: the screens refuse every molecule of the source.
    """
    with ref.open() as context:
        config = context.config
        stage = run_stage(
            context,
            0,
            "prepare_data",
            inputs={"source": source_sha256(config.data.component(), context.campaign.base)},
            settings=context.settings("space", "data", "screens"),
            compute=lambda folder: _prepare(context, folder),
        )
        initial = pd.read_parquet(stage.path(context, "initial.parquet"))
        _book(context, initial)
        return stage


def source_sha256(spec: Mapping[str, Any], base: Path) -> str:
    """Return what changes when the rows of a source do: its fingerprint, its file's sha256, or that of its rows."""
    source = build("source", spec)
    if hasattr(source, "fingerprint"):
        return str(source.fingerprint(base))
    if hasattr(source, "file"):
        return file_sha256(source.file(base))
    return digest([[str(cell) for cell in astuple(row)] for row in source.rows(base)])


def _prepare(context: CampaignContext, folder: Path) -> dict[str, float]:
    config = context.config
    library = read_source(config.data.component(), base=context.campaign.base, space=config.space)
    library.frame.to_parquet(folder / "library.parquet", index=False)
    refused = pd.DataFrame(
        [(r.line, r.text, r.reason) for r in library.refused], columns=["line", "text", "reason"]
    ).astype({"line": "Int64"})
    write_csv(refused, folder / "refused.csv")
    initial = _initial_design(context, library)
    initial.to_parquet(folder / "initial.parquet", index=False)
    counts = {
        "rows": library.rows,
        "library": len(library.frame),
        "labelled": int(library.frame["value"].notna().sum()),
        "merged": library.merged,
        "refused": len(refused) + library.too_large,
    }
    span = wide_span(library.frame["value"].dropna().tolist())
    write_json(
        folder / REPORT,
        {
            "rows": library.rows,
            "kept": len(library.frame),
            "labelled": counts["labelled"],
            "merged": library.merged,
            "refused": counts["refused"],
            "line": reading_line(counts, library.reasons),
            "warnings": [*library.warnings, *([] if span is None else [span])],
            "notes": library.notes,
            "reasons": library.reasons,
        },
    )
    return {**counts, "initial": len(initial)}


def _initial_design(context: CampaignContext, library: Library) -> pd.DataFrame:
    """Return all labelled molecules, and `data.initial` unlabelled ones drawn at random from those that pass."""
    config = context.config
    frame = library.frame
    labelled = frame[frame["value"].notna()]
    pool = frame[frame["value"].isna()]
    wanted = config.data.initial
    order = np.random.default_rng(context.seed("initial design")).permutation(len(pool))
    screens = screens_of(config)
    chosen: list[int] = []
    for start in range(0, len(order), 256):
        if len(chosen) >= wanted:
            break
        block = order[start : start + 256]
        reasons = first_refusal(screens, pool["smiles"].iloc[block].tolist())
        chosen += [int(i) for i, reason in zip(block, reasons, strict=True) if reason is None]
    chosen = chosen[:wanted]
    if wanted and not chosen and len(pool):
        raise CampaignStopped(
            CampaignState.NO_CANDIDATES,
            f"The screens refuse all {len(pool)} molecules of the source, so there is nothing to begin with. "
            "Loosen `screens`, or give another source.",
        )
    if len(chosen) < wanted:
        raise BadInput(
            f"data.initial asks for {wanted} molecules, but only {len(chosen)} unlabelled ones of the source are "
            f"inside the space and pass the screens. Set data.initial to {len(chosen)} or less, or give more molecules."
        )
    if not len(chosen) + len(labelled):
        raise BadInput(
            f"There is nothing to measure: none of the {len(frame)} molecules of the source has a value, and "
            "data.initial is 0. Raise data.initial, or name the column that holds the values as data.value."
        )
    if len(chosen) + len(labelled) < MINIMUM_LABELS and config.rounds:
        raise BadInput(
            f"The campaign would begin with {len(chosen) + len(labelled)} measured molecules; a proxy needs at least "
            f"{MINIMUM_LABELS}. Raise data.initial, or give a source with more values."
        )
    return pd.concat([labelled, pool.iloc[chosen]], ignore_index=True)


def _book(context: CampaignContext, initial: pd.DataFrame) -> None:
    """Put the initial design into the ledger: labels as imported values, the others as candidates to be bought."""
    config = context.config
    labelled = initial[initial["value"].notna()]
    book = book_of(context.ledger, context.campaign)
    book.import_values(0, list(labelled[["id", "smiles", "value"]].itertuples(index=False, name=None)))
    rows = [
        {"object_id": row.id, "smiles": row.smiles, "arm": str(Arm.INITIAL), "source": config.data.kind}
        for row in initial.itertuples()
    ]
    context.ledger.add_candidates(context.campaign.id, 0, rows)
