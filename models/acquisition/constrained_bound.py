"""Optimism about objective and limits alike, and a word when even optimism finds nothing feasible."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from data.records import FloatArray, Prediction
from models.acquisition.base import BaseAcquisition
from models.acquisition.constrained import LimitedOptions
from models.protocols import BoolArray, Scoring


class ConstrainedBound(BaseAcquisition["ConstrainedBound.Options"]):
    """`mean + beta std` among the candidates that can keep to all limits within `beta` deviations; the others: never.

    With minus infinity a selector passes a candidate over and a generator gets its floor. If not one candidate of a
    pool is left, the limits are infeasible at that confidence, and `verdict` says so: there is nothing to buy then.

    Reference: Xu, Jiang, Svetozarevic and Jones, Constrained Efficient Global Optimization of Expensive Black-box
    Functions (CONFIG), ICML (2023).
    """

    kind = "constrained_bound"
    cites = ("xu2023config",)
    heeds_limits = True

    class Options(LimitedOptions):
        """Options of the constrained bound."""

        beta: float = Field(2.0, ge=0, description="standard deviations of optimism")

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores in the unit of the target, minus infinity where a limit cannot be kept to."""
        main = predicted[about.main]
        return np.where(self.feasible(predicted, about), main.mean + self.options.beta * main.std, -np.inf)

    def feasible(self, predicted: tuple[Prediction, ...], about: Scoring) -> BoolArray:
        """Return, shape `(n,)`, whether all limits can be kept to within `beta` standard deviations."""
        inside = np.ones(len(predicted[0]), dtype=bool)
        for one, (low, high) in zip(predicted, about.limits, strict=False):
            width = self.options.beta * one.std
            inside &= (one.mean + width >= low) & (one.mean - width <= high)
        return inside

    def verdict(self, predicted: tuple[Prediction, ...], about: Scoring) -> str | None:
        """Return a sentence that declares the pool infeasible, or None if some candidate may be feasible."""
        if not len(predicted[0]) or self.feasible(predicted, about).any():
            return None
        return (
            f"None of {len(predicted[0])} candidates can keep to the limits of the objectives within "
            f"{self.options.beta:g} standard deviations: they look infeasible in this space. Relax a limit, raise the "
            "option beta of constrained_bound, or widen the space."
        )
