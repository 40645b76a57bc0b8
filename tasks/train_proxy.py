"""Stage `train_proxy`: cross-validate, then fit on everything measured; never the same thing twice.

A trained proxy is kept under a key made of its data, its configuration and its seed. Campaign rounds and the retraining
flow share that store, so a champion trained on the same data is used as it is.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.config import ProxyConfig, digest
from data.goals import Goal
from data.ledger.campaigns import CampaignState
from data.never_learnt import NEVER, never_metrics
from data.records import Arm, FloatArray, JsonDict, Prediction, measured_column, predicted_columns
from models.parts import proxy_beside, proxy_spec, space_of
from models.protocols import LevelProxy, Proxy, SelfTestingProxy
from models.proxies.beside import Beside
from models.proxies.calibration import (
    Calibration,
    Purchases,
    calibrate_across,
    calibrated,
    fit_calibration,
    purchase_factor,
    widened,
)
from models.proxies.cheaper import CheaperLevels
from models.proxies.checks import MINIMUM_LABELS
from models.proxies.dataset_map import MappingProxy, dataset_map
from models.proxies.evaluation import group_folds, metrics, out_of_fold, stable_folds
from models.proxies.warm_start import REPEAT, Fitter, refits
from models.registry import build
from models.row_protocols import RowProxy
from models.spaces.base import BaseSpace
from tasks.levels import cheaper_of
from tasks.shared_files import share
from tasks.stages import (
    CODE_VERSION,
    BadInput,
    CampaignContext,
    CampaignRef,
    CampaignStopped,
    StageRef,
    folder_sha256,
    run_stage,
)
from tasks.storage import CALIBRATION, REPEATS, load_state, read_json, read_table, save_state, write_json
from tasks.workspace import Workspace

logger = logging.getLogger(__name__)

FOLDS = 5
ONE_FIT = 200
"""Labels from which a proxy that can tell what it predicts without a fold is asked, and not trained for each: what
fewer labels choose with the held-out ones among them would flatter the proxy."""

MAP = "map.csv"
"""File of where the training data are on the data map: each row's last residual, mean and deviation of all of them, in
predicted deviations, and whether it is never learnt."""

MODELS = "models.pt"
"""File of what a network goes on from in the next round."""


@dataclass(frozen=True)
class TrainingData:
    """Measured objects in the order of their ids, so that equal data are equal whatever the order of purchase.

    What was measured several times has a row for each; the ids of the later ones end in `#2`, `#3` and so on.
    """

    ids: tuple[str, ...]
    objects: tuple[str, ...]
    values: FloatArray
    space: BaseSpace[Any]
    cheaper: CheaperLevels | None = None
    """What is known below the truth, for a proxy of several levels; None: nothing, or the proxy has one level."""
    beside: Beside | None = None
    """All values of the objects, for a proxy that learns them together; None: the proxy learns one objective."""

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        space: BaseSpace[Any],
        column: str = "value",
        repeats: Mapping[str, Sequence[float]] | None = None,
        cheaper: CheaperLevels | None = None,
    ) -> TrainingData:
        """Take `id`, `object` and a column of values from a data set of a space; rows without a value are left out.

        Args:
            frame: the data set.
            space: of the objects.
            column: of the values.
            repeats: id -> its values, of what was measured several times.
            cheaper: what is known below the truth.
        """
        ordered = frame[frame[column].notna()].sort_values("id")
        if repeats:
            ordered = _expanded(ordered, column, repeats)
        values = ordered[column].to_numpy(dtype=np.float64)
        return cls(tuple(ordered["id"]), tuple(ordered["object"]), values, space, cheaper)

    def sha256(self) -> str:
        """Return a digest of ids, objects and values."""
        below = [one.told() for one in (self.cheaper, self.beside) if one is not None]
        return digest([list(self.ids), list(self.objects), [value.hex() for value in self.values.tolist()], *below])

    def groups(self) -> list[str]:
        """Return the family of each object; one without is a group of its own."""
        return [self.space.family(obj) or key for obj, key in zip(self.objects, self.owners, strict=True)]

    @property
    def owners(self) -> list[str]:
        """The id of each row's object, the same for all its measurements."""
        return [key.partition(REPEAT)[0] for key in self.ids]

    def keep(self, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> TrainingData:
        """Return the rows where the mask `(n,)` is true."""
        chosen = np.flatnonzero(mask)
        return TrainingData(
            tuple(self.ids[i] for i in chosen),
            tuple(self.objects[i] for i in chosen),
            self.values[chosen],
            self.space,
            self.cheaper,
            self.beside,
        )

    def __len__(self) -> int:
        return len(self.ids)


def _expanded(frame: pd.DataFrame, column: str, repeats: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Return a row for each measurement of what was measured several times."""
    rows = []
    for row in frame[["id", "object", column]].itertuples(index=False, name=None):
        key, obj, value = row
        for number, one in enumerate(repeats.get(key, (value,)), start=1):
            rows.append((key if number == 1 else f"{key}{REPEAT}{number}", obj, one))
    return pd.DataFrame(rows, columns=["id", "object", column])


def heldout_of(rows: pd.DataFrame, std: str = "std") -> Prediction:
    """Return the predictions that a table of held-out objects holds.

    Args:
        rows: with `mean`, the deviations, and `freedom` where a measurement is not predicted to be normal.
        std: column of the deviations: `std`, calibrated, or `raw_std`.
    """
    freedom = rows["freedom"].to_numpy(dtype=np.float64) if "freedom" in rows else None
    return Prediction(rows["mean"].to_numpy(dtype=np.float64), rows[std].to_numpy(dtype=np.float64), freedom)


def purchases_of(
    frame: pd.DataFrame, columns: tuple[str, str, str] = ("value", "predicted_mean", "predicted_std")
) -> Purchases:
    """Return what the acquisition arm bought on a prediction, in the order of rounds and ids.

    Args:
        frame: a data set.
        columns: of the measured values, and of the means and deviations that were predicted.
    """
    measured, _, deviation = columns
    bought = frame[frame[measured].notna() & frame[deviation].notna() & (frame["arm"] == str(Arm.ACQUISITION))]
    ordered = bought.sort_values(["round", "id"])
    values, mean, std = (ordered[name].to_numpy(dtype=np.float64) for name in columns)
    return Purchases(ordered["round"].to_numpy(dtype=np.int64), values, mean, std)


@task(name="train proxy", task_run_name="round {round}: train proxy", cache_policy=NO_CACHE, persist_result=False)
def train_proxy(ref: CampaignRef, round: int, dataset: StageRef, previous: StageRef | None = None) -> StageRef:
    """Train the proxy of a round on all measurements so far; a network with `refit: replay` goes on from `previous`.

    Results: `proxy.json` (configuration), `proxy.pt` (state, calibration included; `calibration.json` comes before it,
    where the campaign's purchases say more), `heldout.csv` and `random.csv`
    (out-of-fold predictions of the split by family and the random one), `map.csv` (which rows are learnt, where the
    proxy can tell), `training.json`; with `refit: replay` also `models.pt`, what the next round goes on from. Of
    several objectives each has a folder, named by its place.
    """
    with ref.open() as context:
        space = space_of(context.config)
        frame = read_table(dataset.path(context, "dataset.parquet"))
        repeats = repeats_of(dataset.path(context, REPEATS))
        kind = build("proxy", proxy_spec(proxy_beside(context.config), space))
        learns = isinstance(kind, LevelProxy)
        together = isinstance(kind, RowProxy)
        levels = dataset.path(context, "")

        def cheaper(goal: Goal) -> CheaperLevels | None:
            return cheaper_of(levels, goal.name) if learns else None

        inputs: dict[str, StageRef | str] = {"dataset": dataset}
        warm = (
            previous
            if previous is not None and refits(build("proxy", proxy_spec(proxy_beside(context.config), space)))
            else None
        )
        if warm is not None:
            inputs["previous"] = warm
        files = files_of(kind)
        if files:
            inputs["files"] = kind.content()
        before = None if warm is None else warm.path(context, "")

        def compute(folder: Path) -> dict[str, float]:
            if len(context.goals) == 1:
                goal = context.goals[0]
                data = TrainingData.of(frame, space, repeats=repeats.get(goal.name), cheaper=cheaper(goal))
                return _use(context, goal, data, purchases_of(frame), folder, before)
            told: dict[str, float] = {}
            for place, goal in enumerate(context.goals):
                column = measured_column(goal.name)
                data = TrainingData.of(frame, space, column, repeats.get(goal.name), cheaper(goal))
                data = replace(data, beside=_beside(frame, context.goals, goal) if together else None)
                _refuse_too_few(goal, data, len(frame))
                own = folder / str(place)
                own.mkdir()
                bought = purchases_of(frame, (column, *predicted_columns(goal.name)))
                found = _use(context, goal, data, bought, own, None if before is None else before / str(place))
                told |= {f"{goal.name}/{name}": value for name, value in found.items()}
            return told

        return run_stage(
            context,
            round,
            "train_proxy",
            inputs=inputs,
            settings=context.settings("proxy"),
            compute=compute,
            files=files,
        )


def files_of(proxy: Proxy) -> list[Path]:
    """Return the files of the user's that a proxy reads; it then has `content`, which stands for them in keys."""
    return [value for _, value in getattr(proxy, "options", ()) if isinstance(value, Path)]


def repeats_of(file: Path) -> dict[str, dict[str, list[float]]]:
    """Return objective -> id -> values of what was measured several times; nothing where there is no such table."""
    found: dict[str, dict[str, list[float]]] = {}
    if file.is_file():
        columns = ["objective", "id", "value"]
        for objective, key, value in pd.read_parquet(file)[columns].itertuples(index=False, name=None):
            found.setdefault(objective, {}).setdefault(key, []).append(value)
    return found


def _beside(frame: pd.DataFrame, goals: Sequence[Goal], goal: Goal) -> Beside:
    """Return all values of the objects of a data set, for the proxy of one goal."""
    names = tuple(one.name for one in goals)
    rows = frame[["id", *map(measured_column, names)]].itertuples(index=False, name=None)
    return Beside(names, goal.name, {str(key): tuple(map(float, values)) for key, *values in rows})


def _refuse_too_few(goal: Goal, data: TrainingData, measured: int) -> None:
    """Refuse an objective that hardly any object has a value of, where others have enough.

    Raises:
        CampaignStopped: it is one; a proxy needs more.
    """
    if len(data) < MINIMUM_LABELS:
        raise CampaignStopped(
            CampaignState.ORACLE_FAILING,
            f"The objective {goal.name!r} has {len(data)} measured values, of {measured} {data.space.nouns[1]} with "
            f"any; its proxy needs at least {MINIMUM_LABELS}. Mend what its oracle needs and give the same command "
            "with --retry-failed, or enlarge the initial design.",
        )


def proxy_seed(context: CampaignContext) -> int:
    """Return the seed of proxy training: one for all rounds, so that equal data give equal proxies."""
    return context.seed("train_proxy")


def stored_proxy(workspace: Workspace, key: str) -> Path | None:
    """Return the folder of a trained proxy, or None if the workspace does not have it, or only a damaged one."""
    folder = workspace.home / "proxies" / key
    seal = folder.with_name(f"{key}.sha256")
    if not (folder / "training.json").is_file() or not seal.is_file():
        return None
    if seal.read_bytes() != folder_sha256(folder).encode():
        logger.warning("The trained proxy %s is damaged; it is trained again.", folder)
        return None
    return folder


def trained(
    workspace: Workspace,
    config: ProxyConfig,
    data: TrainingData,
    seed: int,
    *,
    maximise: bool = True,
    previous: Path | None = None,
) -> Path:
    """Return the folder of the proxy trained on these data, training it only if the workspace does not have it.

    Args:
        workspace: where trained proxies are kept.
        config: of the proxy.
        data: to train on.
        seed: of the training.
        maximise: whether larger values are better, for figures of the top.
        previous: folder of the last round's proxy, to go on from; None: train from nothing.
    """
    key = proxy_key(config, data, seed, maximise=maximise, previous=previous)
    existing = stored_proxy(workspace, key)
    if existing is not None:
        return existing
    final = workspace.home / "proxies" / key
    partial = final.with_name(f"{key}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    training = _train(partial, config, data, seed, maximise, previous)
    write_json(partial / "training.json", {"key": key, **training})
    if final.exists():  # a concurrent training, or one that a crash cut short
        shutil.rmtree(final)
    sha256 = folder_sha256(partial)
    os.replace(partial, final)
    # After the folder: a crash between the two leaves a folder without a seal, which is trained again.
    seal = final.with_name(f"{key}.sha256")
    unsealed = seal.with_name(f"{seal.name}.partial-{os.getpid()}")
    unsealed.write_text(sha256, encoding="ascii")
    os.replace(unsealed, seal)
    return final


def proxy_key(
    config: ProxyConfig, data: TrainingData, seed: int, *, maximise: bool = True, previous: Path | None = None
) -> str:
    """Return the key under which a trained proxy is kept: equal keys, equal proxies."""
    proxy = build("proxy", proxy_spec(config, data.space))
    # A file among the options counts by its content: wherever it lies, and an edited one is another.
    files = [str(file) for file in files_of(proxy)]
    spec = {key: value for key, value in proxy.sparse().items() if value not in files}
    contents = [proxy.content()] if files else []
    before = [] if previous is None else [read_json(previous / "training.json")["key"]]
    what = [data.sha256(), data.space.key()]
    return digest([CODE_VERSION, spec, config.calibration, maximise, *what, seed, *contents, *before])[:32]


def _train(
    folder: Path, config: ProxyConfig, data: TrainingData, seed: int, maximise: bool, previous: Path | None
) -> JsonDict:
    def make() -> Proxy:
        proxy: Proxy = build("proxy", proxy_spec(config, data.space))
        return proxy

    before = None if previous is None else load_state(previous / MODELS)
    fitter = Fitter(make, seed=seed, previous=before, cheaper=data.cheaper, owners=data.owners, beside=data.beside)
    alone = {data.space.nouns[0]: data.owners}
    split = _split(data, seed, {data.space.family_name: data.groups(), **alone}, stable=refits(make()))
    whole = fitter.fit("all", data.ids, data.objects, data.values)
    # Where every object stands alone (a space without families), both splits are one.
    separate = split.by not in alone and data.groups() != data.owners
    random_split = _split(data, seed, alone, stable=split.stable) if separate else split
    near, *others = data.space.nearness.nearest_outside(
        data.objects, split.fold, *([random_split.fold] if separate else [])
    )
    held = _HeldOut.of(fitter, data, split, whole, near)
    calibration = fit_calibration(config.calibration, held.prediction, data.values)
    across = calibrate_across(config.calibration, held.prediction, data.values, split.fold)
    drawn, shuffled = held, across
    if separate:
        drawn = _HeldOut.of(fitter, data, random_split, whole, others[0])
        shuffled = calibration(drawn.prediction)
    proxy = calibrated(whole, calibration)
    save_state(folder / "proxy.pt", proxy.state())
    write_json(folder / "proxy.json", proxy.config())
    if refits(make()):
        save_state(folder / MODELS, fitter.state())
    held.table(data, across).to_csv(folder / "heldout.csv", index=False)
    never = _map(whole, data, folder)
    drawn.table(data, shuffled).to_csv(folder / "random.csv", index=False)
    return {
        "data_sha256": data.sha256(),
        "n": len(data),
        "seed": seed,
        "heldout": metrics(across, data.values, maximise=maximise) | held.by_similarity(across, data.values),
        "heldout_raw": metrics(held.prediction, data.values, maximise=maximise),
        "random": metrics(shuffled, data.values, maximise=maximise),
        "calibration": {"method": config.calibration, "knots": calibration.knots.tolist()},
        "split": str(split),
        "random_split": str(random_split),
        "refitted_folds": held.refitted,
        **({} if never is None else {NEVER: never}),
    }


def _map(proxy: Proxy, data: TrainingData, folder: Path) -> dict[str, float] | None:
    """Write where the rows are on the data map, `map.csv`.

    Returns:
        Id of each object that is never learnt -> its last residual in predicted deviations; None: there is no map.
    """
    course = proxy.course(data.objects, data.values) if isinstance(proxy, MappingProxy) else None
    if course is None:
        return None
    found = dataset_map(course)
    columns = {name: getattr(found, name).round(6) for name in ("last", "mean", "deviation")}
    columns["never_learnt"] = found.never
    table = pd.DataFrame({"id": data.ids, **columns})
    table.to_csv(folder / MAP, index=False)
    never = table[table["never_learnt"]]
    owners = [key.partition(REPEAT)[0] for key in never["id"]]
    return {str(key): float(value) for key, value in never["last"].groupby(owners).mean().items()}


@dataclass(frozen=True)
class _Split:
    """What is held out together.

    Attributes:
        by: what stays together: a family, by its name, or one object, by its noun.
        fold: n numbers of folds.
        stable: whether an object's fold stays the same when others come.
    """

    by: str
    fold: list[int]
    stable: bool

    def __str__(self) -> str:
        return f"{len(set(self.fold))} folds by {self.by}"


@dataclass(frozen=True)
class _HeldOut:
    """Out-of-fold predictions as the proxy makes them, not calibrated.

    Attributes:
        prediction: of the n measured objects.
        fold: n numbers of folds.
        similarity: of each object to the nearest one outside its fold, shape `(n,)`.
        refitted: whether a proxy was trained without each fold; else one proxy told what it predicts without it.
    """

    prediction: Prediction
    fold: list[int]
    similarity: FloatArray
    refitted: bool

    @classmethod
    def of(cls, fitter: Fitter, data: TrainingData, split: _Split, whole: Proxy, similarity: FloatArray) -> _HeldOut:
        def train(k: int, rows: list[int]) -> Proxy:
            ids, objects = [data.ids[i] for i in rows], [data.objects[i] for i in rows]
            name = f"{split.by} {k}" if split.stable else None
            return fitter.fit(name, ids, objects, data.values[rows])

        told = None
        if len(data) >= ONE_FIT and isinstance(whole, SelfTestingProxy):
            told = whole.held_out(data.objects, data.values, split.fold)
        prediction = out_of_fold(train, data.objects, split.fold) if told is None else told
        return cls(prediction, split.fold, similarity, refitted=told is None)

    def table(self, data: TrainingData, shown: Prediction) -> pd.DataFrame:
        """Return a row per object: measured, predicted, deviation calibrated and as the proxy gave it."""
        frame = pd.DataFrame(
            {
                "id": data.ids,
                "object": data.objects,
                "value": data.values,
                "mean": shown.mean,
                "std": shown.std,
                "raw_std": self.prediction.std,
                "fold": self.fold,
                "similarity": self.similarity.round(6),
            }
        )
        return frame if shown.freedom is None else frame.assign(freedom=shown.freedom)

    def by_similarity(self, shown: Prediction, values: FloatArray) -> dict[str, float]:
        """Return error and coverage of the half that was near to its training data and of the half that was far."""
        middle = float(np.median(self.similarity))
        near = self.similarity >= middle
        found = {"similarity_median": middle}
        for name, half in (("near", near), ("far", ~near)):
            if half.sum() >= 2:
                part = metrics(shown.part(half), values[half])
                found |= {f"{name}_rmse": part["rmse"], f"{name}_coverage_90": part["coverage_90"]}
        return found


def _split(data: TrainingData, seed: int, ways: Mapping[str, list[str]], *, stable: bool) -> _Split:
    """Return what is held out together.

    The first way that leaves enough for training: a series of one family is held out one by one. Folds are equally
    large; with `stable` they are kept from round to round, where that leaves enough for training too: a model that
    goes on from the last round must not have seen what it is tested on.
    """
    if stable:
        for by, groups in ways.items():
            fold = stable_folds(groups, FOLDS)
            if len(set(fold)) > 1 and len(data) - max(Counter(fold).values()) >= MINIMUM_LABELS - 1:
                return _Split(by, fold, stable=True)
    for by, groups in ways.items():
        distinct = len(set(groups))
        for folds in (FOLDS, distinct):
            if 2 <= folds <= distinct:
                fold = group_folds(groups, folds, seed)
                if len(data) - max(Counter(fold).values()) >= MINIMUM_LABELS - 1:
                    return _Split(by, fold, stable=False)
    raise BadInput(
        f"There are {len(data)} measured {data.space.nouns[1]}; a proxy needs at least {MINIMUM_LABELS}. Enlarge "
        "the initial design."
    )


def _use(
    context: CampaignContext, goal: Goal, data: TrainingData, bought: Purchases, folder: Path, previous: Path | None
) -> dict[str, float]:
    config, seed, maximise = proxy_beside(context.config), proxy_seed(context), goal.sign >= 0
    key = proxy_key(config, data, seed, maximise=maximise, previous=previous)
    reused = stored_proxy(context.workspace, key) is not None
    kept = trained(context.workspace, config, data, seed, maximise=maximise, previous=previous)
    for file in kept.iterdir():
        if file.name != "training.json":  # which is written anew below
            share(file, folder / file.name)
    training = read_json(kept / "training.json")
    factor = 1.0 if config.calibration == "none" else purchase_factor(bought)
    if factor != 1.0:
        # The store keeps what depends on the measurements alone; what they were bought on is this campaign's.
        knots = np.array(training["calibration"]["knots"], dtype=np.float64).reshape(-1, 2)
        write_json(folder / CALIBRATION, {"knots": widened(Calibration(knots), factor).knots.tolist()})
    training["purchases"] = {"n": len(bought), "factor": factor}
    write_json(folder / "training.json", training)
    parts = ("heldout", "heldout_raw", "random")
    told = {"reused": float(reused), "purchases": float(len(bought)), "purchase_factor": factor}
    told |= never_metrics(training[NEVER]) if NEVER in training else {}
    return told | {f"{what}_{name}": v for what in parts for name, v in training[what].items()}
