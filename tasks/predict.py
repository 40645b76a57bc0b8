"""Batch inference: what a registered proxy predicts of the objects of a file, row by row, nothing left out."""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from data.config import ConfigError
from data.objects import NotStandardError
from data.records import FloatArray
from data.tables.found_columns import found_columns
from data.tables.library_file import TABLES, LibraryFile, ending, require_file
from data.tables.rows import Row, SourceError
from data.tables.spreadsheets import safe_text
from data.tables.whole_rows import WholeRows, whole_rows
from models.library_options import columns_of
from models.parts import space_of
from models.protocols import Proxy
from models.spaces.base import BaseSpace
from models.tails import quantile
from tasks.champions import Version, versions
from tasks.reporting.objectives import goals_with_units
from tasks.retrain import stored_data
from tasks.stages import BadInput, CampaignContext
from tasks.storage import load_proxy
from tasks.tracking import Tracker, TrackingError, required

CHUNK = 2000
"""Rows that are predicted at once."""

ADDED = ("mean", "std", "low_90", "high_90", "unit", "similarity", "measured", "version", "note")
"""Columns behind those of the file."""

_NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")

Cells = list[str]


@dataclass
class Counts:
    """What became of the rows of a file: how many, how many of them outside the space, why others were refused."""

    predicted: int = 0
    outside: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """All of them."""
        return self.predicted + self.refused.total()


@dataclass(frozen=True)
class Predictor:
    """A registered proxy, loaded.

    Attributes:
        version: of it.
        proxy: predicts in the objective's own unit.
        nearest: similarity of objects to the nearest that it learnt from.
        measured: what it learnt from.
        unit: of what is predicted.
        space: of the objects.
    """

    version: str
    proxy: Proxy
    nearest: Callable[[Sequence[str]], FloatArray]
    measured: frozenset[str]
    unit: str
    space: BaseSpace[Any]


@dataclass(frozen=True)
class AskedFile:
    """A file whose objects are to be predicted.

    Attributes:
        rows: of it, with all their cells.
        apart: heading of the object, where that stands in no column; None: it does.
        notes: sentences on how it is read.
    """

    rows: WholeRows
    apart: str | None
    notes: tuple[str, ...]


def predictor_of(context: CampaignContext, version: str | None) -> Predictor:
    """Load the champion of a campaign, or a version: from the registry's own files, states and JSON, no pickle.

    The workspace's store of proxies is no place for that: a round's version has a calibration of its own beside it.

    Raises:
        BadInput: there is no champion, or no such version.
        TrackingError: MLflow cannot be used, or the version's files are gone or damaged.
    """
    with tempfile.TemporaryDirectory() as scratch:
        with required(context.workspace, "Nothing was predicted."):
            tracker = Tracker(context.workspace, context.campaign)
            number = _chosen(tracker, version).number
            folder = tracker.proxy_folder(number, Path(scratch))
        space = space_of(context.config)
        try:
            known, proxy = stored_data(folder, space), load_proxy(folder)
        except Exception as error:  # whatever a damaged file makes its reader raise
            raise TrackingError(
                f"The files of version {number} of {tracker.model_name} are damaged ({type(error).__name__}: {error}). "
                "Restore them, name another version, or make one with `discover retrain`."
            ) from error
    nearest = space.nearness.to_nearest(space.nearness.features(list(dict.fromkeys(known.objects))))
    unit = goals_with_units(context.config).main.unit or ""
    return Predictor(number, proxy, nearest, frozenset(known.objects), unit, space)


def _chosen(tracker: Tracker, version: str | None) -> Version:
    """Return the champion, or the version that is named."""
    campaign, every = tracker.campaign.name, versions(tracker)
    numbers = ", ".join(one.number for one in every)
    if version is not None:
        named = next((one for one in every if one.number == version), None)
        if named is None:
            raise BadInput(f"There is no version {version!r} of campaign {campaign!r}; there are: {numbers or 'none'}.")
        return named
    champion = next((one for one in every if one.champion), None)
    if champion is None:
        raise BadInput(
            f"Campaign {campaign!r} has no champion. `discover retrain {campaign}` makes one"
            + (f", or name a version with --version: {numbers}." if numbers else "; it has no proxy yet.")
        )
    return champion


def asked_file(path: Path, column: str | None, space: BaseSpace[Any]) -> AskedFile:
    """Open a file of objects: a table (CSV, TSV, parquet), or a file of the space's own format; also .gz.

    Args:
        path: the file.
        column: of the objects' texts; None: as files of the space have it.
        space: of the objects.

    Raises:
        SourceError: it cannot be read, or has no column of objects.
    """
    require_file(path, "Check its name.")
    formats = {**TABLES, **space.files}
    kind = next((name for name, one in formats.items() if ending(path) in one.endings), None)
    if kind is None:
        endings = ", ".join(known for one in formats.values() for known in one.endings)
        raise SourceError(
            f"The name of {path} does not tell what it is; expected one of {endings} (also with .gz). Name it so, or "
            "save the sheet of a spreadsheet program as 'CSV UTF-8'."
        )
    names = space.fields if space.headers else ()
    file = LibraryFile(path, column, fields=columns_of(space), usual=space.column, names=names, more=space.files)
    own = kind not in TABLES
    if own and column is not None and not space.files[kind].named:
        raise SourceError(f"{path} has no columns of objects, so --column {column} means nothing. Leave it out.")
    found = found_columns(file, lambda text: _read(Row(1, text, ""), space)[0] is not None)
    rows = whole_rows(found.file)
    apart = None
    if own and column is None:
        apart = space.column if space.column not in rows.names else f"{space.column}_read"
    return AskedFile(rows, apart, found.notes)


def predicted(predictor: Predictor, asked: AskedFile, counts: Counts) -> Iterator[list[Cells]]:
    """Yield the heading, then the rows in their order, some at a time: their own cells, and behind them what is added.

    Args:
        predictor: of the objects.
        asked: the file.
        counts: is told what became of the rows.

    Raises:
        SourceError: the file cannot be read to its end, or has no rows.
        BadInput: it has columns named as those that are added.
    """
    before = [*([] if asked.apart is None else [asked.apart]), *asked.rows.names]
    added = [f"predicted_{name}" if name in before else name for name in ADDED]
    clash = [name for name in added if name in before]
    if clash:
        raise BadInput(
            f"{asked.rows.file.path} has columns named {', '.join(clash)}, as those that are added. Rename or remove "
            "them."
        )
    rows, lines = iter(asked.rows), [[*before, *added]]
    while chunk := list(islice(rows, CHUNK)):
        read = [_read(row, predictor.space) for row, _ in chunk]
        told = _told(predictor, read)
        for (row, cells), (obj, note, outside) in zip(chunk, read, strict=True):
            if obj is None or obj not in told:
                counts.refused[note] += 1
            else:
                counts.predicted += 1
                counts.outside += outside
            own = cells if asked.apart is None else (row.text, *cells)
            lines.append([*own, *(told.get(obj, _NOTHING) if obj is not None else _NOTHING), note])
        yield lines
        lines = []
    if not counts.rows:
        raise SourceError(f"{asked.rows.file.path} has no rows; expected an object in each.")


_NOTHING = ("",) * (len(ADDED) - 1)


def _read(row: Row, space: BaseSpace[Any]) -> tuple[str | None, str, bool]:
    """Return the object of a row or None, what is to be said of it, and whether it is outside the space."""
    if row.problem is not None:
        return None, row.problem, False
    if not row.text:
        return None, "empty", False
    try:
        obj = space.standard(row.text)
    except NotStandardError as error:
        return None, str(error), False
    outside = space.outside(obj)
    said = (space.settled(row.text, obj), f"outside the space: {outside}" if outside else "")
    return obj, "; ".join(filter(None, said)), outside is not None


def _told(predictor: Predictor, read: Sequence[tuple[str | None, str, bool]]) -> dict[str, tuple[str, ...]]:
    """Return what is told of each object; of one outside the space nothing where the proxy cannot take it."""
    beyond = dict.fromkeys(obj for obj, _, outside in read if obj is not None and outside)
    inside = dict.fromkeys(obj for obj, _, outside in read if obj is not None and not outside)
    found = _of_objects(predictor, list(inside))
    with suppress(ValueError, LookupError):
        return found | _of_objects(predictor, list(beyond))
    for obj in beyond:
        with suppress(ValueError, LookupError):  # such as a solvent that it has no number for
            found |= _of_objects(predictor, [obj])
    return found


def _of_objects(predictor: Predictor, objects: Sequence[str]) -> dict[str, tuple[str, ...]]:
    if not objects:
        return {}
    prediction, near = predictor.proxy.predict(objects), predictor.nearest(objects)
    half = quantile(np.array([0.95]), prediction.freedom)[..., 0] * prediction.std
    columns = (prediction.mean, prediction.std, prediction.mean - half, prediction.mean + half)
    return {
        obj: (
            *(f"{float(column[i]):.6g}" for column in columns),
            predictor.unit,
            f"{near[i]:.3f}",
            "yes" if obj in predictor.measured else "no",
            predictor.version,
        )
        for i, obj in enumerate(objects)
    }


def csv_text(rows: Sequence[Cells]) -> str:
    """Return lines of CSV in which no spreadsheet finds a formula; numbers are as they were."""
    text = io.StringIO()
    plain = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        safe = [cell if _NUMBER.fullmatch(cell) else str(safe_text(cell)) for cell in row]
        # Readers end a line at a lone carriage return too.
        (quoted if any("\r" in cell for cell in safe) else plain).writerow(safe)
    return text.getvalue()


@contextmanager
def new_file(path: Path) -> Iterator[IO[str]]:
    """Have a text file written that is there when it is whole, and over nothing.

    Raises:
        ConfigError: there is a file of that name by now.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            yield file
        _put(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _put(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)  # one that came while this was written stays
    except OSError as error:
        if path.exists():
            raise ConfigError(
                f"--out is {path}, which exists by now; nothing was written. Name another file."
            ) from error
        partial.replace(path)  # no links on this file system
