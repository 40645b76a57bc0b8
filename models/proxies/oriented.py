"""A proxy seen through a goal: what it predicts is better where it is larger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from data.goals import Sign
from data.records import FloatArray, Prediction
from models.protocols import EmbeddingProxy, JointProxy, Proxy


class Negated:
    """A proxy of the negated target; made by `oriented`, which keeps what else the proxy can do."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train the proxy within on n signed values, shape `(n,)`."""
        self.proxy.fit(objects, -values, seed=seed)

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict n objects: the negated means, the same deviations."""
        prediction = self.proxy.predict(objects)
        return Prediction(-prediction.mean, prediction.std)

    def state(self) -> dict[str, Any]:
        """Return the state of the proxy within, which is in the objective's own unit."""
        return self.proxy.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self.proxy.load_state(state)


class _Joint(Negated):
    def joint(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return the negated mean `(n,)` and the covariance `(n, n)`, which knows no sign."""
        mean, covariance = self.proxy.joint(objects)  # type: ignore[attr-defined]
        return -mean, covariance


class _Embedding(Negated):
    def embed(self, objects: Sequence[str], kind: Literal["last_layer", "gradient"] = "last_layer") -> FloatArray:
        """Return the features `(n, d)` of the proxy within: distances do not depend on the sign of what is learnt."""
        features: FloatArray = self.proxy.embed(objects, kind)  # type: ignore[attr-defined]
        return features


class _JointEmbedding(_Joint, _Embedding):
    pass


def oriented(proxy: Proxy, sign: Sign) -> Proxy:
    """Return the proxy as a goal sees it, with `joint` and `embed` where the proxy has them, and only there.

    Args:
        proxy: fitted, in the objective's own unit.
        sign: of the goal. Only -1 turns anything; otherwise it is the very proxy, to the bit.
    """
    if sign >= 0:
        return proxy
    if isinstance(proxy, JointProxy):
        return (_JointEmbedding if isinstance(proxy, EmbeddingProxy) else _Joint)(proxy)
    return (_Embedding if isinstance(proxy, EmbeddingProxy) else Negated)(proxy)
