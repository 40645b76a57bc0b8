"""Normal and Student's t distributions of variance 1: quantiles, densities and probabilities far out.

A value that is predicted with mean m, standard deviation s and v > 2 degrees of freedom is `m + s z`, z having
Student's t distribution scaled to variance 1: `z = sqrt((v - 2) / v) t_v`. Without degrees of freedom z is normal.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaln, hyp2f1, log_ndtr, ndtri, stdtr, stdtrit

from data.records import FloatArray

ALMOST_NORMAL = 1e5
"""Degrees of freedom from which on the normal distribution is taken: up to eight deviations they agree to per cents."""

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


def spread_of(freedom: FloatArray) -> FloatArray:
    """Return the scale at which Student's t has variance 1, elementwise; of infinitely many degrees it is 1."""
    return np.asarray(np.sqrt(1.0 - 2.0 / freedom))


def quantile(probability: FloatArray, freedom: FloatArray | None) -> FloatArray:
    """Return the quantiles of m probabilities in (0, 1), shape `(n, m)`, or `(m,)` where all n values are normal.

    Args:
        probability: shape `(m,)`.
        freedom: shape `(n,)`; None: normal.
    """
    normal = np.asarray(ndtri(probability))
    if freedom is None:
        return normal
    out = np.tile(normal, (len(freedom), 1))
    for v in np.unique(freedom[freedom < ALMOST_NORMAL]):  # one of each fold
        out[freedom == v] = spread_of(v) * stdtrit(v, probability)
    return out


def log_density(z: FloatArray, freedom: FloatArray | None) -> FloatArray:
    """Return the log density of n values of variance 1, shape `(n,)`."""
    out = -0.5 * np.square(z) - _LOG_SQRT_2PI
    if freedom is not None:
        heavy = freedom < ALMOST_NORMAL
        s = spread_of(freedom[heavy])
        out[heavy] = student_density(z[heavy] / s, freedom[heavy]) - np.log(s)
    return np.asarray(out)


def log_probability(z: FloatArray, freedom: FloatArray | None) -> FloatArray:
    """Return the log-probability that a value of variance 1 is at most z, shape `(n,)`, finite far below."""
    out = np.asarray(log_ndtr(z))
    if freedom is not None:
        heavy = freedom < ALMOST_NORMAL
        v = freedom[heavy]
        u = z[heavy] / spread_of(v)
        tail = student_density(u, v) + np.log(ratio_below(-np.abs(u), v))
        out[heavy] = np.where(u < 0, tail, np.log1p(-np.exp(np.minimum(tail, -math.log(2.0)))))
    return out


def student_density(u: FloatArray, freedom: FloatArray) -> FloatArray:
    """Return the log density of Student's t, elementwise."""
    v = freedom
    return np.asarray(-0.5 * (v + 1.0) * np.log1p(u * u / v) - 0.5 * np.log(v) - betaln(0.5 * v, 0.5))


def ratio_below(u: FloatArray, freedom: FloatArray) -> FloatArray:
    """Return the probability of values below u <= 0 over the density there, of Student's t, elementwise.

    `|u| / v 2F1((v + 1) / 2, 1; v / 2 + 1; v / (v + u^2))` where the probability itself underflows.
    """
    probability = np.asarray(stdtr(freedom, u))
    far = probability < 1e-280
    density = student_density(u, freedom)
    out = probability * np.exp(-np.maximum(density, -700.0))
    if far.any():
        v, w = freedom[far], u[far]
        out[far] = np.abs(w) / v * hyp2f1(0.5 * (v + 1.0), 1.0, 0.5 * v + 1.0, v / (v + w * w))
    return out
