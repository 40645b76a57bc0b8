"""Student-t processes: a Gaussian process whose covariance has an unknown scale, integrated out.

The values have covariance `s K`, noise included, and `s ~ InverseGamma(v / 2, (v - 2) / 2)` of mean 1. With
b = y'K^-1 y of n values, or y'Py and n - 1 where the unknown mean is integrated out too (`models.proxies.kriging`), a
new measurement has Student's t distribution with v + n degrees of freedom, the mean of the Gaussian process, and its
variance times `(v - 2 + b) / (v + n - 2)`: labels that vary more than the covariance says widen all intervals. The log
marginal likelihood is

    log G((v + n)/2) - log G(v/2) - n/2 log((v - 2) pi) - 1/2 log|K| - (v + n)/2 log(1 + b / (v - 2)).

What this can do is limited. The scale belongs to all values at once: no single value is recognised as an outlier, and
none has less weight in the mean. And where the size of K is chosen by this likelihood, b is (v - 2) n / v: the other
hyperparameters are then those of the Gaussian process, and the variance is `1 + 2 / (v + n - 2)` times its own.

References: Shah, Wilson and Ghahramani, Student-t processes as alternatives to Gaussian processes, AISTATS (2014); as
the limit of wide networks: Lee et al., Scale mixtures of neural network Gaussian processes, ICLR (2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln

from data.records import FloatArray


def log_marginal(square: float, n: int, prior: float) -> float:
    """Return the log marginal likelihood without its term of the determinant.

    Args:
        square: b.
        n: values, less one where the mean is unknown.
        prior: v > 2.
    """
    if n == 0:
        return 0.0
    # log G((v + n)/2) - log G(v/2) by the beta function, which has no cancellation for large v.
    gammas = float(gammaln(0.5 * n) - betaln(0.5 * prior, 0.5 * n))
    return gammas - 0.5 * n * math.log((prior - 2.0) * math.pi) - 0.5 * (prior + n) * math.log1p(square / (prior - 2.0))


@dataclass(frozen=True, slots=True)
class Scaling:
    """What values say of the scale.

    Attributes:
        square: b.
        labels: n, less one where the mean is unknown.
        prior: v.
    """

    square: float
    labels: int
    prior: float

    @staticmethod
    def of(square: float, labels: int, prior: float) -> Scaling:
        """Take b, which is not negative but for rounding."""
        return Scaling(max(square, 0.0), labels, prior)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of a new measurement."""
        return self.prior + self.labels

    @property
    def factor(self) -> float:
        """By what the variance of the Gaussian process is multiplied."""
        return (self.prior - 2.0 + self.square) / (self.freedom - 2.0)

    def left_out(self, shares: FloatArray, fold: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
        """Return factor and degrees of freedom for each of n values, as if its fold were not among them.

        b is the sum of that of the other folds and `e' S^-1 e`, e being the errors of the fold predicted by the others
        and S their covariance.

        Args:
            shares: `e_i (S^-1 e)_i`, shape `(n,)`.
            fold: shape `(n,)`.
        """
        factor, freedom = np.empty(len(fold)), np.empty(len(fold))
        for k in np.unique(fold):
            rows = fold == k
            others = Scaling.of(self.square - float(shares[rows].sum()), self.labels - int(rows.sum()), self.prior)
            factor[rows], freedom[rows] = others.factor, others.freedom
        return factor, freedom
