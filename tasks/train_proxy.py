"""Stage `train_proxy`: cross-validate, then fit on everything measured; never the same thing twice.

A trained proxy is kept under a key made of its data, its configuration and its seed. Campaign rounds and the retraining
flow share that store, so a champion trained on the same data is used as it is.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.config import digest
from data.molecules import scaffold
from data.records import FloatArray
from models.protocols import Proxy
from models.proxies.evaluation import cross_validate, group_folds, metrics
from models.registry import build
from tasks.components import read_json, save_state, write_json
from tasks.stages import CODE_VERSION, BadInput, CampaignContext, CampaignRef, StageRef, run_stage
from tasks.workspace import Workspace

FOLDS = 5

MINIMUM_LABELS = 6
"""Measured molecules without which no proxy is trained: the 5 that a proxy needs, and one to hold out."""


@dataclass(frozen=True)
class TrainingData:
    """Measured molecules in the order of their ids, so that equal data are equal whatever the order of purchase."""

    ids: tuple[str, ...]
    molecules: tuple[str, ...]
    values: FloatArray

    @classmethod
    def of(cls, frame: pd.DataFrame) -> TrainingData:
        """Take `id`, `smiles` and `value` from a data set; rows without a value are left out."""
        ordered = frame[frame["value"].notna()].sort_values("id")
        return cls(tuple(ordered["id"]), tuple(ordered["smiles"]), ordered["value"].to_numpy(dtype=np.float64))

    def sha256(self) -> str:
        """Return a digest of ids, molecules and values."""
        return digest([list(self.ids), list(self.molecules), [value.hex() for value in self.values.tolist()]])

    def groups(self) -> list[str]:
        """Return the scaffold of each molecule; an acyclic molecule is a group of its own."""
        return [scaffold(smiles) or key for smiles, key in zip(self.molecules, self.ids, strict=True)]

    def keep(self, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> TrainingData:
        """Return the rows where the mask `(n,)` is true."""
        chosen = np.flatnonzero(mask)
        return TrainingData(
            tuple(self.ids[i] for i in chosen), tuple(self.molecules[i] for i in chosen), self.values[chosen]
        )

    def __len__(self) -> int:
        return len(self.ids)


@task(name="train proxy", cache_policy=NO_CACHE, persist_result=False)
def train_proxy(ref: CampaignRef, round: int, dataset: StageRef) -> StageRef:
    """Train the proxy of a round on all measurements so far.

    Results: `proxy.json` (configuration), `proxy.pt` (state), `heldout.csv` (out-of-fold predictions), `training.json`.
    """
    with ref.open() as context:
        data = TrainingData.of(pd.read_parquet(dataset.path(context, "dataset.parquet")))
        return run_stage(
            context,
            round,
            "train_proxy",
            inputs={"dataset": dataset},
            settings=context.config.proxy,
            compute=lambda folder: _use(context, data, folder),
        )


def proxy_seed(context: CampaignContext) -> int:
    """Return the seed of proxy training: one for all rounds, so that equal data give equal proxies."""
    return context.seed("train_proxy")


def stored_proxy(workspace: Workspace, key: str) -> Path | None:
    """Return the folder of a trained proxy, or None if the workspace does not have it."""
    folder = workspace.home / "proxies" / key
    return folder if (folder / "training.json").is_file() else None


def trained(workspace: Workspace, spec: Mapping[str, Any], data: TrainingData, seed: int) -> Path:
    """Return the folder of the proxy trained on these data, training it only if the workspace does not have it."""
    key = proxy_key(spec, data, seed)
    existing = stored_proxy(workspace, key)
    if existing is not None:
        return existing
    final = workspace.home / "proxies" / key
    partial = final.with_name(f"{key}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _train(partial, spec, data, seed, key)
    if final.exists():  # a concurrent training, or one that a crash cut short
        shutil.rmtree(final)
    os.replace(partial, final)
    return final


def proxy_key(spec: Mapping[str, Any], data: TrainingData, seed: int) -> str:
    """Return the key under which a trained proxy is kept: equal keys, equal proxies."""
    return digest([CODE_VERSION, build("proxy", spec).config(), data.sha256(), seed])[:32]


def _train(folder: Path, spec: Mapping[str, Any], data: TrainingData, seed: int, key: str) -> None:
    def make() -> Proxy:
        proxy: Proxy = build("proxy", spec)
        return proxy

    split, groups, folds = _split(data, seed)
    heldout = cross_validate(make, data.molecules, data.values, groups, folds=folds, seed=seed)
    figures = metrics(heldout, data.values)
    proxy = make()
    proxy.fit(data.molecules, data.values, seed=seed)
    save_state(folder / "proxy.pt", proxy.state())
    write_json(folder / "proxy.json", proxy.config())  # type: ignore[attr-defined]  # every component has it
    pd.DataFrame(
        {"id": data.ids, "smiles": data.molecules, "value": data.values, "mean": heldout.mean, "std": heldout.std}
    ).to_csv(folder / "heldout.csv", index=False)
    write_json(
        folder / "training.json",
        {
            "key": key,
            "data_sha256": data.sha256(),
            "n": len(data),
            "seed": seed,
            "heldout": figures,
            "split": f"{folds} folds by {split}",
        },
    )


def _split(data: TrainingData, seed: int) -> tuple[str, list[str], int]:
    """Return what is held out together, the group of each molecule, and the number of folds.

    Scaffolds, unless those left for training would be too few: a series of one scaffold is held out by molecule.
    """
    for split, groups in (("scaffold", data.groups()), ("molecule", list(data.ids))):
        distinct = len(set(groups))
        for folds in (FOLDS, distinct):
            if 2 <= folds <= distinct:
                largest = max(Counter(group_folds(groups, folds, seed)).values())
                if len(data) - largest >= MINIMUM_LABELS - 1:
                    return split, groups, folds
    raise BadInput(
        f"There are {len(data)} measured molecules; a proxy needs at least {MINIMUM_LABELS}. Enlarge the initial "
        "design."
    )


def _use(context: CampaignContext, data: TrainingData, folder: Path) -> dict[str, float]:
    spec, seed = context.config.proxy, proxy_seed(context)
    reused = stored_proxy(context.workspace, proxy_key(spec, data, seed)) is not None
    for file in trained(context.workspace, spec, data, seed).iterdir():
        shutil.copyfile(file, folder / file.name)
    figures: dict[str, float] = read_json(folder / "training.json")["heldout"]
    return {"reused": float(reused), **{f"heldout_{name}": value for name, value in figures.items()}}
