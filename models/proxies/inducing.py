"""Gaussian-process regression through inducing points: for more labels than an exact factorisation can take.

The fully independent training conditional: with m of the n training points as inducing points u, the covariance
`Q = K_nu K_uu^-1 K_un` of the noise-free values is right between them and the rest, and its diagonal is mended to the
true one. Costs O(n m^2) once and O(m^2) per prediction. The unknown constant mean is integrated out as in `kriging`.

Reference: Snelson and Ghahramani, Sparse Gaussian processes using pseudo-inputs, NeurIPS 18 (2006); the name and the
joint covariance of new points: Quinonero-Candela and Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular

from data.records import FloatArray
from models.proxies.kriging import BLOCK, Hyperparameters, Pairs, cholesky, covariance, prior_variance


@dataclass(frozen=True, slots=True)
class InducingPosterior:
    """What prediction needs of m inducing points.

    Attributes:
        prior: lower Cholesky factor of their covariance, jitter included, shape `(m, m)`.
        data: lower Cholesky factor of `I + F' L^-1 F`, with F the training points' whitened covariances with the
            inducing points and L the diagonal of what they leave open, noise included; shape `(m, m)`.
        weights: of the whitened covariances, for the mean, shape `(m,)`.
        ones: of the whitened covariances, for the unknown constant, shape `(m,)`.
        precision: of the unknown constant.
        mean: estimated constant mean.
        h: the hyperparameters.
        jitter: what had to be added to the diagonal of the covariance, in units of its mean.
    """

    prior: FloatArray
    data: FloatArray
    weights: FloatArray
    ones: FloatArray
    precision: float
    mean: float
    h: Hyperparameters
    jitter: float

    def predict(self, pairs: Pairs) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of a new measurement, noise and the unknown constant included, each `(q,)`.

        Args:
            pairs: of q new points with the m inducing points, shape `(q, m)`.
        """
        cross = covariance(pairs, self.h)
        q, m = cross.shape
        total = self.h.noise_variance + prior_variance(pairs, self.h)
        mean, variance = np.empty(q), np.empty(q)
        for begin in range(0, q, BLOCK):  # products of one shape, see kriging.BLOCK
            rows = min(BLOCK, q - begin)
            block = np.zeros((BLOCK, m))
            block[:rows] = cross[begin : begin + rows]
            white = solve_triangular(self.prior, block.T, lower=True, check_finite=False)
            mean[begin : begin + rows], variance[begin : begin + rows] = (side[:rows] for side in self.at(white, total))
        return mean, np.maximum(variance, self.h.noise_variance)

    def at(self, white: FloatArray, total: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of points, each `(q,)`.

        Args:
            white: their whitened covariances with the inducing points, shape `(m, q)`.
            total: their variance before any value is known, noise included.
        """
        learnt = solve_triangular(self.data, white, lower=True, check_finite=False)
        left = 1.0 - self.ones @ white
        whole = total - np.square(white).sum(0) + np.square(learnt).sum(0) + np.square(left) / self.precision
        return self.mean + self.weights @ white, whole

    def joint(self, pairs: Pairs, own: Pairs) -> tuple[FloatArray, FloatArray]:
        """Return mean `(q,)` and covariance `(q, q)` of the noise-free function, as `kriging.Posterior.joint`."""
        white = solve_triangular(self.prior, covariance(pairs, self.h).T, lower=True, check_finite=False)
        learnt = solve_triangular(self.data, white, lower=True, check_finite=False)
        left = 1.0 - self.ones @ white
        joint = covariance(own, self.h) - white.T @ white + learnt.T @ learnt + np.outer(left, left) / self.precision
        return self.mean + self.weights @ white, 0.5 * (joint + joint.T)


def prior_factor(own: Pairs, h: Hyperparameters) -> tuple[FloatArray, float]:
    """Return the lower Cholesky factor `(m, m)` of the covariance of m inducing points, and the jitter it needed."""
    k = covariance(own, h)
    k[np.diag_indices_from(k)] += 1e-8 * prior_variance(own, h)
    return cholesky(k)


@dataclass(frozen=True, slots=True)
class Whitened:
    """What n training points say about m inducing points.

    Attributes:
        white: F', their whitened covariances, shape `(m, n)`.
        open: diagonal of L, what the inducing points leave open of them, noise included, shape `(n,)`.
        values: shape `(n,)`.
    """

    white: FloatArray
    open: FloatArray
    values: FloatArray

    @staticmethod
    def of(prior: FloatArray, pairs: Pairs, values: FloatArray, h: Hyperparameters) -> Whitened:
        """Whiten the covariances of n training points with the inducing points, whose factor `prior` is."""
        white = solve_triangular(prior, covariance(pairs, h).T, lower=True, check_finite=False)
        explained = np.einsum("ij,ij->j", white, white)
        return Whitened(white, np.maximum(prior_variance(pairs, h) - explained, 0.0) + h.noise_variance, values)

    def part(self, rows: NDArray[np.intp]) -> Whitened:
        """Return what some of the training points say."""
        return Whitened(self.white[:, rows], self.open[rows], self.values[rows])


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Sums over training points: those of all are the sum over parts of them.

    Attributes:
        data: F' L^-1 F, shape `(m, m)`.
        sums: F' L^-1 of the values and of ones, shape `(m, 2)`.
        totals: 1' L^-1 of the values and of ones, shape `(2,)`.
    """

    data: FloatArray
    sums: FloatArray
    totals: FloatArray

    @staticmethod
    def of(training: Whitened) -> _Evidence:
        scaled = training.white / training.open
        both = np.column_stack([training.values, np.ones(len(training.values))])
        return _Evidence(scaled @ training.white.T, scaled @ both, (1.0 / training.open) @ both)

    def posterior(self, prior: FloatArray, jitter: float, h: Hyperparameters) -> InducingPosterior:
        factor, _ = cholesky(np.eye(len(self.data)) + self.data)
        solved = np.asarray(cho_solve((factor, True), self.sums))
        # 1' C^-1 y and 1' C^-1 1 with C = F F' + L, by Woodbury's identity.
        values, precision = (self.totals - self.sums[:, 1] @ solved).tolist()
        mean = values / precision
        weights = solved[:, 0] - mean * solved[:, 1]
        return InducingPosterior(prior, factor, weights, solved[:, 1], precision, mean, h, jitter)


def inducing_posterior(
    own: Pairs, pairs: Pairs, values: FloatArray, h: Hyperparameters
) -> tuple[InducingPosterior, Whitened]:
    """Condition on n values through m inducing points; return also what the values were conditioned on.

    Args:
        own: of the inducing points with themselves, shape `(m, m)`.
        pairs: of the n training points with the inducing points, shape `(n, m)`.
        values: shape `(n,)`.
        h: hyperparameters.
    """
    prior, jitter = prior_factor(own, h)
    training = Whitened.of(prior, pairs, values, h)
    return _Evidence.of(training).posterior(prior, jitter, h), training


def square_of(known: InducingPosterior, training: Whitened) -> float:
    """Return `(y - m)' C^-1 (y - m)` of the n values, m being the estimated mean and C their covariance."""
    residual = training.values - known.mean
    half = solve_triangular(known.data, training.white @ (residual / training.open), lower=True, check_finite=False)
    return float(np.square(residual) @ (1.0 / training.open) - half @ half)


def left_out(known: InducingPosterior, training: Whitened, fold: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance `(n,)` of each training value, predicted without the values of its fold.

    They are those of a posterior with the same inducing points and hyperparameters on the other folds. An inducing
    point that is held out lends its place, not its value. The evidence of the other folds is the sum of theirs:
    O(n m^2 + k m^3) for k folds.

    Args:
        known: conditioned on all n values.
        training: what it was conditioned on.
        fold: n numbers of folds, at least two different ones.
    """
    mean, variance = np.empty(len(fold)), np.empty(len(fold))
    parts = {k: np.flatnonzero(fold == k) for k in np.unique(fold).tolist()}
    evidence = {k: _Evidence.of(training.part(rows)) for k, rows in parts.items()}
    for k, rows in parts.items():
        others = [evidence[j] for j in parts if j != k]
        data, sums, totals = (sum(getattr(part, name) for part in others) for name in ("data", "sums", "totals"))
        without = _Evidence(data, sums, totals).posterior(known.prior, known.jitter, known.h)
        white, total = training.white[:, rows], training.open[rows] + np.square(training.white[:, rows]).sum(0)
        mean[rows], variance[rows] = without.at(white, total)
    return mean, np.maximum(variance, known.h.noise_variance)
