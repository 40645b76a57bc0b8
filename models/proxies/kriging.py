"""Exact Gaussian-process regression with an unknown constant mean, from fixed matrices of pairs.

The covariance of the values is `a Matern52(r / l) + sum_j b_j T_j + s^2 I` with distances r and similarities T_j that
are computed once; only the hyperparameters a, b, l, s^2 move: the likelihood decides which similarity counts. The mean
is one constant under a flat prior, integrated out exactly (universal kriging), so that values shifted by c give
predictions shifted by c.

Reference: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), sections 2.2, 2.7, 4.2.1 and 5.4.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, eigh, lapack, solve_triangular
from scipy.optimize import minimize

from data.records import FloatArray
from models.proxies.student_t import log_marginal
from models.threads import one_blas_thread

logger = logging.getLogger(__name__)

BLOCK = 64
"""Rows per matrix product of a posterior. A BLAS chooses its kernel by shape and so changes last bits with the number
of rows; with one shape for every product a point is predicted alike in any company."""

_IDLE = 1e-3
"""A term of less than so much of the variance does not matter."""

COARSE = 300
"""Values from which as many, drawn by the seed, say which start is the best; all of them are asked from there only."""

_JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4)


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Of the covariance of standardised values; a variance of 0 switches its term off.

    Attributes:
        descriptor_variance: a, of the term of distances.
        similarity_variances: b, one of each similarity.
        length_scale: l.
        noise_variance: s^2.
    """

    descriptor_variance: float
    similarity_variances: tuple[float, ...]
    length_scale: float
    noise_variance: float

    def significant(self) -> tuple[bool, tuple[int, ...]]:
        """Return whether the term of distances matters, and the places of the similarities that do."""
        least = _IDLE * (self.descriptor_variance + sum(self.similarity_variances))
        places = tuple(place for place, variance in enumerate(self.similarity_variances) if variance > least)
        return self.descriptor_variance > least, places

    def part(self, distance: bool, places: Sequence[int]) -> Hyperparameters:
        """Return those of some terms: of distances or not, and of the similarities at some places."""
        some = tuple(self.similarity_variances[place] for place in places)
        return replace(
            self, descriptor_variance=self.descriptor_variance if distance else 0.0, similarity_variances=some
        )

    def numbers(self) -> list[float]:
        """Return all in one row: a, the first b or 0, l, s^2, then the other b."""
        first, *others = self.similarity_variances or (0.0,)
        return [self.descriptor_variance, first, self.length_scale, self.noise_variance, *others]

    @staticmethod
    def of(numbers: Sequence[float]) -> Hyperparameters:
        """Return what `numbers` says."""
        descriptor, first, length_scale, noise, *others = numbers
        return Hyperparameters(descriptor, (first, *others) if first or others else (), length_scale, noise)


@dataclass(frozen=True, slots=True)
class Pairs:
    """What the covariance needs of n times m pairs: distances or None, and similarities, each shape `(n, m)`."""

    distance: FloatArray | None
    similarities: tuple[FloatArray, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape `(n, m)`."""
        if self.distance is not None:
            return self.distance.shape
        if not self.similarities:
            raise ValueError("A covariance needs distances or similarities; got neither. Switch one kernel term on.")
        return self.similarities[0].shape

    def part(self, distance: bool, places: Sequence[int]) -> Pairs:
        """Return the distances or none, and the similarities at some places."""
        return Pairs(self.distance if distance else None, tuple(self.similarities[place] for place in places))

    def within(self, rows: NDArray[np.intp]) -> Pairs:
        """Return those of some of the points with themselves, where the m points are the n points."""
        at = np.ix_(rows, rows)
        return Pairs(None if self.distance is None else self.distance[at], tuple(s[at] for s in self.similarities))


def matern52(distance: FloatArray, length_scale: float) -> FloatArray:
    """Return the Matern covariance of smoothness 5/2, 1 at distance 0, elementwise."""
    s = distance * (math.sqrt(5.0) / length_scale)
    return np.asarray((1.0 + s + s * s / 3.0) * np.exp(-s))


def covariance(pairs: Pairs, h: Hyperparameters) -> FloatArray:
    """Return the covariance of noise-free values, shape of the pairs."""
    out = np.zeros(pairs.shape)
    if pairs.distance is not None and h.descriptor_variance > 0:
        out += h.descriptor_variance * matern52(pairs.distance, h.length_scale)
    for variance, similarity in zip(h.similarity_variances, pairs.similarities, strict=False):
        if variance > 0:
            out += variance * similarity
    return out


def prior_variance(pairs: Pairs, h: Hyperparameters, noise: float = 0.0) -> float:
    """Return the variance of a value before any is known, given that of its noise."""
    terms = h.similarity_variances[: len(pairs.similarities)]
    return sum(terms, noise + (h.descriptor_variance if pairs.distance is not None else 0.0))


def cholesky(matrix: FloatArray) -> tuple[FloatArray, float]:
    """Return the lower Cholesky factor of a symmetric matrix `(n, n)` and the jitter that it needed.

    Jitter is added to the diagonal, in units of its mean, only when the factorisation fails, and is logged.

    Raises:
        ValueError: the matrix is not positive definite even with the largest jitter.
    """
    for jitter in _JITTERS:
        trial = matrix.copy(order="F")
        trial[np.diag_indices_from(trial)] += jitter * float(matrix.diagonal().mean())
        factor, info = lapack.dpotrf(trial, lower=1, clean=1, overwrite_a=1)
        if info == 0:
            if jitter:
                logger.warning("A covariance of %d points needed a jitter of %g of its diagonal.", len(matrix), jitter)
            return np.asarray(factor), jitter
    raise ValueError(
        f"A covariance of {len(matrix)} points is not positive definite, even with {_JITTERS[-1]:g} of its mean "
        "diagonal added. Look for non-finite features or a kernel that is none."
    )


def projected_likelihood(k: FloatArray, values: FloatArray, prior: float | None = None) -> tuple[float, FloatArray]:
    """Return the log marginal likelihood with the mean integrated out, and its derivative by the covariance.

    Args:
        k: covariance of the values, noise included, shape `(n, n)`.
        values: shape `(n,)`.
        prior: degrees of freedom before any value is known, where the scale of the covariance is unknown
            (`models.proxies.student_t`); None: it is known.
    """
    factor, _ = cholesky(k)
    inverse, _ = lapack.dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    u = inverse.sum(1)
    projector = inverse - np.outer(u, u) / u.sum()
    alpha = projector @ values
    if prior is not None:
        square = float(values @ alpha)
        value = log_marginal(square, len(values) - 1, prior)
        value -= float(np.log(factor.diagonal()).sum()) + 0.5 * math.log(u.sum())
        weight = (prior + len(values) - 1) / (prior - 2.0 + square)
        return value, 0.5 * (weight * np.outer(alpha, alpha) - projector)
    value = -0.5 * float(values @ alpha) - float(np.log(factor.diagonal()).sum()) - 0.5 * math.log(u.sum())
    value -= 0.5 * (len(values) - 1) * math.log(2.0 * math.pi)
    return value, 0.5 * (np.outer(alpha, alpha) - projector)


def log_marginal_likelihood(
    pairs: Pairs, values: FloatArray, h: Hyperparameters, prior: float | None = None
) -> tuple[float, dict[str, float]]:
    """Return the log marginal likelihood and its derivatives by the logarithm of each hyperparameter.

    With `P = K^-1 - K^-1 1 1' K^-1 / (1' K^-1 1)`, the mean integrated out under a flat prior,
    `log p = -1/2 y'Py - 1/2 log|K| - 1/2 log(1'K^-1 1) - (n-1)/2 log 2 pi` and
    `d log p = 1/2 (y'P dK P y - tr(P dK))`.

    Args:
        pairs: of the n training points with themselves.
        values: shape `(n,)`.
        h: where to evaluate.
        prior: as in `projected_likelihood`.

    Returns:
        The likelihood, and the derivatives by name: `descriptor_variance` and `length_scale` where there are distances,
        `similarity_variance_0` and on, `noise_variance`.
    """
    n = len(values)
    parts: dict[str, FloatArray] = {}
    if pairs.distance is not None:
        s = pairs.distance * (math.sqrt(5.0) / h.length_scale)
        decay = np.exp(-s)
        parts["descriptor_variance"] = h.descriptor_variance * (1.0 + s + s * s / 3.0) * decay
        parts["length_scale"] = h.descriptor_variance * (s * s * (1.0 + s) / 3.0) * decay
    for place, similarity in enumerate(pairs.similarities):
        parts[_similarity(place)] = h.similarity_variances[place] * similarity
    k = np.zeros((n, n))
    for name, part in parts.items():
        if name != "length_scale":
            k += part
    k[np.diag_indices(n)] += h.noise_variance
    value, weight = projected_likelihood(k, values, prior)
    gradient = {name: float(np.vdot(weight, part)) for name, part in parts.items()}
    gradient["noise_variance"] = h.noise_variance * float(weight.trace())
    return value, gradient


def _similarity(place: int) -> str:
    return f"similarity_variance_{place}"


def fit_hyperparameters(
    pairs: Pairs,
    values: FloatArray,
    *,
    scale: float,
    restarts: int,
    min_noise: float,
    seed: int,
    prior: float | None = None,
) -> Hyperparameters:
    """Return hyperparameters of maximal marginal likelihood, by L-BFGS from `restarts` starts.

    With more than `COARSE` values so many of them choose among the starts, and all of them from where the best ended.

    Args:
        pairs: of the n training points with themselves.
        values: shape `(n,)`, standardised.
        scale: length-scale to start from: sqrt(d) for d standardised descriptors. Shorter by far is white noise,
            where the gradient vanishes and the optimiser stays.
        restarts: number of starts; the first is fixed, the others scatter around it.
        min_noise: lower bound of the noise variance.
        seed: of the scattered starts.
        prior: as in `projected_likelihood`.
    """
    count = len(pairs.similarities)
    terms = (pairs.distance is not None) + count
    start = {"noise_variance": max(0.1, min_noise)}
    limits = {"noise_variance": (min_noise, 4.0)}
    if pairs.distance is not None:
        start |= {"descriptor_variance": 1.0 / terms, "length_scale": scale}
        limits |= {"descriptor_variance": (1e-4, 1e2), "length_scale": (0.05 * scale, 50.0 * scale)}
    for place in range(count):
        start[_similarity(place)], limits[_similarity(place)] = 1.0 / terms, (1e-4, 1e2)
    names = sorted(start)

    def unpack(theta: Sequence[float] | FloatArray) -> Hyperparameters:
        numbers = dict(zip(names, np.exp(theta).tolist(), strict=True))
        return Hyperparameters(
            numbers.get("descriptor_variance", 0.0),
            tuple(numbers[_similarity(place)] for place in range(count)),
            numbers.get("length_scale", 1.0),
            numbers["noise_variance"],
        )

    def loss(theta: FloatArray, pairs: Pairs = pairs, values: FloatArray = values) -> tuple[float, FloatArray]:
        value, gradient = log_marginal_likelihood(pairs, values, unpack(theta), prior)
        return -value, -np.array([gradient[name] for name in names])

    low, high = (np.log([limits[name][side] for name in names]) for side in (0, 1))
    origin = np.log([start[name] for name in names])
    rng = np.random.default_rng(seed)
    starts = [origin, *(np.clip(origin + rng.normal(0.0, 1.0, len(names)), low, high) for _ in range(restarts - 1))]
    bounds = list(zip(low.tolist(), high.tolist(), strict=True))
    with one_blas_thread():
        if len(values) > COARSE:
            few = np.sort(np.random.default_rng([seed, 1]).choice(len(values), COARSE, replace=False))
            coarse = partial(loss, pairs=pairs.within(few), values=values[few])
            found = [minimize(coarse, at, jac=True, method="L-BFGS-B", bounds=bounds) for at in starts]
            starts = [min(found, key=lambda result: float(result.fun)).x]
        found = [minimize(loss, at, jac=True, method="L-BFGS-B", bounds=bounds) for at in starts]
    return unpack(min(found, key=lambda result: float(result.fun)).x)


@dataclass(frozen=True, slots=True)
class Posterior:
    """What prediction needs of n training points.

    Attributes:
        factor: lower Cholesky factor of the noisy covariance, shape `(n, n)`.
        weights: K^-1 (y - mean), shape `(n,)`.
        ones: K^-1 1, shape `(n,)`.
        mean: estimated constant mean.
        h: the hyperparameters.
        jitter: what had to be added to the diagonal, in units of its mean.
    """

    factor: FloatArray
    weights: FloatArray
    ones: FloatArray
    mean: float
    h: Hyperparameters
    jitter: float

    def predict(self, pairs: Pairs) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of a new measurement, noise and the unknown constant included, each `(m,)`.

        Args:
            pairs: of m new points with the n training points, shape `(m, n)`.
        """
        cross = covariance(pairs, self.h)
        m, n = cross.shape
        prior = prior_variance(pairs, self.h, self.h.noise_variance)
        mean, variance = np.empty(m), np.empty(m)
        columns = np.column_stack([self.weights, self.ones])
        for begin in range(0, m, BLOCK):
            rows = min(BLOCK, m - begin)
            block = np.zeros((BLOCK, n))
            block[:rows] = cross[begin : begin + rows]
            products = block @ columns
            half = solve_triangular(self.factor, block.T, lower=True, check_finite=False)
            explained = np.square(half).sum(0)
            drift = np.square(1.0 - products[:, 1]) / self.ones.sum()
            mean[begin : begin + rows] = self.mean + products[:rows, 0]
            variance[begin : begin + rows] = (prior - explained + drift)[:rows]
        # Cancellation can leave a tiny negative; a measurement is never surer than its noise.
        return mean, np.maximum(variance, self.h.noise_variance)

    def joint(self, pairs: Pairs, own: Pairs) -> tuple[FloatArray, FloatArray]:
        """Return mean `(m,)` and covariance `(m, m)` of the noise-free function, the unknown constant included.

        Args:
            pairs: of m new points with the n training points, shape `(m, n)`.
            own: of the m new points with themselves, shape `(m, m)`.
        """
        cross = covariance(pairs, self.h)
        half = solve_triangular(self.factor, cross.T, lower=True, check_finite=False)
        left = 1.0 - cross @ self.ones
        joint = covariance(own, self.h) - half.T @ half + np.outer(left, left) / self.ones.sum()
        return self.mean + cross @ self.weights, 0.5 * (joint + joint.T)

    def left_out(self, fold: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
        """Return error and variance `(n,)` of each training value, predicted without the values of its fold.

        They are those of `posterior` with the same hyperparameters on the other folds, the constant mean estimated
        anew. With `P = K^-1 - K^-1 1 1' K^-1 / (1' K^-1 1)` the errors of a fold I are `P_II^-1 (P y)_I` and their
        covariance is `P_II^-1`: one inverse for all folds.

        Reference: Dubrule, Mathematical Geology 15, 687 (1983); Ginsbourger and Schaerer, Statistics and Computing 35
        (2025), for folds of any size.

        Args:
            fold: n numbers of folds, at least two different ones.
        """
        inverse, _ = lapack.dpotri(self.factor, lower=1)
        error, variance = np.empty(len(fold)), np.empty(len(fold))
        for k in np.unique(fold):
            rows = np.flatnonzero(fold == k)
            block = inverse[np.ix_(rows, rows)]  # of the lower triangle only, as LAPACK leaves it
            block = np.tril(block) + np.tril(block, -1).T
            factor, _ = cholesky(block - np.outer(self.ones[rows], self.ones[rows]) / self.ones.sum())
            error[rows] = cho_solve((factor, True), self.weights[rows])
            root = solve_triangular(factor, np.eye(len(rows)), lower=True, check_finite=False)
            variance[rows] = np.square(root).sum(0)
        return error, np.maximum(variance, self.h.noise_variance)


def ridge_path(k: FloatArray, values: FloatArray, noise: float, steps: int) -> FloatArray:
    """Return the standardised residuals of n values along the ridge path, shape `(steps, n)`.

    With `P` of `left_out` at a noise variance the residual of a value, predicted without it, is `(P y)_i / P_ii` with
    variance `1 / P_ii`; the noise falls from the mean of the covariance's diagonal to the one given, evenly in its
    logarithm. One decomposition serves all steps.

    Args:
        k: covariance of the noise-free values, shape `(n, n)`.
        values: shape `(n,)`.
        noise: variance at the end of the path, > 0.
        steps: at least 2.
    """
    roots, vectors = eigh(k)
    most = max(float(k.diagonal().mean()), 2.0 * noise)
    y, ones = vectors.T @ values, vectors.T @ np.ones(len(values))
    squares = np.square(vectors)
    out = np.empty((steps, len(values)))
    for step, variance in enumerate(np.geomspace(most, noise, steps)):
        scale = 1.0 / (roots.clip(min=0.0) + variance)
        at_ones, total = vectors @ (scale * ones), float(scale @ np.square(ones))
        diagonal = squares @ scale - np.square(at_ones) / total
        residual = vectors @ (scale * y) - at_ones * float(scale @ (ones * y)) / total
        out[step] = residual / np.sqrt(diagonal.clip(min=1e-12 * scale.max()))
    return out


def noisy_covariance(pairs: Pairs, h: Hyperparameters) -> FloatArray:
    """Return the covariance `(n, n)` of measurements at n points, noise included."""
    k = covariance(pairs, h)
    k[np.diag_indices_from(k)] += h.noise_variance
    return k


def posterior(pairs: Pairs, values: FloatArray, h: Hyperparameters) -> Posterior:
    """Condition on n values.

    Args:
        pairs: of the training points with themselves, shape `(n, n)`.
        values: shape `(n,)`.
        h: hyperparameters.
    """
    return conditioned(noisy_covariance(pairs, h), values, h)


def conditioned(k: FloatArray, values: FloatArray, h: Hyperparameters) -> Posterior:
    """Condition on n values whose noisy covariance `(n, n)` is k: at thousands of points it alone fits into memory."""
    factor, jitter = cholesky(k)
    ones = np.asarray(cho_solve((factor, True), np.ones(len(values))))
    mean = float(ones @ values / ones.sum())
    weights = np.asarray(cho_solve((factor, True), values - mean))
    return Posterior(factor, weights, ones, mean, h, jitter)
