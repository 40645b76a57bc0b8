"""The predicted value itself: pure exploitation."""

from __future__ import annotations

from data.records import FloatArray, Prediction
from models.registry import Component


class Mean(Component):
    """The predicted mean, negated when the goal is small values."""

    group = "acquisition"
    kind = "mean"

    def score(self, prediction: Prediction, *, best: float | None, maximise: bool) -> FloatArray:
        """Return `(n,)` scores in the unit of the target; `best` is not used."""
        return prediction.mean.copy() if maximise else -prediction.mean
