"""Several targets at once: perceptrons with one output for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray, Prediction
from models.proxies.checks import checked_targets
from models.proxies.mlp_ensemble import MlpEnsemble


@runtime_checkable
class MultiTargetProxy(Protocol):
    """A proxy of K targets. As a plain `Proxy` it stands for the first of them."""

    def fit_targets(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train on values `(n, K)`; NaN where a target was not measured, at least 5 values of each target."""

    def predict_targets(self, objects: Sequence[str]) -> list[Prediction]:
        """Return one prediction of n objects per target, each in its own unit."""


class MultiTask(MlpEnsemble):
    """Perceptrons on bootstrap samples with one output per target: targets share the hidden layers.

    `fit_targets` takes a table with a column per target, NaN where a target was not measured; such an entry has no part
    in the loss. Each target has its own unit, noise and growth of the deviation. `fit` and `predict` are those of a
    plain proxy: one target, and of several the first.

    Reference: Caruana, Multitask learning, Machine Learning 28, 41 (1997).
    """

    kind = "multi_task"
    cites = ("caruana1997multitask",)

    def fit_targets(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train from nothing on K targets.

        Args:
            objects: n objects of the sort that the featuriser takes.
            values: shape `(n, K)`, each column in its own unit; NaN where a target was not measured.
            seed: of the bootstrap and of the training.

        Raises:
            ValueError: a target with fewer than 5 values, an infinite value, an object without any, another shape.
        """
        self._fit(objects, checked_targets(self.kind, objects, values), seed)

    def predict_targets(self, objects: Sequence[str]) -> list[Prediction]:
        """Return one prediction of n objects per target, each in its own unit.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        return self._predictions(objects)

    def refit_targets(
        self,
        previous_state: Mapping[str, Any],
        objects: Sequence[str],
        values: FloatArray,
        new_mask: NDArray[np.bool_],
        *,
        seed: int,
    ) -> None:
        """Train on old and new labels `(n, K)`, as `refit` does for one target.

        Raises:
            ValueError: as `fit_targets` and `refit`.
        """
        self._refit(previous_state, objects, checked_targets(self.kind, objects, values), new_mask, seed)
