"""The predicted value itself: pure exploitation."""

from __future__ import annotations

from data.records import FloatArray, Prediction
from models.acquisition.base import BaseAcquisition
from models.protocols import Scoring


class Mean(BaseAcquisition):
    """The predicted mean: what is unsure counts for nothing."""

    kind = "mean"

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores in the unit of the target."""
        return predicted[0].mean.copy()
