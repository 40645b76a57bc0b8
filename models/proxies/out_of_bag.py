"""Predictive variance of a bootstrapped ensemble, its three parts fitted to out-of-bag errors.

    variance(x) = a v(x) + s^2 + w(x),   w(x) = 1 - exp(-d(x)^2 / (2 l^2))

in standardised units: v is the variance between members, s^2 the noise, and w what the members cannot know, from the
distance d to the nearest training row: they agree with each other far from the data, where trees return the value of
their last leaf and networks their common trend. Far away the variance is thus at least that of the target itself. The
three numbers a, s^2 and l maximise the normal likelihood of the errors at rows that a member did not train on, with d
to the nearest other row.

References: out-of-bag errors, Breiman, Machine Learning 45, 5 (2001); Poisson weights for the bootstrap, Oza and
Russell, AISTATS (2001); distance awareness, Liu et al., NeurIPS (2020), from which only the idea is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray

SPREADS = (0.25, 0.5, 1.0, 2.0, 4.0)
_NOISES = tuple(np.logspace(-4, 0.5, 19).tolist())
_LENGTHS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def poisson_weights(keys: Sequence[bytes], members: int, seed: int) -> NDArray[np.int64]:
    """Return how often each member sees each row, shape `(members, n)`: independent Poisson(1) draws.

    The draw belongs to the object (`keys`: 16 bytes for each) and the seed. Hence replicates share their members, the
    order of the rows does not matter, and a later training leaves out the same members for a row as an earlier one.
    A member that would see fewer than two rows sees all.
    """
    columns = [
        np.random.default_rng([seed, *np.frombuffer(key, dtype=np.uint32).tolist()]).poisson(1.0, members)
        for key in keys
    ]
    weights = np.stack(columns, axis=1).astype(np.int64)
    weights[(weights > 0).sum(1) < 2] = 1
    return weights


def out_of_bag(members: FloatArray, weights: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance over the members that did not see a row, each `(n,)`; NaN where all did.

    Args:
        members: predictions of the training rows, shape `(M, n)`.
        weights: as from `poisson_weights`, shape `(M, n)`.
    """
    out = weights == 0
    count = out.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, (members * out).sum(0) / count, np.nan)
        squares = (np.square(members - mean) * out).sum(0)
        variance = np.where(count > 1, squares / np.maximum(count - 1, 1), 0.0)
    return mean, variance


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """The three numbers of the variance, for a standardised target."""

    spread: float
    noise: float
    length: float

    def ignorance(self, distance: FloatArray) -> FloatArray:
        """Return w of n distances, shape `(n,)`, in [0, 1)."""
        return np.asarray(-np.expm1(-0.5 * np.square(distance / self.length)))

    def variance(self, spread: FloatArray, distance: FloatArray) -> FloatArray:
        """Return the variance of a new measurement, shape `(n,)`.

        Args:
            spread: variance between members, shape `(n,)`.
            distance: to the nearest training row, shape `(n,)`.
        """
        return self.spread * spread + self.noise + self.ignorance(distance)


def fit_uncertainty(
    error: FloatArray, spread: FloatArray, distance: FloatArray, *, min_noise: float, spreads: Sequence[float] = SPREADS
) -> Uncertainty:
    """Return the uncertainty of maximal likelihood on a grid.

    Args:
        error: out-of-bag errors of the standardised target, shape `(n,)`; NaN where every member saw the row.
        spread: out-of-bag variance between members, shape `(n,)`.
        distance: to the nearest other training row, shape `(n,)`.
        min_noise: least noise variance.
        spreads: factors of the spread to choose from.
    """
    known = np.isfinite(error)
    positive = distance[distance > 0]
    typical = float(np.median(positive)) if len(positive) else 1.0
    if not known.any():
        return Uncertainty(1.0, 1.0, typical)
    square, v, d = np.square(error[known]), spread[known], distance[known]
    best, found = np.inf, Uncertainty(1.0, 1.0, typical)
    noises = [noise for noise in (min_noise, *_NOISES) if noise >= min_noise]
    for factor, noise, multiple in product(spreads, noises, _LENGTHS):
        trial = Uncertainty(factor, noise, multiple * typical)
        variance = trial.variance(v, d)
        loss = float((np.log(variance) + square / variance).sum())
        if loss < best:
            best, found = loss, trial
    return found
