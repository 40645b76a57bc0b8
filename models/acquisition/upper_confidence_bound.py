"""Upper confidence bound: optimism in the face of uncertainty."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from data.records import FloatArray, Prediction
from models.acquisition.base import BaseAcquisition
from models.protocols import Scoring
from models.registry import Component


class UpperConfidenceBound(BaseAcquisition["UpperConfidenceBound.Options"]):
    """`mean + beta std`: what an object may be worth, rather than what it is expected to be.

    Reference: Srinivas, Krause, Kakade and Seeger, Gaussian Process Optimization in the Bandit Setting, ICML (2010).
    """

    kind = "upper_confidence_bound"
    cites = ("srinivas2010bandit",)

    class Options(Component.Options):
        """Options of the upper confidence bound."""

        beta: float = Field(1.0, ge=0, description="standard deviations added to the mean")

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores in the unit of the target."""
        return np.asarray(predicted[0].mean + self.options.beta * predicted[0].std)
