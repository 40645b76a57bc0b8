"""State and figures on disk, without pickles: equal values give equal bytes."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pyarrow import parquet

from data.config import CampaignConfig
from data.records import FloatArray, JsonDict, measured_column
from models.proxies.calibration import Calibrated, Calibration, calibrated
from models.registry import build

_EARLIER = "smiles"
"""What the column `object` was called when there were molecules only; campaigns that were begun then go on."""


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors, numbers, strings and nests of them, atomically; read back with `load_state`.

    Equal states give equal bytes, also when one of them was read back from a checkpoint.
    """
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:  # a file object: torch writes the path's name into the archive otherwise
        torch.save(_plain_state(dict(state)), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _plain_state(value: Any) -> Any:
    """Return an equal value that shares nothing but equal strings.

    The format writes an object that stands twice once, and a reference the second time: the bytes of a state would tell
    whether it was read from a checkpoint, and a stage that was killed would have another sha256.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().clone(memory_format=torch.contiguous_format)
    if isinstance(value, dict):
        return type(value)((_plain_state(key), _plain_state(item)) for key, item in value.items())
    if isinstance(value, list):
        return [_plain_state(item) for item in value]
    if type(value) is tuple:
        return tuple(_plain_state(item) for item in value)
    return sys.intern(value) if type(value) is str else value


REPEATS = "repeats.parquet"
"""Table beside a data set, where something was measured several times: id, objective, replicate and value."""

PENDING = "pending.parquet"
"""Table beside a data set, where answers come later: id and object of what is asked and had not been answered."""

CALIBRATION = "calibration.json"
"""File of the calibration that is a campaign's own."""


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; refuses anything but plain values and tensors."""
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state


def load_proxy(folder: Path) -> Calibrated:
    """Rebuild a fitted proxy from `proxy.json` and `proxy.pt`, which holds its calibration too.

    A campaign's own calibration, in `calibration.json`, comes before that: the state, which all share, stays one file.
    Two stages of a round ask for one proxy, so the last ones are kept in the process: by content, for predicting only.
    """
    own = folder / CALIBRATION
    told = own.read_bytes() if own.is_file() else b""
    return _rebuilt((folder / "proxy.json").read_bytes(), (folder / "proxy.pt").read_bytes(), told)


def load_proxies(folder: Path, config: CampaignConfig) -> tuple[Calibrated, ...]:
    """Rebuild the fitted proxies of a campaign, in the order of its objectives, each in the objective's own unit.

    Args:
        folder: of the stage; the proxies of several objectives are in folders by number within.
        config: of the campaign.
    """
    count = len(config.objectives)
    return (load_proxy(folder),) if count == 1 else tuple(load_proxy(folder / str(k)) for k in range(count))


def pending_of(dataset: Path) -> list[str]:
    """Return the objects that were asked and not answered when a data set (its stage's folder) was made."""
    file = dataset / PENDING
    return list(pd.read_parquet(file)["object"]) if file.is_file() else []


@lru_cache(maxsize=4)
def _rebuilt(config: bytes, state: bytes, calibration: bytes) -> Calibrated:
    proxy = calibrated(build("proxy", json.loads(config)))
    proxy.load_state(torch.load(io.BytesIO(state), weights_only=True, map_location="cpu"))
    if calibration:
        proxy.calibration = Calibration(np.array(json.loads(calibration)["knots"], dtype=np.float64).reshape(-1, 2))
    return proxy


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a stage's table, all of it or some columns; the texts of objects are in the column `object`."""
    if columns is not None and "object" in columns and "object" not in parquet.read_schema(path).names:
        columns = [_EARLIER if column == "object" else column for column in columns]
    return with_objects(pd.read_parquet(path, columns=columns))


def with_objects(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose objects are in the column `object`, also if it was written when that was `smiles`."""
    return table if "object" in table else table.rename(columns={_EARLIER: "object"})


def measured_values(dataset: pd.DataFrame, config: CampaignConfig) -> FloatArray:
    """Return the measured values of a data set, shape `(n, K)`, in the objectives' own units, nan where there is none.

    Args:
        dataset: of a round: column `value`, and with several objectives `value[NAME]` of each.
        config: of the campaign.
    """
    names = [one.name for one in config.objectives]
    columns = ["value"] if len(names) == 1 else [measured_column(name) for name in names]
    values: FloatArray = dataset[columns].to_numpy(dtype=np.float64)
    return values


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys and a final newline; the same value gives the same bytes."""
    path.write_text(json.dumps(value, sort_keys=True, indent=1, default=_plain) + "\n", encoding="utf-8")


def read_json(path: Path) -> JsonDict:
    """Read a JSON object."""
    value: JsonDict = json.loads(path.read_text(encoding="utf-8"))
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form; convert it first.")
