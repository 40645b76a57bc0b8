"""What all selectors share: who may be chosen, in which order ties fall, and where distances are taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from data.records import FloatArray
from models.protocols import Array, Joint, Pool, Rescore
from models.registry import Component
from models.selectors.geometry import Embedded, Fingerprinted, Geometry

Indices = NDArray[np.intp]
FeatureName = Literal["fingerprints", "descriptors", "last_layer", "gradient"]


def ranking(scores: FloatArray) -> Indices:
    """Return all indices, the best score first and ties by index.

    Raises:
        ValueError: a score is NaN, which has no place in an order, or infinite, beside which no other counts.
    """
    scores = np.asarray(scores, dtype=np.float64)
    bad = np.isnan(scores) | np.isposinf(scores)
    if bad.any():
        raise ValueError(
            f"Scores must be numbers; {int(bad.sum())} of {len(scores)} are NaN or infinite, the first at index "
            f"{int(np.flatnonzero(bad)[0])}. Look at the proxy's prediction of that molecule."
        )
    return np.argsort(-scores, kind="stable")


def shortlist(scores: FloatArray, limit: int | None) -> Indices:
    """Return the `limit` best of the candidates that are not forbidden, best first, ties by index; None: all of them.

    Raises:
        ValueError: a score is NaN.
    """
    order = ranking(scores)
    order = order[np.asarray(scores)[order] > -np.inf]
    return order if limit is None else order[:limit]


class BatchSelector(Component):
    """Base of all selectors: takes the shortlist out of the pool, best score first, and lets `_pick` choose from it."""

    group = "selector"

    @property
    def wants_joint(self) -> bool:
        """Whether the pool must have a joint posterior."""
        return False

    @property
    def wants_information(self) -> bool:
        """Whether a proxy must know what an answer would tell."""
        return False

    @property
    def of_one_objective(self) -> bool:
        """Whether it looks at one objective to improve, and makes no sense for several."""
        return False

    @property
    def wants_train(self) -> bool:
        """Whether the features of the measured objects are used where the pool has them."""
        return False

    @property
    def wants_nearness(self) -> bool:
        """Whether the pool must have what the space takes nearness by, whatever the options."""
        return False

    class Options(Component.Options):
        """Options of every selector but the plainest."""

        pool: int | None = Field(200, ge=1, description="best scores to choose from, at least the batch; null: all")

    def select(self, pool: Pool, n: int) -> list[int]:
        """Return at most n distinct indices into `pool.scores`, in the order of choice.

        Raises:
            ValueError: a score is NaN, or the pool lacks a part that this selector needs.
        """
        limit = self.limit(n)
        members = shortlist(pool.scores, limit)
        n = min(n, len(members))
        if n <= 0:
            return []
        return [int(members[i]) for i in self._pick(self._part(pool, members), n)]

    def limit(self, n: int) -> int | None:
        """Return how many of the best scores a batch of n is chosen from, None for all."""
        size = getattr(self.options, "pool", None)
        return None if size is None else max(int(size), n)

    def _part(self, pool: Pool, members: Indices) -> Pool:
        return part_of(pool, members)

    def _pick(self, pool: Pool, n: int) -> list[int]:
        """Return n distinct indices into the shortlist `pool`, which is sorted by score; 1 <= n <= len(pool)."""
        raise NotImplementedError


def part_of(pool: Pool, members: Indices, *, fingerprints: bool = True, features: bool = True) -> Pool:
    """Return the pool of some members, in the order given.

    Args:
        pool: the whole.
        members: indices into it.
        fingerprints: whether to take the fingerprints along, which are large.
        features: whether to take the features along.
    """
    return replace(
        pool,
        scores=np.asarray(pool.scores, dtype=np.float64)[members],
        predictions=tuple(prediction.part(members) for prediction in pool.predictions),
        fingerprints=pool.fingerprints[members] if fingerprints and pool.fingerprints is not None else None,
        features=pool.features[members] if features and pool.features is not None else None,
        joints=tuple(_joint_of(joint, members) for joint in pool.joints),
        objects=tuple(pool.objects[i] for i in members) if pool.objects else (),
        rescore=None if pool.rescore is None else _rescore_of(pool.rescore, members),
    )


def _joint_of(joint: Joint, members: Indices) -> Joint:
    return lambda indices: joint(members[np.asarray(indices, dtype=np.intp)].tolist())


def _rescore_of(rescore: Rescore, members: Indices) -> Rescore:
    return lambda indices, predictions, believed: rescore(
        members[np.asarray(indices, dtype=np.intp)].tolist(), predictions, believed
    )


class DistanceSelector(BatchSelector):
    """Base of selectors that look at how far apart candidates are."""

    class Options(BatchSelector.Options):
        """Options of selectors that look at distances."""

        features: FeatureName = Field(
            "fingerprints",
            description="where distances are taken: fingerprints (what the space takes nearness by), or Euclidean in "
            "descriptors or in the proxy's last layer or sketched gradients",
        )

        def cited(self) -> tuple[str, ...]:
            """Return the paper of sketched gradients."""
            return ("holzmuller2023framework",) if self.features == "gradient" else ()

    def _part(self, pool: Pool, members: Indices) -> Pool:
        return part_in(self.options.features, pool, members)

    def geometry(self, pool: Pool, *, train: bool, centre: bool = True) -> Geometry:
        """Return the inner products of the pool's members.

        Args:
            pool: with fingerprints or features, as the option `features` says.
            train: whether to look at the measured objects too.
            centre: whether the features' mean may be subtracted: distances do not change, and lose fewer digits.

        Raises:
            ValueError: the pool lacks what the option names.
        """
        return geometry_of(self, self.options.features, pool, train=train, centre=centre)


def part_in(features: str, pool: Pool, members: Indices) -> Pool:
    """Return the pool of some members with the coordinates that the option `features` names, and no others."""
    in_counts = features == "fingerprints"
    return part_of(pool, members, fingerprints=in_counts, features=not in_counts)


def geometry_of(selector: Component, features: str, pool: Pool, *, train: bool, centre: bool) -> Geometry:
    """Return the inner products of a pool's members; see `DistanceSelector.geometry`."""
    known: Array | None = pool.train_features if train else None
    if features == "fingerprints":
        if pool.fingerprints is None:
            raise ValueError(needs(selector, "fingerprints", "Give the pool counts."))
        return Fingerprinted(pool.fingerprints, known)
    if pool.features is None:
        raise ValueError(needs(selector, f"features ({features})", "Give the pool the features that the option names."))
    return Embedded(pool.features, known, centre=centre)


def needs(selector: Component, what: str, step: str) -> str:
    """Return the sentence for a pool that lacks a part."""
    return f"The selector {selector.kind!r} needs a pool with {what}; this pool has none. {step}"
