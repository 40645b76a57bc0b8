"""Retraining: a challenger on every measurement in the ledger against the champion, promoted only if it is better.

Two comparisons, both on objects that neither side saw:
* the fixed hold-out: a fifth of all families, by hash, so that an object never changes sides as data grow;
  both sides are refitted without it;
* the newest measurements, which the champion was not trained on: the champion as it is, the challenger refitted without
  a fifth of them at a time, families whole. Older members of these families stay in: the champion had them too.
What makes a challenger better is said in `models/proxies/gate.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.config import digest
from data.ledger.campaigns import now
from data.ledger.measured import identities_of, measurements
from data.records import JsonDict, Prediction
from models.parts import oracle_name, proxy_beside, space_of, units_of
from models.protocols import Proxy
from models.proxies.calibration import calibrated, fit_calibration
from models.proxies.checks import MINIMUM_LABELS
from models.proxies.evaluation import group_folds, metrics
from models.proxies.gate import Compared, compare, decide, figures_of
from models.registry import build
from models.spaces.base import BaseSpace
from tasks.champions import crown, inputs_of, judged, refusal, rolled_back
from tasks.oracles.booking import book_of
from tasks.reporting.registering import register
from tasks.stages import BadInput, CampaignContext, CampaignRef
from tasks.storage import load_proxy, read_json, with_objects, write_json
from tasks.tracking import Tracker, required
from tasks.train_proxy import FOLDS, TrainingData, heldout_of, proxy_seed, stored_proxy, trained

HOLDOUT_PARTS = 5
"""One family in this many is held out."""

MINIMUM = 5
"""Objects without which a comparison says nothing, and a proxy learns nothing."""


@task(name="train challenger", cache_policy=NO_CACHE, persist_result=False)
def train_challenger(ref: CampaignRef) -> str:
    """Train the campaign's proxy on every measurement of its oracle in the ledger; return its key.

    Raises:
        BadInput: there are too few measurements.
    """
    with ref.open() as context:
        data = all_measurements(context)
        if len(data) < MINIMUM_LABELS:
            oracle = oracle_name(context.config, _main_part(context))
            raise BadInput(
                f"The ledger has {len(data)} measurements of {oracle}; a proxy needs at least {MINIMUM_LABELS}. "
                "`discover run` the campaign first."
            )
        config, seed = proxy_beside(context.config), proxy_seed(context)
        return trained(context.workspace, config, data, seed, maximise=context.maximise).name


@task(name="compare with champion", cache_policy=NO_CACHE, persist_result=False)
def compare_with_champion(ref: CampaignRef, challenger: str) -> JsonDict:
    """Compare a challenger with the registry's champion; returns the figures and the decision with its reason."""
    with ref.open() as context:
        with required(context.workspace):
            champion = Tracker(context.workspace, context.campaign).champion()
        folder = stored_proxy(context.workspace, challenger)
        if folder is None:
            raise BadInput(f"There is no trained proxy {challenger!r} in the workspace; run `discover retrain` again.")
        base: JsonDict = {
            "challenger": challenger,
            "n_challenger": read_json(folder / "training.json")["n"],
            "inputs": _inputs(context, folder),
            "gate": {},
        }
        if champion is None:
            data = stored_data(folder, space_of(context.config))
            heldout = heldout_of(pd.read_csv(folder / "heldout.csv"))
            base |= {
                "n_heldout": len(data),
                "heldout_challenger": metrics(heldout, data.values, maximise=context.maximise),
            }
            return {**base, "promote": True, "reason": "There is no champion yet."}
        version, key = champion
        base |= {"champion": key, "champion_version": version}
        if key == challenger:
            base["n_champion"] = base["n_challenger"]
            reason = "The champion was trained on the same data: nothing is new."
            return {**base, "promote": False, "nothing_new": True, "reason": reason}
        old = stored_proxy(context.workspace, key)
        if old is None:
            reason = f"The champion, version {version}, is not in this workspace any more, so it cannot be compared."
            return {**base, "promote": False, "reason": reason}
        base["n_champion"] = read_json(old / "training.json")["n"]
        with required(context.workspace):
            tracker = Tracker(context.workspace, context.campaign)
            refused = rolled_back(tracker, challenger)
            known = refusal(tracker, challenger, version)
            before = inputs_of(tracker, version) or {"features": _inputs(context, old)["features"]}
        if refused is not None:
            reason = (
                f"Version {refused.number}, trained on the same data, was rolled back {refused.rolled_back}; new "
                "measurements make another one, and `discover rollback` with --to takes this one nevertheless."
            )
            return {**base, "promote": False, "nothing_new": True, "reason": reason}
        if known:
            return {**base, "promote": False, "nothing_new": True, "reason": f"Nothing is new. {known}"}
        differing = [
            f"{name} {before[name]}, now {value}"
            for name, value in base["inputs"].items()
            if name in before and before[name] != value
        ]
        return {**base, **_compare(context, old, folder, differing)}


def _inputs(context: CampaignContext, folder: Path) -> JsonDict:
    """Return what two proxies must share for their figures to mean the same, in words."""
    place = context.goals.index(context.goals.main)
    reading = context.config.readings[place]
    spec = read_json(folder / "proxy.json")
    return {
        "objective": context.goals.main.name,
        "unit": units_of(context.config).get(context.goals.main.name, ""),
        "oracle": f"{oracle_name(context.config, reading.part)} {book_of(context, reading.part).identity[:12]}",
        # Its options, not its key: that holds versions of libraries, and an update is no other question.
        "space": f"{context.config.space.kind} {digest(space_of(context.config).config())[:12]}",
        "features": json.dumps(spec.get("features", ""), sort_keys=True),
    }


@task(name="promote", cache_policy=NO_CACHE, persist_result=False)
def promote(ref: CampaignRef, comparison: JsonDict) -> JsonDict:
    """Register the challenger, log the comparison, and move the alias `champion` if the challenger is better.

    Raises:
        TrackingError: MLflow cannot be used.
    """
    with ref.open() as context, required(context.workspace):
        tracker = Tracker(context.workspace, context.campaign)
        folder = context.workspace.home / "proxies" / comparison["challenger"]
        if comparison.get("nothing_new"):
            return _nothing_new(context, tracker, comparison)
        run = tracker.client.create_run(
            tracker.experiment(),
            run_name="retrain",
            tags={"discovery.what": "retrain", "discovery.challenger": comparison["challenger"]},
        ).info.run_id
        place = context.goals.index(context.goals.main)
        version = register(context, tracker, run, folder, place, "on every measurement, by `discover retrain`")
        against = "" if comparison["promote"] else str(comparison.get("champion_version", ""))
        judged(tracker, version, comparison["reason"], comparison["gate"], comparison["inputs"], against)
        if comparison["promote"]:
            crown(tracker, version, comparison["reason"])
        result = {**comparison, "version": version}
        tracker.tags(run, {"discovery.promoted": str(comparison["promote"]), "discovery.reason": comparison["reason"]})
        tracker.metrics(run, [_flat_metrics(comparison)])
        report = context.folder / "retrain"
        report.mkdir(parents=True, exist_ok=True)
        write_json(report / "comparison.json", result)
        tracker.artifacts(run, report, "retrain")
        tracker.client.set_terminated(run)
        return {**result, "run_id": run}


def _nothing_new(context: CampaignContext, tracker: Tracker, comparison: JsonDict) -> JsonDict:
    """Leave a line on the campaign's run: a nightly schedule would fill the list with runs that did nothing."""
    run = tracker.run()
    told = f"{now()}: nothing new since version {comparison['champion_version']}. {comparison['reason']}"
    tracker.tags(run, {"discovery.retrained": told})
    result = {**comparison, "version": comparison["champion_version"]}
    report = context.folder / "retrain"
    report.mkdir(parents=True, exist_ok=True)
    write_json(report / "comparison.json", result)
    return {**result, "run_id": run}


def _main_part(context: CampaignContext) -> str:
    """Return the oracle that the campaign's main objective reads: it is its proxy that is retrained."""
    return context.config.readings[context.goals.index(context.goals.main)].part


def all_measurements(context: CampaignContext) -> TrainingData:
    """Return every measurement of the main objective in the ledger, and the labels that the campaign imported.

    Raises:
        BadInput: the campaign's own are of another oracle than the one that stands in its files now.
    """
    reading = context.config.readings[context.goals.index(context.goals.main)]
    identity = book_of(context, reading.part).identity
    own = identities_of(context.ledger, context.campaign.id, reading.part)
    if own and identity not in own:
        raise BadInput(
            "The measurements of this campaign are of the oracle as it was: its module, an option or a file that it "
            "names has changed since, and what the ledger has of the changed one is another's. `discover run` says "
            "which; restore it, and retrain."
        )
    rows = measurements(context.ledger, identity, context.campaign.id, reading.output)
    every = pd.DataFrame(rows, columns=["object_id", "object", "value"]).rename(columns={"object_id": "id"})
    frame = every.groupby("id", as_index=False).agg({"object": "first", "value": "mean"})
    repeats = {str(key): own.tolist() for key, own in every.groupby("id")["value"] if len(own) > 1}
    return TrainingData.of(frame, space_of(context.config), repeats=repeats)


def in_holdout(data: TrainingData) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which objects `(n,)` are held out for good: by the hash of their family."""
    return np.array([int(digest(["holdout", group])[:8], 16) % HOLDOUT_PARTS == 0 for group in data.groups()])


def _compare(context: CampaignContext, champion: Path, challenger: Path, differing: Sequence[str]) -> JsonDict:
    space = space_of(context.config)
    everything, before = stored_data(challenger, space), stored_data(champion, space)
    held = everything.keep(in_holdout(everything))
    seed, maximise = proxy_seed(context), context.maximise
    figures: JsonDict = {}
    compared: dict[str, Compared] = {}

    def put(where: str, theirs: Prediction, ours: Prediction, data: TrainingData) -> None:
        for side, prediction in (("champion", theirs), ("challenger", ours)):
            figures[f"{where}_{side}"] = metrics(prediction, data.values, maximise=maximise)
        compared[where] = compare(theirs, ours, data.values, data.groups(), seed=seed)

    seen_by = {"champion": before.keep(~in_holdout(before)), "challenger": everything.keep(~in_holdout(everything))}
    if not differing and min(len(held), *(len(seen) for seen in seen_by.values())) >= MINIMUM:
        theirs, ours = (
            _refitted(folder, seen_by[side], seed).predict(held.objects)
            for side, folder in (("champion", champion), ("challenger", challenger))
        )
        put("holdout", theirs, ours, held)
    newest = everything.keep(unseen(everything, before))
    if not differing and len(newest) >= MINIMUM:
        ours = _without_each(challenger, everything, newest, seed)
        put("newest", load_proxy(champion).predict(newest.objects), ours, newest)
    verdict = decide(compared, differing)
    return {
        "n_champion": len(before),
        "n_holdout": len(held),
        "n_newest": len(newest),
        **figures,
        "gate": figures_of(compared),
        "promote": verdict.promote,
        "reason": verdict.reason,
    }


def unseen(data: TrainingData, before: TrainingData) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which of n rows are of objects that others had no measurement of; a repetition of one is not new."""
    known = set(before.owners)
    return np.array([owner not in known for owner in data.owners], dtype=bool)


def _without_each(folder: Path, everything: TrainingData, newest: TrainingData, seed: int) -> Prediction:
    """Return predictions of the newest objects by proxies that did not see them, nor the newest of their families."""
    groups = newest.groups()
    fold = np.array(group_folds(groups, min(FOLDS, len(set(groups))), seed))
    mean, std, freedom = (np.empty(len(newest)) for _ in range(3))
    for k in np.unique(fold).tolist():
        asked = newest.keep(fold == k)
        left_out = set(asked.ids)
        seen = everything.keep(np.array([key not in left_out for key in everything.ids], dtype=bool))
        prediction = _refitted(folder, seen, seed).predict(asked.objects)
        mean[fold == k], std[fold == k] = prediction.mean, prediction.std
        freedom[fold == k] = np.inf if prediction.freedom is None else prediction.freedom
    return Prediction(mean, std, None if np.isinf(freedom).all() else freedom)


def _refitted(folder: Path, seen: TrainingData, seed: int) -> Proxy:
    """Return the stored kind of proxy, trained and calibrated on some of its objects only."""
    rows = pd.read_csv(folder / "heldout.csv")
    rows = rows[rows["id"].isin(set(seen.ids))]
    # A proxy of before there was calibration has none.
    method = read_json(folder / "training.json").get("calibration", {"method": "none"})["method"]
    heldout = heldout_of(rows, "std" if method == "none" else "raw_std")
    calibration = fit_calibration(method, heldout, rows["value"].to_numpy())
    proxy = calibrated(build("proxy", read_json(folder / "proxy.json")), calibration)
    proxy.fit(seen.objects, seen.values, seed=seed)
    return proxy


def stored_data(folder: Path, space: BaseSpace[Any]) -> TrainingData:
    """Return what a stored proxy was trained on."""
    frame = with_objects(pd.read_csv(folder / "heldout.csv", dtype="str", keep_default_na=False))  # `NA` is a text too
    # Python's own conversion gives back the bits that were written; that of pandas 2 does not.
    return TrainingData.of(frame.assign(value=frame["value"].map(float)), space)


def _flat_metrics(comparison: JsonDict) -> dict[str, float | None]:
    flat: dict[str, float | None] = {}
    for key, value in comparison.items():
        if key == "inputs":
            continue
        if isinstance(value, dict):
            flat |= {f"{key}_{name}": float(figure) for name, figure in value.items()}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[key] = float(value)
    return flat
