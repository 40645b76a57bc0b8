"""Whether a champion is out of date: what was measured since is unlike what it learnt from, or it errs more on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.records import JsonDict
from models.featurisers.base import Featuriser
from models.parts import proxy_beside, proxy_spec, space_of
from models.proxies.evaluation import surprises
from models.proxies.feature_shift import FEWEST, MOST, feature_shift
from models.proxies.gate import paired_interval
from models.registry import build
from tasks.retrain import all_measurements, stored_data, unseen
from tasks.stages import CampaignContext, CampaignRef
from tasks.storage import load_proxy
from tasks.tracking import Tracker, required
from tasks.train_proxy import TrainingData, heldout_of, proxy_seed, stored_proxy

NAMED = 4


@task(name="look for drift", cache_policy=NO_CACHE, persist_result=False)
def look_for_drift(ref: CampaignRef) -> JsonDict:
    """Compare what was measured since the champion was trained with what it learnt from.

    Returns:
        `drifted`, and `reason`, a sentence with the evidence. Without a champion, or with one that is not in the
        workspace, there is reason to retrain.
    """
    with ref.open() as context:
        with required(context.workspace):
            champion = Tracker(context.workspace, context.campaign).champion()
        folder = None if champion is None else stored_proxy(context.workspace, champion[1])
        if champion is None or folder is None:
            return {"drifted": True, "reason": "There is no champion here to keep."}
        before, everything = stored_data(folder, space_of(context.config)), all_measurements(context)
        newest = everything.keep(unseen(everything, before))
        told = f"{len(newest)} measurements since champion version {champion[0]}"
        if len(newest) < FEWEST:
            return {"drifted": False, "reason": f"{told}: below {FEWEST} nothing can be told of drift."}
        evidence = [*_moved(context, before, newest), *_errs(context, folder, newest)]
        if evidence:
            return {"drifted": True, "reason": f"{told}: {'; '.join(evidence)}."}
        return {"drifted": False, "reason": f"{told}: no feature moved, and the champion errs no more than it said."}


def _moved(context: CampaignContext, before: TrainingData, newest: TrainingData) -> list[str]:
    """Return which features of the newest objects moved; nothing where the features have no names."""
    proxy = build("proxy", proxy_spec(proxy_beside(context.config), space_of(context.config)))
    featuriser = getattr(proxy, "featuriser", None)
    names = featuriser.names().dense if isinstance(featuriser, Featuriser) else ()
    if not isinstance(featuriser, Featuriser) or not names or len(before) < FEWEST:
        return []
    sides = [featuriser.partly(list(one.objects[:MOST]), dense=True, kinds=()).dense for one in (before, newest)]
    moved = feature_shift(sides[0], sides[1], names, seed=proxy_seed(context))
    found = {one.name: one.deviations for one in reversed(moved)}
    if not found:
        return []
    first = ", ".join(f"{name} {far:+.1f}" for name, far in list(found.items())[::-1][:NAMED])
    return [f"{len(found)} of {len(set(names))} features moved (in deviations: {first})"]


def _errs(context: CampaignContext, folder: Path, newest: TrainingData) -> list[str]:
    """Return that the champion is more surprised by the newest values than it was by what it was tested on."""
    rows = pd.read_csv(folder / "heldout.csv")
    tested = float(surprises(heldout_of(rows), rows["value"].to_numpy(dtype=np.float64)).mean())
    found = surprises(load_proxy(folder).predict(list(newest.objects)), newest.values)
    low, high = paired_interval(found - tested, newest.groups(), seed=proxy_seed(context))
    if low <= 0.0:
        return []
    return [f"its NLL is {found.mean():.2f} on them, {tested:.2f} held out (difference {low:+.2f} to {high:+.2f})"]
