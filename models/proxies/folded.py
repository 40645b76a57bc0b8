"""The distance of a normal value from zero: the folded normal distribution, of one value and of several together."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_ndtr

from data.records import FloatArray

CITES = ("leone1961folded", "price1958theorem", "papoulis1991probability")
"""Keys of its papers."""

_TERMS = 8
"""Of the expansion of a covariance: for two copies at the target they are 98 % of it, elsewhere more."""

_TINY = 1e-150


def folded(mean: FloatArray, std: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of |X|, each `(n,)`, X being normal.

    With z = |mean| / std and h = phi(z) - z Phi(-z) they are `std (z + 2h)` and `std sqrt(1 - 4h (z + h))`: nothing
    cancels far from zero, where |X| is X.

    Reference: Leone, Nelson and Nottingham, The Folded Normal Distribution, Technometrics 3, 543 (1961).

    Args:
        mean: shape `(n,)`.
        std: shape `(n,)`, >= 0.
    """
    width = np.maximum(std, _TINY)
    z = np.minimum(np.abs(mean) / width, 1e8)
    h = np.maximum(_phi(z) - z * np.exp(log_ndtr(-z)), 0.0)
    return np.abs(mean) + 2.0 * std * h, std * np.sqrt(1.0 - 4.0 * h * (z + h))


def folded_covariance(mean: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return the covariance of |X|, shape `(n, n)`, X being jointly normal.

    `sum over m >= 1 of c^m / m! E g^(m)(X_i) E g^(m)(X_j)` with g the absolute value and c the covariance, of which the
    first terms are taken. Each is positive semi-definite, so is their sum, and the variance that is left over, which is
    not negative, goes to the diagonal: variances are exact.

    Reference: Price, IRE Trans. Inf. Theory 4, 69 (1958); as a Hermite expansion: Papoulis, Probability, Random
    Variables and Stochastic Processes (1991), section 7.

    Args:
        mean: shape `(n,)`.
        covariance: shape `(n, n)`, positive semi-definite.
    """
    std = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
    width = np.maximum(std, _TINY)
    z = mean / width
    correlation = covariance / width[:, None] / width
    total, power = np.zeros_like(covariance), np.ones_like(covariance)
    for m in range(1, _TERMS + 1):
        power = power * correlation
        slope = _slope(z, m)
        total += power * slope[:, None] * slope / math.factorial(m)
    total *= std[:, None] * std
    total[np.diag_indices_from(total)] = np.maximum(total.diagonal(), np.square(folded(mean, std)[1]))
    return 0.5 * (total + total.T)


def _slope(z: FloatArray, m: int) -> FloatArray:
    """`std^(m - 1) E g^(m)(X)`: the sign's mean, then derivatives of a delta function by Hermite polynomials."""
    if m == 1:
        return np.asarray(np.sign(z) * (1.0 - 2.0 * np.exp(log_ndtr(-np.abs(z)))))
    hermite = np.polynomial.hermite_e.hermeval(-np.clip(z, -40.0, 40.0), [0.0] * (m - 2) + [1.0])
    return np.asarray(2.0 * hermite * _phi(z))


def _phi(z: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-0.5 * np.square(z)) / math.sqrt(2.0 * math.pi))
