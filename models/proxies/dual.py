"""Gaussian-process regression by dual sums over inducing points: a label more is one more term of each sum.

With a kernel k, inducing points z and noise variance s^2, all labels count only through

    B = sum_i k_zi k_iz / s^2   and   b = sum_i k_zi y_i / s^2,
    mean(x) = k_xz (K_zz + B)^-1 b,   variance(x) = k_xx - k_xz (K_zz^-1 - (K_zz + B)^-1) k_zx.

K_zz may be singular, as that of more points than parameters is: all is done in the coordinates `a = W' k_zx` of its
range, W W' being its pseudo-inverse. There B is `sum_i a_i a_i' / s^2`, and labels are added without another look at
those of before.

Reference: Scannell et al., Function-space parameterization of neural networks for sequential learning, ICLR (2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from data.records import FloatArray

_RANGE = 1e-11
"""Eigenvalues of K_zz below so much of the largest are of its null space."""


@dataclass(frozen=True)
class Duals:
    """What labels say of a function, of a kernel in units of its scale.

    Attributes:
        basis: W, shape `(m, r)`.
        data: sum of a a' over labels, shape `(r, r)`.
        sums: sum of a y over labels, shape `(r,)`.
        scale: prior variance where the kernel is 1.
        noise: s^2 over the scale.
    """

    basis: FloatArray
    data: FloatArray
    sums: FloatArray
    scale: float
    noise: float

    @staticmethod
    def of(own: FloatArray, *, scale: float, noise: float) -> Duals:
        """Begin without labels.

        Args:
            own: kernel of the inducing points with themselves, shape `(m, m)`.
            scale: prior variance where the kernel is 1.
            noise: noise variance.
        """
        values, vectors = eigh(own)
        kept = values > _RANGE * values[-1]
        basis = vectors[:, kept] / np.sqrt(values[kept])
        r = basis.shape[1]
        return Duals(basis, np.zeros((r, r)), np.zeros(r), scale, noise / scale)

    def given(self, cross: FloatArray, values: FloatArray) -> Duals:
        """Return what is known with n more labels.

        Args:
            cross: kernel of their points with the inducing points, shape `(n, m)`.
            values: shape `(n,)`.
        """
        a = cross @ self.basis
        return replace(self, data=self.data + a.T @ a, sums=self.sums + values @ a)

    def extended(self, cross: FloatArray, own: FloatArray) -> Duals:
        """Return the same with n more inducing points.

        What the labels of before say along the new coordinates is taken as nothing. That is exact for labels at
        inducing points, where those coordinates are 0; for others `forgotten` and `given` make it exact.

        Args:
            cross: kernel of the new points with the inducing points, shape `(n, m)`.
            own: kernel of the new points with themselves, shape `(n, n)`.
        """
        a = cross @ self.basis
        values, vectors = eigh(own - a @ a.T)
        kept = values > _RANGE * own.diagonal().max(initial=0.0)
        beside = vectors[:, kept] / np.sqrt(values[kept])
        q = beside.shape[1]
        basis = np.block(
            [[self.basis, -self.basis @ (a.T @ beside)], [np.zeros((len(own), self.basis.shape[1])), beside]]
        )
        return replace(self, basis=basis, data=np.pad(self.data, (0, q)), sums=np.pad(self.sums, (0, q)))

    def forgotten(self) -> Duals:
        """Return the same without labels."""
        return replace(self, data=np.zeros_like(self.data), sums=np.zeros_like(self.sums))

    def _solved(self, right: FloatArray) -> FloatArray:
        factor = cho_factor(self.data + self.noise * np.eye(len(self.data)), lower=True)
        return np.asarray(cho_solve(factor, right))

    def predict(self, cross: FloatArray, prior: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of the function at n points, each `(n,)`.

        Args:
            cross: kernel of the points with the inducing points, shape `(n, m)`.
            prior: kernel of each point with itself, shape `(n,)`.
        """
        a = cross @ self.basis
        left = np.maximum(prior - np.square(a).sum(1), 0.0) + self.noise * (a * self._solved(a.T).T).sum(1)
        return a @ self._solved(self.sums), self.scale * left

    def joint(self, cross: FloatArray, own: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean `(n,)` and covariance `(n, n)` of the function at n points, whose kernel `(n, n)` is `own`."""
        a = cross @ self.basis
        left = own - a @ a.T + self.noise * a @ self._solved(a.T)
        return a @ self._solved(self.sums), self.scale * 0.5 * (left + left.T)


@dataclass(frozen=True)
class HeldOut:
    """Labels of one fold beside what the others say of them, for any ratio of noise and scale.

    Attributes:
        typical: mean of the kernel of a point with itself; kernels of several networks are compared in this unit.
        open: what the inducing points leave open of each, shape `(h,)`.
        along: its coordinates along the eigenvectors of the data, shape `(h, r)`.
        eigenvalues: of the data, shape `(r,)`.
        sums: along the eigenvectors, shape `(r,)`.
        values: shape `(h,)`.
    """

    typical: float
    open: FloatArray
    along: FloatArray
    eigenvalues: FloatArray
    sums: FloatArray
    values: FloatArray

    @staticmethod
    def of(duals: Duals, typical: float, cross: FloatArray, prior: FloatArray, values: FloatArray) -> HeldOut:
        """Take h points that are not among the labels; arguments as those of `Duals.predict`."""
        eigenvalues, vectors = eigh(duals.data)
        a = cross @ duals.basis
        left = np.maximum(prior - np.square(a).sum(1), 0.0)
        return HeldOut(typical, left, a @ vectors, eigenvalues.clip(0.0), duals.sums @ vectors, values)

    def at(self, ratio: float) -> tuple[FloatArray, FloatArray]:
        """Return squared errors and variances, each `(h,)`, the latter in units of the scale times `typical`."""
        own = ratio * self.typical
        mean = self.along @ (self.sums / (self.eigenvalues + own))
        variance = self.open + own * (np.square(self.along) @ (1.0 / (self.eigenvalues + own))) + own
        return np.square(self.values - mean), variance / self.typical


def scale_and_noise(folds: Sequence[HeldOut], *, min_noise: float) -> tuple[float, float]:
    """Return prior variance of a typical point and noise variance by which held-out labels are most likely.

    The likelihood of the labels themselves would not do: the kernel has been learnt from them. Of a ratio r of both the
    best scale is the mean of squared errors over variances, which leaves r to be searched for.

    Args:
        folds: of labels that neither kernel nor sums have seen.
        min_noise: least noise variance.
    """
    best, found = np.inf, (1.0, 1.0)
    for ratio in np.logspace(-7.0, 2.0, 91).tolist():
        squares, variances = (np.concatenate(side) for side in zip(*(one.at(ratio) for one in folds), strict=True))
        scale = max(float((squares / variances).mean()), min_noise / ratio)
        loss = float((np.log(scale * variances) + squares / (scale * variances)).sum())
        if loss < best:
            best, found = loss, (scale, scale * ratio)
    return found
