"""What a campaign begins with: the rows of its source, and the initial design drawn of them."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.config import CampaignConfig, derive_seed, digest
from data.ledger.campaigns import CampaignState
from data.records import JsonDict
from data.tables.datasets import Library, read_rows
from data.tables.decades import wide_span
from data.tables.remarks import reading_line
from models.acquisition.log_reward import first_refusal
from models.parts import screens_of, space_of
from models.proxies.checks import MINIMUM_LABELS
from models.registry import find
from models.sources.base import source_of
from tasks.library_cache import keep_library, kept_library, reading_key
from tasks.stages import BadInput, CampaignStopped, file_sha256


def source_sha256(config: CampaignConfig, base: Path) -> str:
    """Return what changes when the rows of a source do: its fingerprint, its file's sha256, or that of its rows."""
    source = _source(config)
    if hasattr(source, "fingerprint"):
        return str(source.fingerprint(base))
    if hasattr(source, "file"):
        return file_sha256(source.file(base))
    return digest([[str(cell) for cell in astuple(row)] for row in source.rows(base)])


def files_of(config: CampaignConfig, base: Path) -> list[Path]:
    """Return the user's files that the source and the space read."""
    source = _source(config)
    read = [source.file(base)] if hasattr(source, "file") else []
    read += [value for _, value in space_of(config).options if isinstance(value, Path)]
    return list(dict.fromkeys(path.expanduser() for path in read))


def is_ordered(config: CampaignConfig) -> bool:
    """Return whether the source is a design: its first objects are the initial ones."""
    return bool(getattr(find("source", config.data.kind), "ordered", False))


def _source(config: CampaignConfig) -> Any:
    seed, maximise = derive_seed(config.seed, "source"), config.objective.goal == "maximise"
    return source_of(config.data.component(), space_of(config), seed=seed, maximise=maximise)


def checked_source(config: CampaignConfig, base: Path, cache: Path | None = None) -> JsonDict:
    """Read the source and draw the initial design as the campaign will; return what is to be said of the rows.

    What was read is kept for the campaign of this process, which need not read it again; `cache` as `read_library`.

    Raises:
        BadInput, SourceError, CampaignStopped: as `prepare_data`.
    """
    library = read_library(config, base, source_sha256(config, base), cache)
    initial_design(config, library)
    return reading_report(library, config)


_kept: dict[str, Library] = {}


def read_library(config: CampaignConfig, base: Path, sha256: str, cache: Path | None = None) -> Library:
    """Read a campaign's source, or return what this process has read of it last; `forget` ends that.

    Args:
        config: of the campaign.
        base: folder of the campaign file.
        sha256: content of the source.
        cache: folder in which sources in standard form are kept by content; None: the source is read in any case.

    Raises:
        SourceError: as `data.tables.datasets.read_rows`.
    """
    settings = config.model_dump(mode="json", include={"data", "space"})
    space = space_of(config)
    key = digest([settings, config.objective.goal, str(base), sha256, space.key()])
    if key not in _kept:
        _kept.clear()
        _kept[key] = _read(config, base, sha256, cache)
    return _kept[key]


def _read(config: CampaignConfig, base: Path, sha256: str, cache: Path | None) -> Library:
    source, space = _source(config), space_of(config)
    if cache is None or is_ordered(config):  # what is drawn is in standard form
        return read_rows(source, base=base, space=space)
    drawn = derive_seed(config.seed, "source"), config.objective.goal == "maximise"
    key = reading_key(source, space, sha256, base, drawn)
    library = None if key is None else kept_library(cache, key)
    if library is None:
        library = read_rows(source, base=base, space=space)
        if key is not None:
            keep_library(cache, key, library)
    return library


def forget() -> None:
    """Let go of what was read last: a stage has written it."""
    _kept.clear()


def counts_of(library: Library) -> dict[str, float]:
    """Return how many rows were read, kept, have a value, were merged, refused, and left out."""
    return {
        "rows": library.rows,
        "library": len(library.frame),
        "labelled": int(library.frame["value"].notna().sum()),
        "merged": library.merged,
        "refused": len(library.refused) + library.passed_over.total(),
        **({"left_out": library.left_out.total()} if library.left_out else {}),
    }


def reading_report(library: Library, config: CampaignConfig) -> JsonDict:
    """Return what is to be said of the rows that were read, or of the objects that were drawn."""
    space, drawn = space_of(config), is_ordered(config)
    counts = counts_of(library)
    span = wide_span(library.frame["value"].dropna().tolist())
    return {
        "rows": library.rows,
        "kept": counts["library"],
        "labelled": counts["labelled"],
        "merged": library.merged,
        "refused": counts["refused"],
        "listed": len(library.refused),
        "line": reading_line(counts, library.reasons, space.nouns[1], library.left_out, drawn),
        "warnings": [*library.warnings, *([] if span is None else [span])],
        "notes": library.notes,
        "reasons": library.reasons,
    }


def initial_design(config: CampaignConfig, library: Library) -> pd.DataFrame:
    """Return all labelled objects, and `data.initial` unlabelled ones drawn at random from those that pass.

    A source that says it is ordered gives its first ones.

    Args:
        config: of the campaign.
        library: what the source gave.

    Raises:
        BadInput: there are too few objects for the initial design, or too few values for a proxy; the message counts
            the rows that were refused and names the first.
        CampaignStopped: the screens refuse every object of the source.
    """
    frame = library.frame
    labelled = frame[frame["value"].notna()]
    pool = frame[frame["value"].isna()]
    wanted, nouns = config.data.initial, space_of(config).nouns[1]
    order = np.random.default_rng(derive_seed(config.seed, "initial design")).permutation(len(pool))
    if is_ordered(config):
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
    problem = _too_few(config, nouns, chosen=len(chosen), labelled=len(labelled), pool=len(pool))
    if problem is not None:
        raise BadInput(" ".join([problem, *library.refusals_told()]))
    return pd.concat([labelled, pool.iloc[chosen]], ignore_index=True)


def _too_few(config: CampaignConfig, nouns: str, *, chosen: int, labelled: int, pool: int) -> str | None:
    """Return why a campaign cannot begin with what was chosen, and what helps; None: it can.

    Args:
        config: of the campaign.
        nouns: what objects are called.
        chosen: unlabelled objects of the initial design.
        labelled: objects with a value.
        pool: all unlabelled objects of the source.
    """
    wanted, begun = config.data.initial, chosen + labelled
    least = MINIMUM_LABELS if config.rounds else 1
    if chosen < wanted:
        problem = (
            f"data.initial asks for {wanted} {nouns}, but only {chosen} unlabelled ones of the source are inside the "
            "space and pass the screens."
        )
        if begun >= least:
            return f"{problem} Set data.initial to {chosen}{' or less' if chosen else ''}, or give more {nouns}."
        return f"{problem} Give more {nouns}: a campaign begins with at least {least} measured ones."
    if begun >= least:
        return None
    problem = (
        f"There is nothing to measure: none of the {pool} {nouns} of the source has a value, and data.initial is 0."
        if not begun
        else f"The campaign would begin with {begun} measured {nouns}; a proxy needs at least {least}."
    )
    helps = [f"Set data.initial to {least - labelled} at least"] if pool >= least - labelled else []
    helps += [] if labelled else ["name the column that holds the values as data.value"]
    told = ", or ".join([*helps, f"give more {nouns} with values"])
    return f"{problem} {told[0].upper()}{told[1:]}."
