"""What a campaign begins with: the rows of its sources, and the initial design that is drawn or named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.config import CampaignConfig, derive_seed, digest
from data.ledger.campaigns import CampaignState
from data.ledger.summary import refused_told
from data.records import JsonDict
from data.tables.datasets import Library, read_rows
from data.tables.decades import wide_span
from data.tables.remarks import reading_line, reasons_told
from data.wording import counted
from models.acquisition.log_reward import first_refusal, refusals
from models.parts import screens_of, space_of
from models.proxies.checks import MINIMUM_LABELS
from models.registry import find
from models.sources.base import source_of
from tasks.library_cache import keep_library, kept_library, reading_key
from tasks.stages import BadInput, CampaignStopped, file_sha256
from tasks.start_and_library import START, StartAndLibrary, source_told


def source_hashes(config: CampaignConfig, base: Path) -> dict[str, str]:
    """Return what changes when the rows of a source do: its fingerprint, its file's sha256, or that of its rows.

    By the name of the source: `source`, or `start` and `library` where they are named apart.
    """
    return {name: _content(source, base) for name, source in sources_of(config).items()}


def _content(source: Any, base: Path) -> str:
    if hasattr(source, "fingerprint"):
        return str(source.fingerprint(base))
    if hasattr(source, "file"):
        return file_sha256(source.file(base))
    return digest([[str(cell) for cell in astuple(row)] for row in source.rows(base)])


def files_of(config: CampaignConfig, base: Path) -> list[Path]:
    """Return the user's files that the sources and the space read."""
    read = [source.file(base) for source in sources_of(config).values() if hasattr(source, "file")]
    read += [value for _, value in space_of(config).options if isinstance(value, Path)]
    return list(dict.fromkeys(path.expanduser() for path in read))


def is_ordered(config: CampaignConfig) -> bool:
    """Return whether the source is a design: its first objects are the initial ones."""
    return _is_drawn(config.data.pool)


def _is_drawn(spec: Mapping[str, Any]) -> bool:
    return bool(getattr(find("source", spec["kind"]), "ordered", False))


def sources_of(config: CampaignConfig) -> dict[str, Any]:
    """Return the campaign's source as `source`, or those of `start` and `library` where they are named apart."""
    space, maximise = space_of(config), config.objective.goal == "maximise"
    parts = config.data.parts
    named = parts or {SOURCE: config.data.component()}
    return {name: source_of(spec, space, seed=_seed(config, name), maximise=maximise) for name, spec in named.items()}


_SURELY = 10
"""So many times the default design, a file has rows enough for it."""

SOURCE = "source"
"""Name of the source where there is one only."""


def _seed(config: CampaignConfig, name: str) -> int:
    return derive_seed(config.seed, SOURCE, *([] if name == SOURCE else [name]))


def checked_source(config: CampaignConfig, base: Path, cache: Path | None = None) -> JsonDict:
    """Read the sources and draw the initial design as the campaign will; return what is to be said of the rows.

    What was read is kept for the campaign of this process, which need not read it again; `cache` as `read_library`.

    Raises:
        BadInput, SourceError, CampaignStopped: as `prepare_data`.
    """
    hashes = source_hashes(config, base)
    library = read_library(config, base, hashes, cache)
    initial_design(config, library)
    return reading_report(library, config, hashes)


def checked_part(config: CampaignConfig, name: str, base: Path, cache: Path | None = None) -> JsonDict:
    """Read one of the sources as the campaign will, where not all are read; return what is to be said of its rows.

    Raises:
        SourceError: as `data.tables.datasets.read_rows`.
    """
    source, spec = sources_of(config)[name], config.data.parts[name]
    library = _read(config, name, source, base, source_hashes(config, base)[name], cache)
    report = _report_of_one(library, space_of(config).nouns, _is_drawn(spec))
    return {**report, "line": f"{name} ({source_told(spec)}): {report['line']}"}


_kept: dict[str, Library | StartAndLibrary] = {}


def read_library(
    config: CampaignConfig, base: Path, hashes: Mapping[str, str], cache: Path | None = None
) -> Library | StartAndLibrary:
    """Read a campaign's sources, or return what this process has read of them last; `forget` ends that.

    Args:
        config: of the campaign.
        base: folder of the campaign file.
        hashes: contents of the sources, as `source_hashes`.
        cache: folder in which sources in standard form are kept by content; None: the sources are read in any case.

    Raises:
        SourceError: as `data.tables.datasets.read_rows`, or the library beside a start design has values.
    """
    settings = config.model_dump(mode="json", include={"data": True, "space": True}, exclude={"data": {"initial"}})
    key = digest([settings, config.objective.goal, str(base), dict(hashes), space_of(config).key()])
    if key not in _kept:
        _kept.clear()
        read = {
            name: _read(config, name, source, base, hashes[name], cache) for name, source in sources_of(config).items()
        }
        _kept[key] = read[SOURCE] if SOURCE in read else StartAndLibrary.of(read, space_of(config).nouns)
    return _kept[key]


def _read(config: CampaignConfig, name: str, source: Any, base: Path, sha256: str, cache: Path | None) -> Library:
    space = space_of(config)
    if cache is None or getattr(source, "ordered", False):  # what is drawn is in standard form
        return read_rows(source, base=base, space=space)
    key = reading_key(source, space, sha256, base, (_seed(config, name), config.objective.goal == "maximise"))
    library = None if key is None else kept_library(cache, key)
    if library is None:
        library = read_rows(source, base=base, space=space)
        if key is not None:
            keep_library(cache, key, library)
    return library


def forget() -> None:
    """Let go of what was read last: a stage has written it."""
    _kept.clear()


def counts_of(library: Library | StartAndLibrary) -> dict[str, float]:
    """Return how many rows were read, kept, have a value, were merged, refused, and left out.

    Of a start design and a library apart also how many objects are in both.
    """
    if isinstance(library, StartAndLibrary):
        every = [counts_of(part) for part in library.parts.values()]
        told = {key: sum(counts.get(key, 0) for counts in every) for key in dict.fromkeys(k for c in every for k in c)}
        return {**told, "library": len(library.frame), "merged": told["merged"] + library.shared, **library.counts()}
    return {
        "rows": library.rows,
        "library": len(library.frame),
        "labelled": int(library.frame["value"].notna().sum()),
        "merged": library.merged,
        "refused": len(library.refused) + library.passed_over.total(),
        **({"left_out": library.left_out.total()} if library.left_out else {}),
    }


def reading_report(
    library: Library | StartAndLibrary, config: CampaignConfig, hashes: Mapping[str, str] | None = None
) -> JsonDict:
    """Return what is to be said of the rows that were read, or of the objects that were drawn.

    Of a start design and a library apart also where each came from, with the content of its source (`hashes`).
    """
    if isinstance(library, StartAndLibrary):
        return _report_of_parts(library, config, hashes or {})
    report = _report_of_one(library, space_of(config).nouns, is_ordered(config))
    design = _design_told(library, config)
    return {**report, "design": design} if design else report


def _design_told(library: Library, config: CampaignConfig) -> str:
    """Return what becomes of the objects without a value in a file of the user's; empty: there are none, or no file."""
    options, noun_and_nouns = config.data.component(), space_of(config).nouns
    unmeasured = int(library.frame["value"].isna().sum())
    if is_ordered(config) or "path" not in options or not unmeasured:
        return ""
    first = min(config.data.initial, unmeasured)
    left = unmeasured - first
    told = (
        f"Of {counted(unmeasured, *noun_and_nouns)} without a value, the initial design (round 0) measures {first} "
        f"(`data.initial`)"
    )
    if not left:
        return f"{told}."
    others = "the other one" if left == 1 else f"the other {left}"
    if _reads(config.generator.model_dump(mode="json"), str(options["path"])):
        return f"{told}; the generator reads the same file and may propose {others}."
    return (
        f"{told}; {others} {'is' if left == 1 else 'are'} left out unless the generator happens to propose "
        f"{'it' if left == 1 else 'them'}. To have all considered in each round, give "
        f"`generator: {{kind: pool, path: {options['path']}}}` with the column's name as in `data`; to measure all at "
        f"once, `data.initial: {unmeasured}`."
    )


def _reads(spec: Any, path: str) -> bool:
    """Return whether a component, or one of those that it has inside, names a file."""
    if isinstance(spec, Mapping):
        return any(_reads(value, path) for value in spec.values())
    return any(_reads(value, path) for value in spec) if isinstance(spec, list | tuple) else spec == path


def with_initial_that_is_there(
    config: CampaignConfig, base: Path, largest: int, cache: Path | None = None
) -> CampaignConfig:
    """Return a campaign whose initial design, where the file does not say its size, is no larger than its data.

    The default is for libraries. A file of the user's may have fewer objects without a value, or none: then as many are
    measured first as there are.

    Args:
        config: of the campaign.
        base: folder of the campaign file.
        largest: bytes of a file that is read for it.
        cache: as `read_library`.

    Raises:
        SourceError: as `data.tables.datasets.read_rows`.
    """
    if "initial" in config.data.model_fields_set or config.data.parts or is_ordered(config):
        return config
    source = sources_of(config)[SOURCE]
    if not hasattr(source, "file") or source.file(base).stat().st_size > largest:
        return config
    without = (row for row in source.rows(base) if not row.value)
    if sum(1 for _ in islice(without, _SURELY * config.data.initial)) == _SURELY * config.data.initial:
        return config  # to tell by their cells takes a hundredth of the time of reading molecules
    frame = read_library(config, base, source_hashes(config, base), cache).frame
    pool = frame[frame["value"].isna()]
    there = len(_drawn_first(config, pool)[0])
    if len(pool) and not there:  # the screens refuse all, which is told when the design is drawn
        return config
    if there >= config.data.initial:
        return config
    data = config.data.model_copy(update={"initial": there})
    return config.model_copy(update={"data": data})


def _report_of_one(library: Library, nouns: tuple[str, str], drawn: bool) -> JsonDict:
    counts = counts_of(library)
    span = wide_span(library.frame["value"].dropna().tolist())
    return {
        "rows": library.rows,
        "kept": counts["library"],
        "labelled": counts["labelled"],
        "merged": library.merged,
        "refused": counts["refused"],
        "listed": len(library.refused),
        "disagreeing": len({row.text for row in library.listed if row.value != row.kept or row.form}),
        "line": reading_line(counts, library.reasons, nouns, library.left_out, drawn),
        "warnings": [*library.warnings, *([] if span is None else [span])],
        "notes": library.notes,
        "reasons": library.reasons,
    }


def _report_of_parts(library: StartAndLibrary, config: CampaignConfig, hashes: Mapping[str, str]) -> JsonDict:
    noun, nouns = space_of(config).nouns
    specs = config.data.parts
    names = (noun, nouns)
    reports = {name: _report_of_one(part, names, _is_drawn(specs[name])) for name, part in library.parts.items()}
    counts = counts_of(library)
    _, reasons = _start_design(config, library)
    lines = [f"{name} ({source_told(specs[name])}): {report['line']}" for name, report in reports.items()]
    lines += [library.overlap_told(noun, nouns)] if len(library.parts) == 2 else []
    warnings = [f"{name}: {warning}" for name, report in reports.items() for warning in report["warnings"]]
    if reasons:
        one = reasons.total() == 1
        warnings.append(
            f"{reasons.total()} {noun if one else nouns} of the start design {'is' if one else 'are'} not measured, as "
            f"the screens refuse {'it' if one else 'them'}: {reasons_told(reasons)}."
        )
    return {
        "rows": counts["rows"],
        "kept": counts["library"],
        "labelled": counts["labelled"],
        "merged": counts["merged"],
        "refused": counts["refused"],
        "listed": sum(report["listed"] for report in reports.values()),
        "disagreeing": sum(report["disagreeing"] for report in reports.values()),
        "shared": library.shared,
        "line": " ".join(lines),
        "warnings": warnings,
        "notes": [f"{name}: {note}" for name, report in reports.items() for note in report["notes"]],
        "reasons": dict(sum((Counter(report["reasons"]) for report in reports.values()), Counter()).most_common()),
        "sources": {
            name: {"source": specs[name], "content": hashes.get(name, ""), "line": reports[name]["line"]}
            for name in library.parts
        },
    }


def initial_design(config: CampaignConfig, library: Library | StartAndLibrary) -> pd.DataFrame:
    """Return all labelled objects, and `data.initial` unlabelled ones drawn at random from those that pass.

    A source that says it is ordered gives its first ones. Of a start design that is named apart, all that pass are
    taken beside those that are drawn of the library; a column `source` then tells them apart.

    Args:
        config: of the campaign.
        library: what the sources gave.

    Raises:
        BadInput: there are too few objects for the initial design, or too few values for a proxy, or a start design has
            more to measure than the budget allows; the message counts the rows that were refused and names the first.
        CampaignStopped: the screens refuse every object of the source.
    """
    frame = library.frame
    started = pd.DataFrame(columns=frame.columns)
    pool = frame[frame["value"].isna()]
    if isinstance(library, StartAndLibrary):
        started, _ = _start_design(config, library)
        pool = library.beside_the_start()
    labelled = frame[frame["value"].notna()]
    _refuse_values_of_one(config, len(labelled))
    wanted, nouns = config.data.initial, space_of(config).nouns[1]
    chosen, refused = _drawn_first(config, pool)
    if wanted and not chosen and len(pool):
        raise CampaignStopped(
            CampaignState.NO_CANDIDATES,
            f"The screens refuse all {len(pool)} {nouns} of the source, so there is nothing to begin with. "
            "Loosen `screens`, or give another source.",
        )
    known = len(labelled) + len(started)
    problem = _too_few(config, nouns, chosen=len(chosen), labelled=known, pool=len(pool), refused=refused)
    problem = problem or _too_many(config, nouns, len(started) + len(chosen))
    if problem is not None:
        raise BadInput(" ".join([problem, *library.refusals_told()]))
    if isinstance(library, StartAndLibrary):
        drawn = "design" if is_ordered(config) else config.data.pool["kind"]
        blocks = [labelled.assign(source=START), started.assign(source=START), pool.iloc[chosen].assign(source=drawn)]
        return pd.concat([block for block in blocks if len(block)], ignore_index=True)
    return pd.concat([labelled, pool.iloc[chosen]], ignore_index=True)


def _drawn_first(config: CampaignConfig, pool: pd.DataFrame) -> tuple[list[int], Counter[str]]:
    """Return the rows of `data.initial` objects without a value that pass the screens, as far as there are so many.

    Of those that were looked at until then the screens' refusals are counted.
    """
    wanted = config.data.initial
    order = np.random.default_rng(derive_seed(config.seed, "initial design")).permutation(len(pool))
    if is_ordered(config):
        order = np.arange(len(pool))
    screens = screens_of(config)
    chosen: list[int] = []
    refused: Counter[str] = Counter()
    for start in range(0, len(order), 256):
        if len(chosen) >= wanted:
            break
        block = order[start : start + 256]
        verdicts = refusals(screens, pool["object"].iloc[block].tolist())
        chosen += [int(i) for i, verdict in zip(block, verdicts, strict=True) if verdict is None]
        refused.update(verdict[0] for verdict in verdicts if verdict is not None)
    return chosen[:wanted], refused


def _refuse_values_of_one(config: CampaignConfig, labelled: int) -> None:
    """Refuse values that came with the data where the campaign reads several: whose they are is not said, and what
    else is to be measured of each would be bought unasked.

    Raises:
        BadInput: there are some.
    """
    if labelled and len(config.objectives) > 1:
        names = " and ".join(one.name for one in config.objectives)
        raise BadInput(
            f"The source has values of {labelled} {space_of(config).nouns[1]}, and the campaign has the objectives "
            f"{names}: values that come with the data are taken for campaigns of one objective only. Leave the option "
            "`value` of the source out; of a laboratory, `discover tell NAME FILE --unasked` takes them, with a column "
            "for each."
        )


def _start_design(config: CampaignConfig, library: StartAndLibrary) -> tuple[pd.DataFrame, Counter[str]]:
    """Return the objects of the start design to be measured, and why others are not: the screens' reasons, counted."""
    unknown = library.start[library.start["value"].isna()]
    reasons = first_refusal(screens_of(config), unknown["object"].tolist())
    refused = Counter(reason for reason in reasons if reason is not None)
    return unknown[[reason is None for reason in reasons]], refused


def initial_told(config: CampaignConfig) -> str:
    """Return that the size of the initial design is the default, a remark in brackets, where it may be."""
    default = type(config.data).model_fields["initial"].default
    return "(the default, where the file does not give it) " if config.data.initial == default else ""


def _too_many(config: CampaignConfig, nouns: str, measured: int) -> str | None:
    """Return why a start design that is named apart is beyond the budget, None: it is not."""
    calls = config.budget.calls
    if not config.data.parts or calls is None or measured <= calls:
        return None
    return (
        f"The start design and data.initial have {measured} {nouns} to be measured, and budget.calls is {calls}. Raise "
        "it, or give fewer rows without a value."
    )


def _too_few(
    config: CampaignConfig, nouns: str, *, chosen: int, labelled: int, pool: int, refused: Mapping[str, int]
) -> str | None:
    """Return why a campaign cannot begin with what was chosen, and what helps; None: it can.

    Args:
        config: of the campaign.
        nouns: what objects are called.
        chosen: unlabelled objects of the initial design.
        labelled: objects with a value.
        pool: all unlabelled objects of the source.
        refused: what screens are counted as -> such objects that they refused.
    """
    wanted, begun = config.data.initial, chosen + labelled
    least = MINIMUM_LABELS if config.rounds else 1
    if chosen < wanted:
        problem = (
            f"data.initial {initial_told(config)}asks for {wanted} {nouns}, but only {chosen} unlabelled ones of the "
            f"source are inside the space and pass the screens"
            f"{f' (refused{refused_told(refused)})' if refused else ''}."
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
    column = "data.start.value" if config.data.parts else "data.value"
    helps += [] if labelled else [f"name the column that holds the values as {column}"]
    told = ", or ".join([*helps, f"give more {nouns} with values"])
    return f"{problem} {told[0].upper()}{told[1:]}."
