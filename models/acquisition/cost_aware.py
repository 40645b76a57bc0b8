"""Improvement per unit of cost."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from data.records import FloatArray, Prediction
from models.acquisition.base import LogWrapper
from models.protocols import Scoring
from models.registry import Component, ComponentError
from models.spaces.base import BaseSpace


class CostAware(LogWrapper):
    """`log inner - exponent log cost`: the inner acquisition per unit of cost.

    Costs come with the `Scoring`; otherwise they are `(size / 10) ** size_exponent` with a fact of the space as the
    size, as of a calculation whose time grows with a molecule's heavy atoms. Only ratios of costs matter to the order.

    Reference: Snoek, Larochelle and Adams, Practical Bayesian Optimization of Machine Learning Algorithms, NeurIPS
    (2012), section 3.2; the exponent: Lee et al., Cost-aware Bayesian Optimization (2020).
    """

    kind = "cost_aware"
    cites = ("snoek2012practical", "lee2020costaware")

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

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores.

        Raises:
            ValueError: neither costs nor objects are given, or a cost is not positive and finite.
            ComponentError: the space has no such fact.
        """
        n = len(predicted[0])
        cost = self._cost(n, about)
        if cost.shape != (n,) or not (np.isfinite(cost) & (cost > 0)).all():
            raise ValueError(
                f"Costs must be {n} positive finite numbers; got shape {cost.shape} and values from "
                f"{cost.min(initial=np.inf):g} to {cost.max(initial=-np.inf):g}."
            )
        return np.asarray(self.inner.score(predicted, about) - self.options.exponent * np.log(cost))

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

    def _cost(self, n: int, about: Scoring) -> FloatArray:
        if about.cost is not None:
            return np.asarray(about.cost, dtype=np.float64)
        if len(about.objects) != n:
            raise self.lacks("costs, or the objects to estimate them from", "Give one of them in the `Scoring`.")
        space = self.space_of(about)
        self.check_space(space)
        sizes = [space.fact(obj, self.options.size) or 0.0 for obj in about.objects]
        return np.asarray(np.power(np.array(sizes, dtype=np.float64) / 10.0, self.options.size_exponent))
