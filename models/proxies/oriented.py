"""A proxy seen through a goal: what it predicts is better where it is larger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from data.goals import Goal
from data.records import FloatArray, Prediction
from models.protocols import EmbeddingProxy, JointProxy, Proxy
from models.proxies.folded import folded, folded_covariance


class Seen:
    """A proxy of signed values; made by `oriented`, which keeps what else the proxy can do."""

    def __init__(self, proxy: Proxy, goal: Goal) -> None:
        self.proxy, self.goal = proxy, goal

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict the signed values of n objects: negated means, or those of minus the distance from a target."""
        prediction = self.proxy.predict(objects)
        if self.goal.target is None:
            return Prediction(-prediction.mean, prediction.std, prediction.freedom)
        mean, std = folded(prediction.mean - self.goal.target, prediction.std)
        return Prediction(-mean, std)

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train the proxy within on n signed values, shape `(n,)`.

        Raises:
            ValueError: the goal is a target: a distance does not tell the value that it is of.
        """
        if self.goal.target is not None:
            raise ValueError(
                f"A distance from the target of {self.goal.name!r} does not tell the value. Fit the proxy on values, "
                "before it is seen through the goal."
            )
        self.proxy.fit(objects, -values, seed=seed)

    def state(self) -> dict[str, Any]:
        """Return the state of the proxy within, which is in the objective's own unit."""
        return self.proxy.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self.proxy.load_state(state)


class _Joint(Seen):
    def joint(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return mean `(n,)` and covariance `(n, n)` of the signed function, without measurement noise.

        Distance from a target is no linear function: its mean without noise is a little above that of `predict`.
        """
        mean, covariance = self.proxy.joint(objects)  # type: ignore[attr-defined]
        if self.goal.target is None:
            return -mean, covariance
        away, std = mean - self.goal.target, np.sqrt(np.maximum(covariance.diagonal(), 0.0))
        return -folded(away, std)[0], folded_covariance(away, covariance)


class _Embedding(Seen):
    def embed(self, objects: Sequence[str], kind: Literal["last_layer", "gradient"] = "last_layer") -> FloatArray:
        """Return the features `(n, d)` of the proxy within: distances do not depend on the goal."""
        features: FloatArray = self.proxy.embed(objects, kind)  # type: ignore[attr-defined]
        return features


class _JointEmbedding(_Joint, _Embedding):
    pass


def oriented(proxy: Proxy, goal: Goal) -> Proxy:
    """Return the proxy as a goal sees it, with `joint` and `embed` where the proxy has them, and only there.

    Args:
        proxy: fitted, in the objective's own unit.
        goal: of the objective. Where larger is better, or only limits count, it is the very proxy, to the bit.
    """
    if goal.sign >= 0 and goal.target is None:
        return proxy
    if isinstance(proxy, JointProxy):
        return (_JointEmbedding if isinstance(proxy, EmbeddingProxy) else _Joint)(proxy, goal)
    return (_Embedding if isinstance(proxy, EmbeddingProxy) else Seen)(proxy, goal)
