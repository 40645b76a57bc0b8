"""Improvement per unit of cost."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from data.records import FloatArray, Prediction
from models.acquisition.base import LogWrapper, scores
from models.protocols import ScoringContext
from models.registry import Component, ComponentError
from models.spaces.base import BaseSpace


class CostAware(LogWrapper):
    """`log inner - exponent log cost`: the inner acquisition per unit of cost.

    Costs come with the context; otherwise they are `(size / 10) ** size_exponent` with a fact of the space as the size,
    as of a calculation whose time grows with a molecule's heavy atoms. Only ratios of costs matter to the order.

    Reference: Snoek, Larochelle and Adams, Practical Bayesian Optimization of Machine Learning Algorithms, NeurIPS
    (2012), section 3.2; the exponent: Lee et al., Cost-aware Bayesian Optimization (2020).
    """

    kind = "cost_aware"
    reference = "Snoek, Larochelle and Adams, NeurIPS (2012)"

    class Options(Component.Options):
        """Options of the score per unit of cost."""

        inner: dict[str, Any] = Field({"kind": "expected_improvement"}, description="acquisition, a logarithm")
        exponent: float = Field(1.0, ge=0, description="power of the cost that the score is divided by; 0 ignores cost")
        size: str = Field(
            "heavy_atoms",
            description="where no costs are given: fact of the space that a cost grows with, such as length",
        )
        size_exponent: float = Field(
            3.0, ge=0, description="where no costs are given: power of the size that a cost is"
        )

    def score_in(self, prediction: Prediction, context: ScoringContext) -> FloatArray:
        """Return `(n,)` scores.

        Raises:
            ValueError: neither costs nor objects are in the context, or a cost is not positive and finite.
            ComponentError: the space has no such fact.
        """
        cost = self._cost(prediction, context)
        if cost.shape != prediction.mean.shape or not (np.isfinite(cost) & (cost > 0)).all():
            raise ValueError(
                f"Costs must be {len(prediction)} positive finite numbers; got shape {cost.shape} and values from "
                f"{cost.min(initial=np.inf):g} to {cost.max(initial=-np.inf):g}."
            )
        return np.asarray(scores(self.inner, prediction, context) - self.options.exponent * np.log(cost))

    def check_space(self, space: BaseSpace[Any]) -> None:
        """Refuse a space that has no such size.

        Raises:
            ComponentError: it has none; the message names the facts that it has.
        """
        if self.options.size not in space.facts:
            raise ComponentError(
                f"The acquisition 'cost_aware' takes the fact {self.options.size!r} for the size of {space.nouns[1]}; "
                f"those of the space {space.kind!r} are {', '.join(space.facts) or 'none'}. Give the option `size`."
            )

    def _cost(self, prediction: Prediction, context: ScoringContext) -> FloatArray:
        if context.cost is not None:
            return np.asarray(context.cost, dtype=np.float64)
        if len(context.objects) != len(prediction):
            raise self.lacks("costs, or the objects to estimate them from", "Give one of them with the context.")
        space = self.space_of(context)
        self.check_space(space)
        sizes = [space.fact(obj, self.options.size) or 0.0 for obj in context.objects]
        return np.asarray(np.power(np.array(sizes, dtype=np.float64) / 10.0, self.options.size_exponent))
