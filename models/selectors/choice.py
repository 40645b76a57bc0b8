"""From predicted objects to a batch: makes what the selector asks for, of the shortlist only, and lets it choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from data.records import FloatArray, Prediction
from models.acquisition.base import is_logarithm
from models.featurisers.base import featuriser_of
from models.protocols import (
    Acquisition,
    Array,
    Drawn,
    EmbeddingProxy,
    Joint,
    JointProxy,
    Pool,
    Proxy,
    Rescore,
    Scoring,
    Selector,
)
from models.selectors.base import BatchSelector, shortlist
from models.spaces.base import BaseSpace

DESCRIPTOR_LIMIT = 5.0
"""A standardised descriptor counts for no more: one odd object must not be all that distances see."""


def choose(
    selector: Selector,
    acquisition: Acquisition,
    proxies: tuple[Proxy, ...],
    about: Scoring,
    objects: Sequence[str],
    predictions: tuple[Prediction, ...],
    scored: FloatArray,
    n: int,
    *,
    space: BaseSpace[Any],
    seed: int,
) -> list[int]:
    """Return at most n distinct indices into `objects`, in the order of choice.

    Args:
        selector: chooses.
        acquisition: what the scores are of; selectors that believe or penalise ask it again.
        proxies: one fitted per objective, seen through its goal; they give joint draws and coordinates where the
            selector wants them.
        about: what is known in the round, its `objects` being the measured ones.
        objects: m candidates.
        predictions: of the m candidates, by those proxies.
        scored: shape `(m,)`, no NaN; minus infinity forbids a candidate.
        n: size of the batch.
        space: of the candidates.
        seed: of selectors that draw.

    Raises:
        ValueError: a score is NaN, or the selector needs what a proxy does not have.
    """
    limit = selector.limit(n) if isinstance(selector, BatchSelector) else None
    # In the order given, not by score: a selector of a third party may break ties by index.
    members = np.sort(shortlist(scored, limit))
    if not len(members) or n <= 0:
        return []
    names = [objects[i] for i in members]
    fingerprints, coordinates, known = coordinates_of(selector, proxies, names, about.objects, space)
    pool = Pool(
        scores=np.asarray(scored, dtype=np.float64)[members],
        predictions=tuple(one.part(members) for one in predictions),
        about=about,
        fingerprints=fingerprints,
        features=coordinates,
        train_features=known,
        joints=_joints(proxies, names),
        rescore=_rescore(acquisition, about, names),
        log_scores=is_logarithm(acquisition),
        seed=seed,
        objects=tuple(names),
    )
    return [int(members[i]) for i in selector.select(pool, n)]


def coordinates_of(
    selector: Selector,
    proxies: tuple[Proxy, ...],
    objects: Sequence[str],
    measured: Sequence[str],
    space: BaseSpace[Any],
) -> tuple[Array | None, FloatArray | None, Array | None]:
    """Return fingerprints, features and the measured objects' features, each None where the selector looks at none.

    Raises:
        ValueError: the selector takes distances in a network's coordinates and a proxy has none.
    """
    kind = getattr(getattr(selector, "options", None), "features", None)
    if kind is None and getattr(selector, "wants_nearness", False):
        kind = "fingerprints"
    wants_train = bool(getattr(selector, "wants_train", kind is None)) and len(measured) > 0
    if kind == "posterior" or (kind is None and isinstance(selector, BatchSelector)):
        return None, None, None
    if kind in (None, "fingerprints"):
        near, known = space.nearness.features(objects), space.nearness.features(measured) if wants_train else None
        if near.counts.shape[1]:
            return near.counts, None, None if known is None else known.counts
        return None, near.dense, None if known is None else known.dense
    both = [*objects, *(measured if wants_train else ())]
    if kind == "descriptors":
        table = _standardised(featuriser_of(space.features)(both).dense)
    else:
        table = np.hstack([_embedded(proxy, both, kind) for proxy in proxies])
    return None, table[: len(objects)], table[len(objects) :] if wants_train else None


def _standardised(table: FloatArray) -> FloatArray:
    spread = table.std(0)
    varied = spread > 1e-9 * np.maximum(1.0, np.abs(table.mean(0)))
    z = (table[:, varied] - table[:, varied].mean(0)) / spread[varied]
    return np.asarray(z.clip(-DESCRIPTOR_LIMIT, DESCRIPTOR_LIMIT))


def _embedded(proxy: Proxy, objects: Sequence[str], kind: str) -> FloatArray:
    if not isinstance(proxy, EmbeddingProxy):
        raise ValueError(
            f"Distances in {kind} need a proxy that is a network and has `embed`; {type(proxy).__name__} has none. Use "
            "features: fingerprints or descriptors."
        )
    return np.asarray(proxy.embed(objects, "gradient" if kind == "gradient" else "last_layer"), dtype=np.float64)


def _joints(proxies: tuple[Proxy, ...], names: list[str]) -> tuple[Joint, ...]:
    joints = tuple(_joint(proxy, names) for proxy in proxies if isinstance(proxy, JointProxy))
    return joints if len(joints) == len(proxies) else ()


def _joint(proxy: JointProxy, names: list[str]) -> Joint:
    return lambda indices: proxy.joint([names[i] for i in indices])


def _rescore(acquisition: Acquisition, about: Scoring, names: list[str]) -> Rescore:
    def rescore(indices: Sequence[int], predictions: tuple[Prediction, ...], believed: FloatArray) -> FloatArray:
        some = tuple(names[i] for i in indices)
        return acquisition.score(predictions, replace(believing(about, believed), objects=some))

    return rescore


def believing(about: Scoring, believed: FloatArray) -> Scoring:
    """Return what is known if more objects are believed to be measured.

    Args:
        about: what is known.
        believed: signed values, shape `(b, K)`.
    """
    if not len(believed):
        return about
    extra = Scoring(measured=believed, limits=about.limits, improved=about.improved)
    best = about.predicted_best
    if best is not None and extra.best is not None:  # else the best of all that is measured is looked up
        best = max(best, extra.best)
    measured = np.vstack([about.measured, believed]) if len(about.measured) else believed
    allowed = None if about.allowed is None else np.append(about.allowed, np.ones(len(believed), dtype=bool))
    drawn = about.drawn
    if drawn is not None:  # what is believed is believed for certain
        known = np.broadcast_to(believed, (len(drawn.values), *believed.shape))
        drawn = Drawn(np.concatenate([drawn.values, known], axis=1), drawn.noise)
    return replace(about, measured=measured, allowed=allowed, predicted_best=best, drawn=drawn)
