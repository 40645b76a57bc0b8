"""A length-scale for each dense feature: which variables matter is learnt with the Gaussian process.

The covariance is `a Matern52(|(x - x') / l|) + s^2 I` with a vector l; the mean is integrated out as in `kriging`. The
logarithms of the length-scales have a normal prior that grows with the square root of the number of features p: far
points of a box in p dimensions are sqrt(p) apart, and without it a dozen measurements make all features matter or none.

References: Rasmussen and Williams (2006), section 5.1; Hvarfner, Hellsten and Nardi, Vanilla Bayesian optimization
performs great in high dimensions, ICML 2024, arXiv:2402.02229 (the prior).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize

from data.records import FloatArray
from models.proxies.kriging import Hyperparameters, projected_likelihood
from models.threads import one_blas_thread

MOST_POINTS = 400
"""Labels that choose length-scales; each evaluation of their likelihood costs as many squared, times the features."""

FEWEST_STARTS = 4
"""Starts below which the best of several maxima is missed now and then; with 8 nothing changed."""

_SHAPE, _WIDTH = math.sqrt(2.0), math.sqrt(3.0)
_LENGTHS, _VARIANCES, _NOISES = (0.05, 100.0), (1e-3, 1e2), 4.0


def fit_length_scales(
    x: FloatArray, values: FloatArray, *, restarts: int, min_noise: float, seed: int, prior: float | None = None
) -> tuple[FloatArray, Hyperparameters]:
    """Return the length-scales `(p,)` of maximal density, and the hyperparameters of features divided by them.

    Args:
        x: features between 0 and 1, shape `(n, p)`.
        values: shape `(n,)`, standardised.
        restarts: number of starts of L-BFGS; the first is fixed, the others scatter around it.
        min_noise: lower bound of the noise variance.
        seed: of the scattered starts.
        prior: degrees of freedom, as in `kriging.projected_likelihood`.
    """
    p = x.shape[1]
    squares = np.square(x[:, None, :] - x[None, :, :]).transpose(2, 0, 1).copy()

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = log_density(squares, values, theta, prior)
        return -value, -gradient

    origin = np.log(np.concatenate([[1.0, max(1e-2, min_noise)], np.full(p, 0.5 * math.sqrt(p))]))
    low = np.log(np.concatenate([[_VARIANCES[0], min_noise], np.full(p, _LENGTHS[0])]))
    high = np.log(np.concatenate([[_VARIANCES[1], _NOISES], np.full(p, _LENGTHS[1])]))
    rng = np.random.default_rng(seed)
    starts = [origin, *(np.clip(origin + rng.normal(0.0, 1.0, p + 2), low, high) for _ in range(restarts - 1))]
    bounds = list(zip(low.tolist(), high.tolist(), strict=True))
    with one_blas_thread():
        results = [minimize(loss, at, jac=True, method="L-BFGS-B", bounds=bounds) for at in starts]
    theta = min(results, key=lambda result: float(result.fun)).x
    return np.exp(theta[2:]), Hyperparameters(math.exp(theta[0]), (), 1.0, math.exp(theta[1]))


def log_density(
    squares: FloatArray, values: FloatArray, theta: FloatArray, prior: float | None = None
) -> tuple[float, FloatArray]:
    """Return the log marginal likelihood plus the log prior, up to a constant, and its derivatives by theta.

    Args:
        squares: squared differences of each feature, shape `(p, n, n)`.
        values: shape `(n,)`, standardised.
        theta: logarithms of the variance, of the noise variance, and of the p length-scales.
        prior: degrees of freedom, as in `kriging.projected_likelihood`.
    """
    variance, noise, lengths = math.exp(theta[0]), math.exp(theta[1]), np.exp(theta[2:])
    shares = squares / np.square(lengths)[:, None, None]
    s = np.sqrt(5.0 * shares.sum(0))
    decay = np.exp(-s)
    k = variance * (1.0 + s + s * s / 3.0) * decay
    value, weight = projected_likelihood(k + noise * np.eye(len(values)), values, prior)
    off = theta[2:] - _SHAPE - 0.5 * math.log(len(lengths))
    gradient = np.empty(len(theta))
    gradient[0] = np.vdot(weight, k)
    gradient[1] = noise * weight.trace()
    slope = weight * (variance * (5.0 / 3.0) * (1.0 + s) * decay)
    gradient[2:] = np.tensordot(shares, slope, axes=2) - off / _WIDTH**2
    return value - 0.5 * float(off @ off) / _WIDTH**2, gradient
