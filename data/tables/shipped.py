"""Tables that are shipped in `data/resources`: checked against their checksum whenever they are read."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import io
import json
import zlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from data.tables.readers import SourceError

SHIPPED = ("electron_affinities",)
"""Names of the tables."""

COLUMNS = ("id", "smiles", "value")


def shipped_file(name: str) -> Path:
    """Return the compressed CSV of a shipped table (columns `COLUMNS`), checked.

    Raises:
        SourceError: no such table, or the file is not the one that was shipped.
    """
    path = _folder() / f"{_known(name)}.csv.gz"
    _content(path, provenance(name)["table"]["sha256"])
    return path


def provenance(name: str) -> dict[str, Any]:
    """Return what is known of a shipped table: method, unit, source, versions, counts, checksum.

    Raises:
        SourceError: no such table, or its file is missing.
    """
    path = _folder() / f"{_known(name)}.json"
    if not path.is_file():
        raise SourceError(f"{path}, which discovery-flows ships, is missing. Install the package again.")
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


def labelled_library(name: str = "electron_affinities") -> pd.DataFrame:
    """Return a shipped table: columns id (InChIKey), smiles (canonical), value (float64), sorted by id.

    `electron_affinities` has the vertical electron affinities, in eV, of the molecules of ZINC-250k with at most 14
    heavy atoms that pass the quickstart's screens; `provenance` tells how they were made.

    Raises:
        SourceError: no such table, or the file is not the one that was shipped.
    """
    told = provenance(name)
    content = _content(_folder() / f"{name}.csv.gz", told["table"]["sha256"])
    return pd.read_csv(io.BytesIO(content), dtype={"id": "str", "smiles": "str", "value": "float64"})


def _folder() -> Path:
    return Path(str(files("data.resources")))


def _known(name: str) -> str:
    if name not in SHIPPED:
        close = difflib.get_close_matches(name, SHIPPED, n=1, cutoff=0.4)
        hint = f" Did you mean {close[0]!r}?" if close else " A file of your own is named by `path`."
        raise SourceError(f"No table named {name!r} is shipped; expected one of {', '.join(SHIPPED)}.{hint}")
    return name


@cache
def _content(path: Path, sha256: str) -> bytes:
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(
            f"{path}, which discovery-flows ships, cannot be read ({error}). Install the package again."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise SourceError(
            f"{path} is not the table that was shipped: its sha256 is {found[:16]}, expected {sha256[:16]}. "
            "Install the package again; keep tables of your own elsewhere and name them by `path`."
        )
    return content
