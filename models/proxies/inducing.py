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
            learnt = solve_triangular(self.data, white, lower=True, check_finite=False)
            left = 1.0 - self.ones @ white
            mean[begin : begin + rows] = (self.mean + self.weights @ white)[:rows]
            whole = total - np.square(white).sum(0) + np.square(learnt).sum(0) + np.square(left) / self.precision
            variance[begin : begin + rows] = whole[:rows]
        return mean, np.maximum(variance, self.h.noise_variance)

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
class _Evidence:
    """Sums over training points, which are those of all without those of a part where the part is taken away.

    Attributes:
        data: F' L^-1 F, shape `(m, m)`.
        sums: F' L^-1 of the values and of ones, shape `(m, 2)`.
        totals: 1' L^-1 of the values and of ones, shape `(2,)`.
    """

    data: FloatArray
    sums: FloatArray
    totals: FloatArray

    @staticmethod
    def of(white: FloatArray, open_: FloatArray, values: FloatArray) -> _Evidence:
        scaled, both = white / open_, np.column_stack([values, np.ones(len(values))])
        return _Evidence(scaled @ white.T, scaled @ both, (1.0 / open_) @ both)

    def without(self, other: _Evidence) -> _Evidence:
        return _Evidence(self.data - other.data, self.sums - other.sums, self.totals - other.totals)

    def posterior(self, prior: FloatArray, jitter: float, h: Hyperparameters) -> InducingPosterior:
        factor, _ = cholesky(np.eye(len(self.data)) + self.data)
        solved = np.asarray(cho_solve((factor, True), self.sums))
        # 1' C^-1 y and 1' C^-1 1 with C = F F' + L, by Woodbury's identity.
        values, precision = (self.totals - self.sums[:, 1] @ solved).tolist()
        mean = values / precision
        weights = solved[:, 0] - mean * solved[:, 1]
        return InducingPosterior(prior, factor, weights, solved[:, 1], precision, mean, h, jitter)


def _whitened(prior: FloatArray, pairs: Pairs, h: Hyperparameters) -> tuple[FloatArray, FloatArray]:
    """Return F' and the diagonal of L, shapes `(m, n)` and `(n,)`, of n training points."""
    white = solve_triangular(prior, covariance(pairs, h).T, lower=True, check_finite=False)
    return white, np.maximum(prior_variance(pairs, h) - np.square(white).sum(0), 0.0) + h.noise_variance


def inducing_posterior(own: Pairs, pairs: Pairs, values: FloatArray, h: Hyperparameters) -> InducingPosterior:
    """Condition on n values through m inducing points.

    Args:
        own: of the inducing points with themselves, shape `(m, m)`.
        pairs: of the n training points with the inducing points, shape `(n, m)`.
        values: shape `(n,)`.
        h: hyperparameters.
    """
    prior, jitter = prior_factor(own, h)
    white, open_ = _whitened(prior, pairs, h)
    return _Evidence.of(white, open_, values).posterior(prior, jitter, h)


def left_out(
    known: InducingPosterior, pairs: Pairs, values: FloatArray, fold: NDArray[np.intp]
) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance `(n,)` of each training value, predicted without the values of its fold.

    They are those of a posterior with the same inducing points and hyperparameters on the other folds. An inducing
    point that is held out lends its place, not its value. What a fold adds to the evidence is a sum that is taken away
    again: O(n m^2 + k m^3) for k folds.

    Args:
        known: conditioned on all n values.
        pairs: of the n training points with the m inducing points, shape `(n, m)`.
        values: shape `(n,)`.
        fold: n numbers of folds, at least two different ones.
    """
    white, open_ = _whitened(known.prior, pairs, known.h)
    whole = _Evidence.of(white, open_, values)
    mean, variance = np.empty(len(values)), np.empty(len(values))
    for k in np.unique(fold):
        rows = np.flatnonzero(fold == k)
        taken = _Evidence.of(white[:, rows], open_[rows], values[rows])
        without = whole.without(taken).posterior(known.prior, known.jitter, known.h)
        mean[rows], variance[rows] = without.predict(pairs.rows(rows))
    return mean, variance
