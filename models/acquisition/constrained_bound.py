"""Optimism about objective and constraints alike, and a word when even optimism finds nothing feasible."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from data.records import FloatArray, Prediction
from models.acquisition.base import BaseAcquisition
from models.acquisition.constrained import Constraint
from models.protocols import Scoring
from models.registry import Component


class ConstrainedBound(BaseAcquisition):
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

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores in the unit of the target, minus infinity where a constraint cannot hold."""
        bound = predicted[0].mean + self.options.beta * predicted[0].std
        return np.where(self.feasible(predicted), bound, -np.inf)

    def feasible(self, predicted: tuple[Prediction, ...]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return, shape `(n,)`, whether all constraints can hold within `beta` standard deviations."""
        inside = np.ones(len(predicted[0]), dtype=bool)
        for constraint in self.options.constraints:
            one = constraint.of(predicted, self.factors(len(predicted)))
            width = self.options.beta * one.std
            if constraint.at_least is not None:
                inside &= one.mean + width >= constraint.at_least
            if constraint.at_most is not None:
                inside &= one.mean - width <= constraint.at_most
        return inside

    def verdict(self, predicted: tuple[Prediction, ...]) -> str | None:
        """Return a sentence that declares the pool infeasible, or None if some candidate may be feasible."""
        if not len(predicted[0]) or self.feasible(predicted).any():
            return None
        limits = "; ".join(_words(constraint) for constraint in self.options.constraints)
        return (
            f"None of {len(predicted[0])} candidates can satisfy the constraints within {self.options.beta:g} standard "
            f"deviations ({limits}): they look infeasible in this space. Relax a constraint, raise beta, or widen the "
            "space."
        )


def _words(constraint: Constraint) -> str:
    parts = [f"at least {constraint.at_least:g}"] if constraint.at_least is not None else []
    parts += [f"at most {constraint.at_most:g}"] if constraint.at_most is not None else []
    return f"objective {constraint.objective} {' and '.join(parts)}"
