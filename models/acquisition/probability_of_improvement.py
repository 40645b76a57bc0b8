"""Probability of improvement, by default its logarithm."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from data.records import FloatArray, Prediction
from models.acquisition.base import BaseAcquisition
from models.protocols import Scoring
from models.registry import Component
from models.tails import log_probability


class ProbabilityOfImprovement(BaseAcquisition["ProbabilityOfImprovement.Options"]):
    """`P(f > best + margin)`; the logarithm keeps the order where the probability itself underflows.

    Before anything is measured there is nothing to improve on: the score is then the mean.

    Reference: Kushner, A New Method of Locating the Maximum Point of an Arbitrary Multipeak Curve in the Presence of
    Noise, J. Basic Eng. 86 (1964).
    """

    kind = "probability_of_improvement"
    cites = ("kushner1964maximum",)

    class Options(Component.Options):
        """Options of the probability of improvement."""

        scale: Literal["log", "plain"] = Field("log", description="logarithm, or the probability itself")
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
        """Return `(n,)` scores: log-probabilities, or probabilities if `scale` is plain."""
        target, best = predicted[0], about.best
        if best is None:
            return target.mean.copy()
        gain = target.mean - best - self.options.margin
        log_value = log_probability(gain / target.std, target.freedom)
        return log_value if self.logarithmic else np.exp(log_value)
