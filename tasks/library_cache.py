"""A source in standard form, kept in the workspace by content, so that campaigns after the first need not read it anew.

What is kept is all that reading gave: the rows that were taken, those that were refused, and what was said of them. Its
name is a hash of all that decides it: the content and options of the source, the space, the versions of libraries, and
the code, a plugin's included. A file that is damaged, or is none of ours, is said and made anew; one that cannot be
written is said and left out. Two campaigns that read one source at once each write the same file, atomically.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections import Counter
from dataclasses import astuple
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

import data
import models
from data.config import digest
from data.kept_files import keep_file, kept_bytes
from data.records import Refusal
from data.tables.datasets import COLUMNS, Library, frame_of
from data.tables.merging import MergedRow
from models.oracles.source_files import module_parts
from models.registry import ComponentError
from models.spaces.base import BaseSpace

logger = logging.getLogger(__name__)

FOLDER = "sources"
"""Folder in the workspace's cache."""

_FORMAT = 2
_WHAT = "The source in standard form"
_ABOUT = b"discovery-flows"
_TYPES = (pa.string(), pa.string(), pa.float64(), pa.string(), pa.int64())
_DRAWING = ("sample", "below_quantile")
"""Options by which the campaign's seed and goal decide what a source gives."""


def reading_key(source: Any, space: BaseSpace[Any], sha256: str, base: Path, drawn: tuple[int, bool]) -> str | None:
    """Return a hash of all that decides what reading a source gives, None where that cannot be known.

    Args:
        source: of the rows.
        space: that they must be in.
        sha256: content of the source, as `tasks.initial_design.source_sha256`.
        base: folder of the campaign file.
        drawn: seed of the source, and whether larger values are better.
    """
    try:
        code = {cls.__module__: _code(cls, base) for cls in (type(source), type(space))}
    except ComponentError:  # a class that was defined in no file
        return None
    ours = all(told == "ours" for told in code.values())
    chance = not ours or any(getattr(source.options, name, None) is not None for name in _DRAWING)
    return digest(
        [
            [_FORMAT, sys.version_info[:2], version("pyarrow"), _our_code(), code],
            [source.config(), sha256, drawn if chance else None],
            [space.config(), space.key(), space.content()],
        ]
    )


def _code(cls: type, base: Path) -> Any:
    """Return what decides what a class does: its module's files and versions, or that it is one of ours."""
    top = cls.__module__.partition(".")[0]
    return "ours" if top in (data.__name__, models.__name__) else module_parts(cls.__module__, base)


@cache
def _our_code() -> str:
    total = hashlib.sha256()
    for package in (data, models):
        folder = Path(package.__path__[0])
        for file in sorted(folder.rglob("*.py")):
            total.update(f"{file.relative_to(folder.parent).as_posix()}\0".encode() + file.read_bytes())
    return total.hexdigest()


def kept_library(folder: Path, key: str) -> Library | None:
    """Return what was read under a key, None if it is not there or damaged; the latter is said."""
    path = _path(folder, key)
    content = kept_bytes(path, _WHAT)
    if content is None:
        return None
    try:
        table = parquet.read_table(pa.BufferReader(content))
        about = json.loads(table.schema.metadata[_ABOUT])
        if about["key"] != key or about["sha256"] != _sha256(table, about["told"]):
            raise ValueError("its content is not what was written")
        return _library(table, about["told"])
    except Exception as error:  # whatever a damaged or foreign file makes its reader raise
        logger.warning(
            "The source in standard form %s is damaged or no file of ours (%s); the source is read again and the file "
            "made anew.",
            path,
            str(error).partition("\n")[0] or type(error).__name__,
        )
        return None


def keep_library(folder: Path, key: str, library: Library) -> None:
    """Write what was read under a key, all of it or nothing; where that is not possible it is said."""
    keep_file(
        _path(folder, key),
        lambda partial: parquet.write_table(_table(library, key), partial, compression="zstd"),
        _WHAT,
        unwritable=(ValueError, pa.ArrowException),
    )


def _table(library: Library, key: str) -> pa.Table:
    columns = {
        name: pa.array(library.frame[name].to_numpy(), type=kind) for name, kind in zip(COLUMNS, _TYPES, strict=True)
    }
    told, table = _told(library), pa.table(columns)
    about = {"key": key, "sha256": _sha256(table, told), "told": told}
    return table.replace_schema_metadata({_ABOUT: json.dumps(about).encode()})


def _path(folder: Path, key: str) -> Path:
    return folder / FOLDER / f"{key[:32]}.parquet"


def _told(library: Library) -> dict[str, Any]:
    return {
        "refused": [list(astuple(refusal)) for refusal in library.refused],
        "notes": library.notes,
        "warnings": library.warnings,
        "rows": library.rows,
        "merged": library.merged,
        "passed_over": dict(library.passed_over),
        "left_out": dict(library.left_out),
        "listed": [list(astuple(row)) for row in library.listed],
    }


def _library(table: pa.Table, told: dict[str, Any]) -> Library:
    ids, texts, values, families, lines = (table.column(name).to_pylist() for name in COLUMNS)
    return Library(
        frame=frame_of(zip(ids, texts, values, families, lines, strict=True)),
        refused=[Refusal(*refusal) for refusal in told["refused"]],
        notes=told["notes"],
        warnings=told["warnings"],
        rows=told["rows"],
        merged=told["merged"],
        passed_over=Counter(told["passed_over"]),
        left_out=Counter(told["left_out"]),
        listed=[MergedRow(*row) for row in told["listed"]],
    )


def _sha256(table: pa.Table, told: dict[str, Any]) -> str:
    """Return the sha256 of the rows and of what was said of them."""
    total = hashlib.sha256(json.dumps(told).encode())
    for name in COLUMNS:
        column = table.column(name)
        if pa.types.is_string(column.type):
            texts = column.to_pylist()
            total.update(np.array([len(text) for text in texts], dtype=np.int64).tobytes())
            total.update("".join(texts).encode())
        else:
            total.update(np.ascontiguousarray(column.to_numpy()).tobytes())
    return total.hexdigest()
