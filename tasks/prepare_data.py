"""Stage `prepare_data`: read and standardise the source, book the initial design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.records import Arm, JsonDict
from data.tables.datasets import REFUSED_VALUE, Library
from data.tables.merging import FIRST, MergedRow
from data.tables.remarks import MERGED, REFUSED, REPORT
from data.tables.spreadsheets import original_text, write_csv
from models.parts import space_of
from tasks.initial_design import (
    counts_of,
    files_of,
    forget,
    initial_design,
    is_ordered,
    read_library,
    reading_report,
    source_hashes,
)
from tasks.oracles.booking import book_of
from tasks.stages import CampaignContext, CampaignRef, StageRef, run_stage
from tasks.start_and_library import StartAndLibrary
from tasks.storage import read_table, write_json

_UNUSED, _FORM = "no: ", "yes: "
"""How `used` begins of a row whose value was not used, and of one of another form whose value was."""


@task(name="prepare data", cache_policy=NO_CACHE, persist_result=False)
def prepare_data(ref: CampaignRef) -> StageRef:
    """Read the campaign's source, report what was refused row by row, and book the initial design.

    Results: `library.parquet` (id, object, value, family), `refused.csv` (line, text, reason), `merged.csv` (rows of
    objects with several values, if there are any), `initial.parquet`, `report.json`. Of a start design and a library
    apart the column `source` of the tables of rows and of `initial.parquet` says what is of which, and the report has
    both sources with their contents.

    Raises:
        BadInput: the source cannot be read, no row is usable, or the budget is smaller than the initial design.
        CampaignStopped: the screens refuse every object of the source.
    """
    with ref.open() as context:
        config = context.config
        hashes = source_hashes(config, context.campaign.base)
        content = space_of(config).content()  # only where there is one: campaigns without go on under their old keys
        stage = run_stage(
            context,
            0,
            "prepare_data",
            inputs=hashes | ({"space": content} if content else {}),
            settings=context.settings("space", "data", "screens"),
            compute=lambda folder: _prepare(context, folder, hashes),
            files=files_of(config, context.campaign.base),
        )
        initial = read_table(stage.path(context, "initial.parquet"))
        _book(context, initial, means_told(stage.path(context, "")))
        return stage


def _prepare(context: CampaignContext, folder: Path, hashes: Mapping[str, str]) -> dict[str, float]:
    library = read_library(context.config, context.campaign.base, hashes, context.workspace.cache)
    forget()
    library.frame.to_parquet(folder / "library.parquet", index=False)
    write_csv(_refused(library), folder / REFUSED)
    merged = _merged(library)
    if len(merged):
        write_csv(merged, folder / MERGED)
    initial = initial_design(context.config, library)
    initial.to_parquet(folder / "initial.parquet", index=False)
    write_json(folder / REPORT, reading_report(library, context.config, hashes))
    return {**counts_of(library), "initial": len(initial)}


def _refused(library: Library | StartAndLibrary) -> pd.DataFrame:
    """Return the rows that were not taken; a column `source` says of which source, where there are two."""
    if isinstance(library, StartAndLibrary):
        return pd.concat(
            [_refused(part).assign(source=name) for name, part in library.parts.items()], ignore_index=True
        )
    rows = [(refusal.line, refusal.text, refusal.reason) for refusal in library.refused]
    return pd.DataFrame(rows, columns=["line", "text", "reason"]).astype({"line": "Int64"})


def _merged(library: Library | StartAndLibrary) -> pd.DataFrame:
    """Return the rows of objects that have several values or that of another form, each with what became of its value.

    Columns: object, kept (its value), of (so many values), line, written (its object), value, used; `source` as
    `_refused`.
    """
    if isinstance(library, StartAndLibrary):
        parts = [_merged(part).assign(source=name) for name, part in library.parts.items()]
        return pd.concat(parts, ignore_index=True)
    rows = [(row.text, row.kept, row.of, row.line, row.written, row.value, _used(row)) for row in library.listed]
    return pd.DataFrame(rows, columns=["object", "kept", "of", "line", "written", "value", "used"])


def _used(row: MergedRow) -> str:
    if row.unused:
        return f"{_UNUSED}{row.unused}"
    return f"{_FORM}{row.form}" if row.form else "yes"


def means_told(folder: Path) -> JsonDict:
    """Return object -> what its value was made of, where the data had several or that of another form.

    Args:
        folder: of a finished stage `prepare_data`.
    """
    file = folder / MERGED
    if not file.is_file():
        return {}
    rows: dict[str, list[JsonDict]] = {}
    for row in pd.read_csv(file, dtype=str, keep_default_na=False).to_dict("records"):
        rows.setdefault(original_text(str(row["object"])), []).append({str(name): cell for name, cell in row.items()})
    told = {obj: _value_told(those) for obj, those in rows.items()}
    return {obj: sentence for obj, sentence in told.items() if sentence}


def _value_told(rows: Sequence[JsonDict]) -> str:
    """Return what the value of an object was made of; empty: of one of its own."""
    used = [row for row in rows if not row["used"].startswith(_UNUSED)]
    forms = [row for row in used if row["used"].startswith(_FORM)]
    told = []
    if len(used) > 1:
        lines = ", ".join(row["line"] for row in used)
        told.append(f"made of {len(used)} values that came with the data, lines {lines}")
    told += [f"value of {original_text(row['written'])} as written in line {row['line']}" for row in forms[:FIRST]]
    told += [f"and of {len(forms) - FIRST} more rows of other forms"] if len(forms) > FIRST else []
    for row in rows:
        _, is_refused, reason = row["used"].partition(f"{_UNUSED}{REFUSED_VALUE}")
        told += [f"its own row, line {row['line']}, was refused: {reason}"] if is_refused else []
    return "; ".join(told)


def _book(context: CampaignContext, initial: pd.DataFrame, means: JsonDict) -> None:
    """Put the initial design into the ledger: labels as imported values, the others as candidates to be bought."""
    config, space = context.config, space_of(context.config)
    labelled = initial[initial["value"].notna()]
    reading = config.readings[0]
    rows = list(labelled[["id", "object", "value"]].itertuples(index=False, name=None))
    book_of(context, reading.part).import_values(0, rows, output=reading.output, notes=means)
    design = [
        {
            "object_id": row.id,
            "object": row.object,
            "arm": str(Arm.INITIAL),
            # A design that is drawn must not be taken for what the generator of the same name proposes.
            "source": getattr(row, "source", "design" if is_ordered(config) else config.data.kind),
            "compound": space.compound(str(row.object)),
        }
        for row in initial.itertuples()
    ]
    context.ledger.add_candidates(context.campaign.id, 0, design)
