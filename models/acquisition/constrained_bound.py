"""Optimism about objective and constraints alike, and a word when even optimism finds nothing feasible."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from data.records import FloatArray, Prediction
from models.acquisition.base import InformedScore
from models.acquisition.constrained import Constraint
from models.protocols import ScoringContext
from models.registry import Component


class ConstrainedBound(InformedScore):
    """`mean + beta std` among the candidates whose constraints can hold within `beta` deviations; the others: never.

    With minus infinity a selector passes a candidate over and a generator gets its floor. If not one candidate of a
    pool is left, the constraints are infeasible at that confidence, and `verdict` says so.

    Reference: Xu, Jiang, Svetozarevic and Jones, Constrained Efficient Global Optimization of Expensive Black-box
    Functions (CONFIG), ICML (2023).
    """

    kind = "constrained_bound"
    reference = "Xu, Jiang, Svetozarevic and Jones, Constrained Efficient Global Optimization (CONFIG), ICML (2023)"

    class Options(Component.Options):
        """Options of the constrained bound."""

        beta: float = Field(2.0, ge=0, description="standard deviations of optimism")
        constraints: tuple[Constraint, ...] = Field((), description="limits of objectives")

    def score_in(self, prediction: Prediction, context: ScoringContext) -> FloatArray:
        """Return `(n,)` scores in the unit of the target, minus infinity where a constraint cannot hold."""
        direction = 1.0 if context.maximise else -1.0
        bound = direction * prediction.mean + self.options.beta * prediction.std
        return np.where(self.feasible(prediction, context), bound, -np.inf)

    def feasible(self, prediction: Prediction, context: ScoringContext) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return, shape `(n,)`, whether all constraints can hold within `beta` standard deviations."""
        inside = np.ones(len(prediction), dtype=bool)
        for constraint in self.options.constraints:
            one = constraint.of(prediction, context)
            width = self.options.beta * one.std
            if constraint.at_least is not None:
                inside &= one.mean + width >= constraint.at_least
            if constraint.at_most is not None:
                inside &= one.mean - width <= constraint.at_most
        return inside

    def verdict(self, prediction: Prediction, context: ScoringContext) -> str | None:
        """Return a sentence that declares the pool infeasible, or None if some candidate may be feasible."""
        if not len(prediction) or self.feasible(prediction, context).any():
            return None
        limits = "; ".join(_words(constraint) for constraint in self.options.constraints)
        return (
            f"None of {len(prediction)} candidates can satisfy the constraints within {self.options.beta:g} standard "
            f"deviations ({limits}): they look infeasible in this space. Relax a constraint, raise beta, or widen the "
            "space."
        )


def _words(constraint: Constraint) -> str:
    parts = [f"at least {constraint.at_least:g}"] if constraint.at_least is not None else []
    parts += [f"at most {constraint.at_most:g}"] if constraint.at_most is not None else []
    return f"objective {constraint.objective} {' and '.join(parts)}"
