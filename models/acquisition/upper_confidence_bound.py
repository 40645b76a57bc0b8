"""Upper confidence bound: optimism in the face of uncertainty."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from data.records import FloatArray, Prediction
from models.registry import Component


class UpperConfidenceBound(Component["UpperConfidenceBound.Options"]):
    """`mean + beta std` of the goal's direction: what an object may be worth, rather than what it is expected to be.

    Reference: Srinivas, Krause, Kakade and Seeger, Gaussian Process Optimization in the Bandit Setting, ICML (2010).
    """

    group = "acquisition"
    kind = "upper_confidence_bound"
    reference = "Srinivas et al., Gaussian Process Optimization in the Bandit Setting, ICML (2010)"

    class Options(Component.Options):
        """Options of the upper confidence bound."""

        beta: float = Field(1.0, ge=0, description="standard deviations added to the mean")

    def score(self, prediction: Prediction, *, best: float | None, maximise: bool) -> FloatArray:
        """Return `(n,)` scores in the unit of the target; `best` is not used."""
        direction = 1.0 if maximise else -1.0
        return np.asarray(direction * prediction.mean + self.options.beta * prediction.std)
