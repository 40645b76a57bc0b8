"""`discover predict`: a table of objects, with what a campaign's champion predicts of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.config import ConfigError
from data.objects import NotStandardError
from data.tables.spreadsheets import write_csv
from data.wording import counted
from models.parts import space_of
from models.spaces.base import BaseSpace
from models.tails import quantile
from pipelines.terminal import Terminal
from tasks.champions import versions
from tasks.reporting.objectives import goals_with_units
from tasks.retrain import stored_data
from tasks.stages import BadInput, CampaignContext
from tasks.storage import load_proxy
from tasks.tracking import Tracker, required
from tasks.train_proxy import stored_proxy
from tasks.workspace import Workspace, writing

CHUNK = 5000
ADDED = ("mean", "std", "low_90", "high_90", "unit", "similarity", "measured", "version", "note")
"""Columns behind those of the table."""


def predict_file(
    workspace: Workspace,
    name: str,
    file: Path,
    column: str | None,
    version: str | None,
    out: Path | None,
    console: Terminal,
) -> int:
    """Predict the rows of a table; returns the exit code.

    Raises:
        LedgerError: no such campaign.
        ConfigError: the table cannot be read, or has not the column; or `out` exists already.
        BadInput: there is no champion, no such version, or it is not in this workspace.
        TrackingError: MLflow cannot be used.
    """
    if out is not None and out.exists():
        raise ConfigError(f"--out is {out}, which exists. Name another file.")
    ledger = workspace.ledger()
    with CampaignContext(workspace, ledger, ledger.campaign(name)) as context:
        number, folder = _chosen(workspace, context, version)
        space = space_of(context.config)
        table, texts = _table(file, column, space)
        frame = _predicted(context, folder, texts, space, number)
    taken = [one for one in ADDED if one in table]
    found = pd.concat([table, frame.rename(columns={one: f"predicted_{one}" for one in taken})], axis=1)
    if out is None:
        console.raw(found.to_csv(index=False))
    else:
        with writing(out):
            write_csv(found, out)
    lost = int((frame["mean"] == "").sum())
    if out is not None:
        console.say(f"{counted(len(found) - lost, 'row')} predicted by version {number}, written to {out}.")
        if lost:
            console.say(("warning", "bold red"), f"  {counted(lost, 'row')} not predicted; `note` says why.")
    return 0


def _chosen(workspace: Workspace, context: CampaignContext, version: str | None) -> tuple[str, Path]:
    """Return the number and the folder of the champion, or of the version that is named."""
    campaign = context.campaign.name
    with required(workspace):
        every = versions(Tracker(workspace, context.campaign))
    if version is None:
        chosen = next((one for one in every if one.champion), None)
        if chosen is None:
            numbers = ", ".join(one.number for one in every)
            raise BadInput(
                f"Campaign {campaign!r} has no champion. `discover retrain {campaign}` makes one"
                + (f", or name a version with --version: {numbers}." if numbers else "; it has no proxy yet.")
            )
    else:
        chosen = next((one for one in every if one.number == version), None)
        if chosen is None:
            numbers = ", ".join(one.number for one in every) or "none"
            raise BadInput(f"There is no version {version!r} of campaign {campaign!r}; there are: {numbers}.")
    folder = stored_proxy(workspace, chosen.key)
    if folder is None:
        raise BadInput(
            f"Version {chosen.number} is not in this workspace any more: its folder proxies/{chosen.key} is gone or "
            f"damaged. Restore it, or make another with `discover retrain {campaign}`."
        )
    return chosen.number, folder


def _table(file: Path, column: str | None, space: BaseSpace[Any]) -> tuple[pd.DataFrame, list[str]]:
    """Return a table as it is, all texts, and its objects."""
    try:
        table = pd.read_csv(file, dtype="str", keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
    except FileNotFoundError as error:
        raise ConfigError(f"There is no file {str(file)!r} to predict; expected a CSV file.") from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{file} cannot be read as CSV in UTF-8 ({error}). Save it as one, with commas between the columns."
        ) from error
    names = {str(one).strip().lower(): str(one) for one in table.columns}
    wanted = column if column is not None else names.get(space.column.lower())
    if wanted is None and len(table.columns) == 1:
        wanted = str(table.columns[0])
    if wanted is None or wanted not in table:
        raise ConfigError(
            f"{file} has no column {(column or space.column)!r} of objects; it has "
            f"{', '.join(map(str, table.columns))}. Name it with --column."
        )
    return table, table[wanted].tolist()


def _predicted(
    context: CampaignContext, folder: Path, texts: list[str], space: BaseSpace[Any], version: str
) -> pd.DataFrame:
    """Return the columns that are added, a row for each text, in their order."""
    objects, notes = [], []
    for text in texts:
        obj, note = _read(text, space)
        objects.append(obj)
        notes.append(note)
    known = stored_data(folder, space)
    proxy, unit = load_proxy(folder), goals_with_units(context.config).main.unit or ""
    nearness, features = space.nearness, None
    distinct = list(dict.fromkeys(obj for obj in objects if obj is not None))
    told: dict[str, tuple[str, ...]] = {}
    measured = set(known.objects)
    for at in range(0, len(distinct), CHUNK):
        part = distinct[at : at + CHUNK]
        prediction = proxy.predict(part)
        features = nearness.features(list(known.objects)) if features is None else features
        near = nearness.nearest(part, features)
        half = quantile(np.array([0.95]), prediction.freedom)[..., 0] * prediction.std
        for i, obj in enumerate(part):
            mean, std = float(prediction.mean[i]), float(prediction.std[i])
            ends = mean - float(half[i]), mean + float(half[i])
            numbers = (*map(_number, (mean, std, *ends)), unit, f"{near[i]:.3f}")
            told[obj] = (*numbers, "yes" if obj in measured else "no", version)
    empty = ("",) * (len(ADDED) - 1)
    rows = [(*(empty if obj is None else told[obj]), note) for obj, note in zip(objects, notes, strict=True)]
    return pd.DataFrame(rows, columns=list(ADDED))


def _read(text: str, space: BaseSpace[Any]) -> tuple[str | None, str]:
    """Return an object in standard form with a remark, or None with the reason."""
    if not text.strip():
        return None, "empty"
    try:
        obj = space.standard(text.strip())
    except NotStandardError as error:
        return None, str(error)
    outside = space.outside(obj)
    return obj, f"outside the space: {outside}" if outside else ""


def _number(value: float) -> str:
    return f"{value:.6g}"
