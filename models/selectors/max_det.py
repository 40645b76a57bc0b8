"""The batch of largest determinant: greedy information gain of a Gaussian process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.linalg import cho_factor, solve_triangular

from data.records import FloatArray
from models.protocols import Pool
from models.selectors.base import BatchSelector, FeatureName, Indices, geometry_of, needs, part_in
from models.selectors.geometry import Embedded, Geometry
from models.selectors.thompson import joint_of

Row = Callable[[int], FloatArray]


class MaxDet(BatchSelector):
    """Greedy maximisation of `log det(K_S + noise I) + quality * (sum of standardised scores in S)`.

    K is the inner product of the features (min-max similarity for fingerprints), scaled to a mean diagonal of 1 and
    conditioned on the measured objects, or the proxy's own posterior covariance (`posterior`; of several
    objectives the mean of their scaled ones). Each step takes the
    largest conditional variance, weighted by the score, and updates all of them by one column of a pivoted Cholesky
    factor: O(m b (b + d)) time and O(m b) memory, and the same choice as the determinants themselves give.

    Reference: Chen, Zhang and Zhou, Fast Greedy MAP Inference for Determinantal Point Process, NeurIPS (2018); as
    batch active learning: Kirsch, van Amersfoort and Gal, BatchBALD, NeurIPS (2019).
    """

    kind = "max_det"
    cites = ("chen2018greedy", "kirsch2019batchbald")

    class Options(BatchSelector.Options):
        """Options of the largest determinant."""

        features: FeatureName | Literal["posterior"] = Field(
            "fingerprints",
            description="kernel: min-max of counts, inner product of descriptors or of the proxy's last layer "
            "or sketched gradients, or the proxy's posterior covariance",
        )
        noise: float = Field(0.01, gt=0, description="noise variance, in units of the kernel's mean diagonal")
        quality: float = Field(0.0, ge=0, description="weight of a candidate's standardised score beside the variance")
        train: bool = Field(True, description="whether to condition on the measured objects")

    @property
    def wants_joint(self) -> bool:
        """Whether the pool must have a joint posterior."""
        return bool(self.options.features == "posterior")

    @property
    def wants_train(self) -> bool:
        """Whether the features of the measured objects are used."""
        return bool(self.options.train)

    def _pick(self, pool: Pool, n: int) -> list[int]:
        diagonal, row = self._kernel(pool)
        spread = float(pool.scores.std())
        weight = self.options.quality * (pool.scores - pool.scores.mean()) / (spread if spread > 0 else 1.0)
        return greedy_log_det(diagonal, row, self.options.noise, weight, n)

    def _part(self, pool: Pool, members: Indices) -> Pool:
        return part_in(self.options.features, pool, members)

    def _kernel(self, pool: Pool) -> tuple[FloatArray, Row]:
        if self.options.features == "posterior":
            return _posterior(self, pool)
        geometry = geometry_of(self, self.options.features, pool, train=self.options.train, centre=False)
        scale = mean_diagonal(geometry)
        if not len(geometry.train_diagonal):
            return geometry.diagonal / scale, lambda i: geometry.row(i) / scale
        if isinstance(geometry, Embedded):
            conditioned = Embedded(posterior_features(geometry, scale, self.options.noise), None, centre=False)
            return conditioned.diagonal, conditioned.row
        return _conditioned(geometry, self.options.noise)


def greedy_log_det(diagonal: FloatArray, row: Row, noise: float, weight: FloatArray, n: int) -> list[int]:
    """Return n indices of a greedy maximum of `log det(K_S + noise I) + sum of weight over S`; ties to the lower index.

    Args:
        diagonal: of the kernel, shape `(m,)`.
        row: gives the kernel of all with one, shape `(m,)`.
        noise: > 0.
        weight: shape `(m,)`.
        n: at most m.
    """
    variance = diagonal + noise
    factor = np.empty((n, len(diagonal)))
    chosen: list[int] = []
    gain = np.log(variance) + weight
    while True:
        at = int(np.argmax(gain))
        chosen.append(at)
        if len(chosen) == n:
            return chosen
        k = len(chosen) - 1
        column = row(at) - factor[:k, at] @ factor[:k]
        factor[k] = column / np.sqrt(variance[at])
        # Rounding may push a copy of a chosen one below the noise that it is known to keep.
        variance = np.maximum(variance - np.square(factor[k]), noise)
        gain = np.log(variance) + weight
        gain[chosen] = -np.inf


def mean_diagonal(geometry: Geometry) -> float:
    """Return the mean kernel of members and measured objects with themselves, or 1 if all are zero."""
    both = np.concatenate([geometry.diagonal, geometry.train_diagonal])
    return float(both.mean()) or 1.0


def posterior_features(geometry: Embedded, scale: float, noise: float) -> FloatArray:
    """Return features `(m, f)` whose inner products are the posterior covariance of a linear model after the measured.

    With `Phi_t` the scaled features of the measured objects, `Phi L^-T` where `L L' = Phi_t' Phi_t / noise + I`.
    """
    gram = geometry.train.T @ geometry.train / (scale * noise)
    gram[np.diag_indices_from(gram)] += 1.0
    factor, _ = cho_factor(gram, lower=True)
    solved = solve_triangular(np.tril(factor), geometry.features.T / np.sqrt(scale), lower=True, check_finite=False)
    return np.ascontiguousarray(solved.T)


def _conditioned(geometry: Geometry, noise: float) -> tuple[FloatArray, Row]:
    kernel = geometry.train_kernel()
    kernel[np.diag_indices_from(kernel)] += noise
    factor, _ = cho_factor(kernel, lower=True)
    cross = geometry.train_block(0, len(kernel)).T
    half = solve_triangular(np.tril(factor), cross, lower=True, check_finite=False)
    left = np.maximum(geometry.diagonal - np.einsum("ij,ij->j", half, half), 0.0)
    return left, lambda i: geometry.row(i) - half[:, i] @ half


def _posterior(selector: MaxDet, pool: Pool) -> tuple[FloatArray, Row]:
    if not pool.joints:
        raise ValueError(needs(selector, "a joint posterior", "Use a proxy that has `joint`, or other `features`."))
    # The sum of kernels: what is far from another in any objective is worth asking about.
    parts = [joint_of(selector, pool, k)[1] for k in range(len(pool.joints))]
    covariance = np.mean([part / (float(part.diagonal().mean()) or 1.0) for part in parts], axis=0)
    return covariance.diagonal(), lambda i: covariance[i]
