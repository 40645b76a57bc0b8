"""Improvement that counts only where the constraints hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, model_validator
from scipy.special import log_ndtr

from data.records import FloatArray, Prediction
from models.acquisition.base import LogWrapper
from models.protocols import Scoring
from models.registry import Component, Options


class Constraint(Options):
    """Limits of one objective's value, at least one of them given."""

    objective: int = Field(0, ge=0, description="number of the objective, the first being 0")
    at_least: float | None = Field(None, description="least allowed value, in its unit")
    at_most: float | None = Field(None, description="largest allowed value, in its unit")

    @model_validator(mode="after")
    def _some_limit(self) -> Constraint:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        if self.at_least is not None and self.at_most is not None and self.at_least >= self.at_most:
            raise ValueError(f"at_least ({self.at_least:g}) must be below at_most ({self.at_most:g})")
        return self

    def of(self, predicted: tuple[Prediction, ...], factors: FloatArray) -> Prediction:
        """Return the prediction of the constrained objective, in the objective's own unit as the limits are.

        Args:
            predicted: signed, one prediction per objective.
            factors: by which each objective's values were multiplied, 1 or -1, shape `(K,)`.

        Raises:
            ValueError: there is no objective of that number.
        """
        if self.objective >= len(predicted):
            raise ValueError(
                f"A constraint names objective {self.objective}; there are {len(predicted)}, numbered from 0."
            )
        one = predicted[self.objective]
        return Prediction(factors[self.objective] * one.mean, one.std)


class Constrained(LogWrapper):
    """`log inner + sum of log P(constraint holds)`: expected constrained improvement for independent objectives.

    Reference: Schonlau, Welch and Jones (1998); Gardner et al., Bayesian Optimization with Inequality Constraints, ICML
    (2014).
    """

    kind = "constrained"
    reference = "Gardner et al., Bayesian Optimization with Inequality Constraints, ICML (2014)"

    class Options(Component.Options):
        """Options of constrained improvement."""

        inner: dict[str, Any] = Field({"kind": "expected_improvement"}, description="acquisition, a logarithm")
        constraints: tuple[Constraint, ...] = Field((), description="limits of objectives")

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores: the inner acquisition's plus log-probabilities of feasibility."""
        total = self.inner.score(predicted, about).copy()
        for constraint in self.options.constraints:
            total += log_feasibility(constraint.of(predicted, self.factors(len(predicted))), constraint)
        return total


def log_feasibility(prediction: Prediction, constraint: Constraint) -> FloatArray:
    """Return the log-probability that the value lies within the limits, shape `(n,)`, finite far outside of them."""
    low, high = (
        None if limit is None else (limit - prediction.mean) / prediction.std
        for limit in (constraint.at_least, constraint.at_most)
    )
    if high is None:
        return np.asarray(log_ndtr(-np.asarray(low)))
    if low is None:
        return np.asarray(log_ndtr(high))
    # Both tails of one side: Phi(b) - Phi(a) is taken where a, b <= 0 or straddle it, so that nothing cancels near 1.
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    upper, lower = log_ndtr(b), log_ndtr(a)
    return np.asarray(upper + np.log(-np.expm1(np.minimum(lower - upper, -1e-300))))
