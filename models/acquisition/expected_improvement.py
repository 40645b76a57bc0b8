"""Expected improvement, in a logarithm that stays finite and ordered where the improvement itself underflows."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.special import erfcx, log_ndtr

from data.records import FloatArray, Prediction
from models.acquisition.base import BaseAcquisition
from models.protocols import Scoring
from models.registry import Component
from models.tails import ALMOST_NORMAL, ratio_below, spread_of, student_density

_SQRT2, _LOG_SQRT_2PI = math.sqrt(2.0), 0.5 * math.log(2.0 * math.pi)


def log_h(z: FloatArray) -> FloatArray:
    """Return `log(phi(z) + z Phi(z))`, elementwise, finite and increasing for every finite z down to -1e7 and below.

    Three regimes after Ament et al. (2023), eq. 9: the formula itself; `erfcx`, which keeps the tail's leading factor;
    and `phi(z) / z^2`, where the difference that `erfcx` leaves would cancel.
    """
    z = np.asarray(z, dtype=np.float64)
    out = np.empty_like(z)
    upper, lower = z > -1.0, z <= -1e4
    middle = ~upper & ~lower
    u, m, s = z[upper], z[middle], z[lower]
    out[upper] = np.log(np.exp(-0.5 * u * u - _LOG_SQRT_2PI) + u * np.exp(log_ndtr(u)))
    # phi + z Phi = phi (1 - |z| Phi/phi), with Phi(z)/phi(z) = sqrt(pi/2) erfcx(-z / sqrt 2).
    tail = np.sqrt(np.pi / 2.0) * erfcx(-m / _SQRT2) * np.abs(m)
    out[middle] = -0.5 * m * m - _LOG_SQRT_2PI + np.log1p(-tail)
    out[lower] = -0.5 * s * s - _LOG_SQRT_2PI - 2.0 * np.log(-s)
    return out


def log_improvement(z: FloatArray, freedom: FloatArray | None) -> FloatArray:
    """Return `log E max(0, z + X)` of X with mean 0 and variance 1, elementwise: normal, or Student's t.

    Of Student's t with v degrees of freedom and scale s, so that its variance is 1, it is
    `s ((v + u^2) / (v - 1) t(u) + u T(u))` with u = z / s.

    Args:
        z: shape `(n,)`.
        freedom: shape `(n,)`; None: all normal.
    """
    out = log_h(z)
    if freedom is None:
        return out
    heavy = freedom < ALMOST_NORMAL
    v = freedom[heavy]
    s = spread_of(v)
    u = z[heavy] / s
    log_density, below = student_density(u, v), u <= 0
    ratio = ratio_below(-np.abs(u), v)  # T(-|u|) / t(u)
    part = (v + u * u) / (v - 1.0) - np.abs(u) * ratio
    tail = np.log(s) + log_density + np.log(np.maximum(part, 1e-300))
    # E max(0, u + X) = u + E max(0, -u + X), X being symmetric.
    out[heavy] = np.where(below, tail, np.log(s * np.maximum(u, 1e-300) + np.exp(tail)))
    return out


class ExpectedImprovement(BaseAcquisition["ExpectedImprovement.Options"]):
    """`E max(0, f - best - margin)`, by default its logarithm, which is the same order without underflow.

    Before anything is measured there is nothing to improve on: the score is then the mean.

    Reference: Jones, Schonlau and Welch, J. Global Optimization 13 (1998); the logarithm: Ament et al., Unexpected
    Improvements to Expected Improvement, NeurIPS (2023).
    """

    kind = "expected_improvement"
    cites = ("jones1998ego", "ament2023unexpected")

    class Options(Component.Options):
        """Options of expected improvement."""

        scale: Literal["log", "plain"] = Field("log", description="logarithm, or the improvement in the target's unit")
        margin: float = Field(0.0, ge=0, description="least improvement that counts, in the unit of the target")

    @property
    def logarithmic(self) -> bool:
        """Whether the scores are logarithms."""
        return bool(self.options.scale == "log")

    @property
    def positive(self) -> bool:
        """Whether the scores are not logarithms of what they are."""
        return not self.logarithmic

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores: log of the unit of the target, or the unit itself if `scale` is plain."""
        target, best = predicted[0], about.best
        if best is None:
            return target.mean.copy()
        gain = target.mean - best - self.options.margin
        log_value = np.log(target.std) + log_improvement(gain / target.std, target.freedom)
        return log_value if self.options.scale == "log" else np.asarray(np.exp(log_value))
