"""Several objectives as one: weights over objectives brought to one scale by the measured values."""

from __future__ import annotations

import numpy as np
from pydantic import Field, field_validator

from data.records import FloatArray, Prediction
from models.acquisition.base import BaseAcquisition, stacked
from models.acquisition.measured import measured_whole
from models.protocols import Scoring
from models.registry import Component


class Scalarisation(BaseAcquisition):
    """Base: objectives in units of the measured range, 0 at the worst and 1 at the best measured value."""

    objectives = 2

    class Options(Component.Options):
        """Options of a scalarisation."""

        weights: tuple[float, ...] = Field((), description="weight of each objective, >= 0; none given: all equal")
        beta: float = Field(1.0, ge=0, description="standard deviations added to the mean")

        @field_validator("weights")
        @classmethod
        def _usable(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
            if weights and (min(weights) < 0 or sum(weights) <= 0):
                raise ValueError("weights must be >= 0, and one of them positive")
            return weights

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores, in measured ranges.

        Raises:
            ValueError: the number of weights is not that of the objectives.
        """
        mean, std = stacked(predicted)
        k = mean.shape[1]
        weights = np.array(self.options.weights or [1.0] * k)
        if len(weights) != k:
            raise ValueError(f"The acquisition {self.kind!r} has {len(weights)} weights; there are {k} objectives.")
        measured = measured_whole(about, k)
        low = measured.min(0) if len(measured) else np.zeros(k)
        width = measured.max(0) - low if len(measured) else np.ones(k)
        width = np.where(width > 0, width, 1.0)
        return self.combine((mean - low) / width, std / width, weights / weights.sum())

    def combine(self, mean: FloatArray, std: FloatArray, weights: FloatArray) -> FloatArray:
        """Return `(n,)` scores of scaled means and deviations `(n, K)` under weights `(K,)` that sum to 1."""
        raise NotImplementedError


class WeightedSum(Scalarisation):
    """`sum_k w_k mean_k + beta sqrt(sum_k (w_k std_k)^2)`: the bound of the weighted sum, for independent objectives.

    Reference: Miettinen, Nonlinear Multiobjective Optimization, Kluwer (1999), section 3.1.
    """

    kind = "weighted_sum"
    cites = ("miettinen1999nonlinear",)

    def combine(self, mean: FloatArray, std: FloatArray, weights: FloatArray) -> FloatArray:
        """Return `(n,)` scores of scaled means and deviations `(n, K)` under weights `(K,)` that sum to 1."""
        return np.asarray(mean @ weights + self.options.beta * np.sqrt(np.square(std) @ np.square(weights)))


class Chebyshev(Scalarisation):
    """`min_k w_k (u_k - 1) + rho sum_k w_k (u_k - 1)` of optimistic values `u_k = mean_k + beta std_k`.

    The distance of the worst objective from the best measured values; unlike a weighted sum it finds members of a front
    that is not convex. The small sum orders those that are equally good at their worst.

    Reference: Knowles, ParEGO, IEEE Trans. Evol. Comput. 10 (2006), eq. 2.
    """

    kind = "chebyshev"
    cites = ("knowles2006parego",)

    class Options(Scalarisation.Options):
        """Options of the Chebyshev scalarisation."""

        rho: float = Field(0.05, ge=0, description="weight of the sum beside the minimum")

    def combine(self, mean: FloatArray, std: FloatArray, weights: FloatArray) -> FloatArray:
        """Return `(n,)` scores of scaled means and deviations `(n, K)` under weights `(K,)` that sum to 1."""
        short = weights * (mean + self.options.beta * std - 1.0)
        used = short[:, weights > 0]
        return np.asarray(used.min(1) + self.options.rho * used.sum(1))
