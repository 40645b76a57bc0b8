"""Stage `prepare_data`: read and standardise the source, draw the initial design."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.config import CampaignConfig, derive_seed, digest
from data.ledger.campaigns import CampaignState
from data.records import Arm, JsonDict
from data.tables.datasets import Library, read_rows
from data.tables.decades import wide_span
from data.tables.remarks import REFUSED, REPORT, reading_line
from data.tables.spreadsheets import write_csv
from models.acquisition.log_reward import first_refusal
from models.parts import screens_of, space_of
from models.registry import find
from models.sources.base import source_of
from models.spaces.base import BaseSpace
from tasks.oracles.booking import book_of
from tasks.stages import BadInput, CampaignContext, CampaignRef, CampaignStopped, StageRef, file_sha256, run_stage
from tasks.storage import read_table, write_json
from tasks.train_proxy import MINIMUM_LABELS


@task(name="prepare data", cache_policy=NO_CACHE, persist_result=False)
def prepare_data(ref: CampaignRef) -> StageRef:
    """Read the campaign's source, report what was refused row by row, and book the initial design.

    Results: `library.parquet` (id, object, value, family), `refused.csv` (line, text, reason), `initial.parquet`.

    Raises:
        BadInput: the source cannot be read, no row is usable, or the budget is smaller than the initial design.
        CampaignStopped: the screens refuse every object of the source.
    """
    with ref.open() as context:
        config = context.config
        sha256 = source_sha256(config, context.campaign.base)
        content = space_of(config).content()  # only where there is one: campaigns without go on under their old keys
        stage = run_stage(
            context,
            0,
            "prepare_data",
            inputs={"source": sha256} | ({"space": content} if content else {}),
            settings=context.settings("space", "data", "screens"),
            compute=lambda folder: _prepare(context, folder, sha256),
        )
        initial = read_table(stage.path(context, "initial.parquet"))
        _book(context, initial)
        return stage


def source_sha256(config: CampaignConfig, base: Path) -> str:
    """Return what changes when the rows of a source do: its fingerprint, its file's sha256, or that of its rows."""
    source = _source(config)
    if hasattr(source, "fingerprint"):
        return str(source.fingerprint(base))
    if hasattr(source, "file"):
        return file_sha256(source.file(base))
    return digest([[str(cell) for cell in astuple(row)] for row in source.rows(base)])


def _is_ordered(config: CampaignConfig) -> bool:
    return bool(getattr(find("source", config.data.kind), "ordered", False))


def _source(config: CampaignConfig) -> Any:
    return source_of(config.data.component(), space_of(config), seed=derive_seed(config.seed, "source"))


def checked_source(config: CampaignConfig, base: Path) -> JsonDict:
    """Read the source and draw the initial design as the campaign will; return what is to be said of the rows.

    What was read is kept for the campaign of this process, which need not read it again.

    Raises:
        BadInput, SourceError, CampaignStopped: as `prepare_data`.
    """
    library = _library(config, base, source_sha256(config, base))
    initial_design(config, library.frame)
    return _report(library, space_of(config))


_kept: dict[str, Library] = {}


def _library(config: CampaignConfig, base: Path, sha256: str) -> Library:
    settings = config.model_dump(mode="json", include={"data", "space"})
    space = space_of(config)
    key = digest([settings, str(base), sha256, space.key()])
    if key not in _kept:
        _kept.clear()
        _kept[key] = read_rows(_source(config), base=base, space=space)
    return _kept[key]


def _prepare(context: CampaignContext, folder: Path, sha256: str) -> dict[str, float]:
    library = _library(context.config, context.campaign.base, sha256)
    _kept.clear()
    library.frame.to_parquet(folder / "library.parquet", index=False)
    refused = pd.DataFrame(
        [(r.line, r.text, r.reason) for r in library.refused], columns=["line", "text", "reason"]
    ).astype({"line": "Int64"})
    write_csv(refused, folder / REFUSED)
    initial = initial_design(context.config, library.frame)
    initial.to_parquet(folder / "initial.parquet", index=False)
    write_json(folder / REPORT, _report(library, space_of(context.config)))
    return {**_counts(library), "initial": len(initial)}


def _counts(library: Library) -> dict[str, float]:
    return {
        "rows": library.rows,
        "library": len(library.frame),
        "labelled": int(library.frame["value"].notna().sum()),
        "merged": library.merged,
        "refused": len(library.refused) + library.passed_over.total(),
    }


def _report(library: Library, space: BaseSpace[Any]) -> JsonDict:
    counts = _counts(library)
    span = wide_span(library.frame["value"].dropna().tolist())
    return {
        "rows": library.rows,
        "kept": counts["library"],
        "labelled": counts["labelled"],
        "merged": library.merged,
        "refused": counts["refused"],
        "listed": len(library.refused),
        "line": reading_line(counts, library.reasons, space.nouns[1]),
        "warnings": [*library.warnings, *([] if span is None else [span])],
        "notes": library.notes,
        "reasons": library.reasons,
    }


def initial_design(config: CampaignConfig, frame: pd.DataFrame) -> pd.DataFrame:
    """Return all labelled objects, and `data.initial` unlabelled ones drawn at random from those that pass.

    A source that says it is ordered gives its first ones.

    Args:
        config: of the campaign.
        frame: the objects of the source, `data.tables.datasets.COLUMNS`.

    Raises:
        BadInput: there are too few objects for the initial design, or too few values for a proxy.
        CampaignStopped: the screens refuse every object of the source.
    """
    labelled = frame[frame["value"].notna()]
    pool = frame[frame["value"].isna()]
    wanted, nouns = config.data.initial, space_of(config).nouns[1]
    order = np.random.default_rng(derive_seed(config.seed, "initial design")).permutation(len(pool))
    if _is_ordered(config):
        order = np.arange(len(pool))
    screens = screens_of(config)
    chosen: list[int] = []
    for start in range(0, len(order), 256):
        if len(chosen) >= wanted:
            break
        block = order[start : start + 256]
        reasons = first_refusal(screens, pool["object"].iloc[block].tolist())
        chosen += [int(i) for i, reason in zip(block, reasons, strict=True) if reason is None]
    chosen = chosen[:wanted]
    if wanted and not chosen and len(pool):
        raise CampaignStopped(
            CampaignState.NO_CANDIDATES,
            f"The screens refuse all {len(pool)} {nouns} of the source, so there is nothing to begin with. "
            "Loosen `screens`, or give another source.",
        )
    if len(chosen) < wanted:
        raise BadInput(
            f"data.initial asks for {wanted} {nouns}, but only {len(chosen)} unlabelled ones of the source are "
            f"inside the space and pass the screens. Set data.initial to {len(chosen)} or less, or give more {nouns}."
        )
    if not len(chosen) + len(labelled):
        raise BadInput(
            f"There is nothing to measure: none of the {len(frame)} {nouns} of the source has a value, and "
            "data.initial is 0. Raise data.initial, or name the column that holds the values as data.value."
        )
    if len(chosen) + len(labelled) < MINIMUM_LABELS and config.rounds:
        raise BadInput(
            f"The campaign would begin with {len(chosen) + len(labelled)} measured {nouns}; a proxy needs at least "
            f"{MINIMUM_LABELS}. Raise data.initial, or give a source with more values."
        )
    return pd.concat([labelled, pool.iloc[chosen]], ignore_index=True)


def _book(context: CampaignContext, initial: pd.DataFrame) -> None:
    """Put the initial design into the ledger: labels as imported values, the others as candidates to be bought."""
    config, space = context.config, space_of(context.config)
    labelled = initial[initial["value"].notna()]
    book = book_of(context)
    book.import_values(0, list(labelled[["id", "object", "value"]].itertuples(index=False, name=None)))
    rows = [
        {
            "object_id": row.id,
            "object": row.object,
            "arm": str(Arm.INITIAL),
            # A design that is drawn must not be taken for what the generator of the same name proposes.
            "source": "design" if _is_ordered(config) else config.data.kind,
            "compound": space.compound(str(row.object)),
        }
        for row in initial.itertuples()
    ]
    context.ledger.add_candidates(context.campaign.id, 0, rows)
