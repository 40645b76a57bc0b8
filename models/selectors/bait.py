"""Batch of least remaining error: Fisher information by rank-one downdates, forward and backward."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from data.records import FloatArray
from models.protocols import Pool
from models.selectors.base import DistanceSelector
from models.selectors.geometry import Embedded, Fingerprinted
from models.selectors.max_det import mean_diagonal

SKETCH = 512


class Bait(DistanceSelector):
    """Greedy minimisation of `tr(A^-1 F)`: the error left on pool and measured objects by a linear model.

    `A = I + (measured + chosen outer products) / noise` and F is the mean outer product of pool and measured features.
    A choice changes A by rank one, so that two products with the feature matrix update every candidate's gain:
    O(m f^2 + m b f) time. `forward_backward` chooses twice as many and then drops, one by one, the member whose loss
    costs least. Features are scaled to a mean squared norm of 1; fingerprints, which have too many columns, are
    normalised and projected to 512 random directions.

    Reference: Ash, Goel, Krishnamurthy and Kakade, Gone Fishing: Neural Active Learning with Fisher Embeddings,
    NeurIPS (2021); in this form: Holzmüller et al., JMLR 24 (164) (2023).
    """

    kind = "bait"
    cites = ("ash2021bait", "holzmuller2023framework")
    wants_train = True

    class Options(DistanceSelector.Options):
        """Options of BAIT."""

        noise: float = Field(0.01, gt=0, description="noise variance, in units of the features' mean squared norm")
        variant: Literal["forward", "forward_backward"] = Field("forward", description="whether to overselect and drop")

    def _pick(self, pool: Pool, n: int) -> list[int]:
        features, train = self._features(pool)
        state = _Error(features, train, self.options.noise)
        most = min(2 * n, len(pool)) if self.options.variant == "forward_backward" else n
        for _ in range(most):
            state.add()
        for _ in range(most - n):
            state.drop()
        return state.chosen

    def _features(self, pool: Pool) -> tuple[FloatArray, FloatArray]:
        geometry = self.geometry(pool, train=True, centre=False)
        if isinstance(geometry, Fingerprinted):
            geometry = Embedded(*sketched(geometry), centre=False)
        assert isinstance(geometry, Embedded)
        root = np.sqrt(mean_diagonal(geometry))
        geometry.features /= root
        geometry.train /= root
        return geometry.features, geometry.train


def sketched(geometry: Fingerprinted) -> tuple[FloatArray, FloatArray]:
    """Return normalised fingerprints in fixed random directions: of members `(m, 512)`, of measured objects `(t, 512)`.

    Inner products are those of the level-coded fingerprints, in the mean over directions.
    """
    used = np.union1d(geometry.coded.indices, geometry.train.indices)
    directions = np.random.default_rng(0).standard_normal((len(used), SKETCH)) / np.sqrt(SKETCH)

    def side(coded: sparse.csr_array, size: FloatArray) -> FloatArray:
        return np.asarray(coded[:, used] @ directions) / np.sqrt(np.maximum(size, 1.0))[:, None]

    return side(geometry.coded, geometry.size), side(geometry.train, geometry.train_size)


class _Error:
    """`tr(A^-1 F)` under additions and removals.

    Attributes:
        inverse: A^-1, shape `(f, f)`.
        variance: phi' A^-1 phi of every candidate, shape `(m,)`.
        effect: phi' A^-1 F A^-1 phi of every candidate, shape `(m,)`.
    """

    def __init__(self, features: FloatArray, train: FloatArray, noise: float) -> None:
        m, width = features.shape
        self.features, self.noise = features, noise
        self.fisher = (features.T @ features + train.T @ train) / (m + len(train))
        precision = np.eye(width) + train.T @ train / noise
        self.inverse = np.eye(width) if not len(train) else cho_solve(cho_factor(precision), np.eye(width))
        self.variance, self.effect = np.empty(m), np.empty(m)
        middle = self.inverse @ self.fisher @ self.inverse
        for begin in range(0, m, 4096):  # blocks: two products as large as the features would double the memory
            block = features[begin : begin + 4096]
            self.variance[begin : begin + 4096] = np.einsum("ij,ij->i", block @ self.inverse, block)
            self.effect[begin : begin + 4096] = np.einsum("ij,ij->i", block @ middle, block)
        self.chosen: list[int] = []

    def add(self) -> None:
        gain = self.effect / (self.noise + self.variance)
        gain[self.chosen] = -np.inf
        at = int(np.argmax(gain))
        self.chosen.append(at)
        self._update(at, 1.0)

    def drop(self) -> None:
        rows = np.array(self.chosen)
        loss = self.effect[rows] / (self.noise - self.variance[rows])
        self._update(self.chosen.pop(int(np.argmin(loss))), -1.0)

    def _update(self, at: int, sign: float) -> None:
        """A +- phi phi' / noise: the inverse changes by -+ w w' with w = A^-1 phi / sqrt(noise +- variance)."""
        w = self.inverse @ self.features[at] / np.sqrt(self.noise + sign * self.variance[at])
        fw = self.fisher @ w
        along, across = (self.features @ np.column_stack([w, self.inverse @ fw])).T
        self.variance -= sign * np.square(along)
        self.effect += np.square(along) * (w @ fw) - 2.0 * sign * along * across
        self.inverse -= sign * np.outer(w, w)
