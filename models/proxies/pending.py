"""A proxy that believes what is asked and not answered yet to be as it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from data.records import FloatArray, Prediction
from models.protocols import EmbeddingProxy, JointProxy, Proxy

_BLOCK = 256
"""Objects whose covariances with the pending ones are asked for at once."""


class Believing:
    """A proxy conditioned on the predicted means of pending objects; made by `believing_pending`.

    Means stay as they are; what goes with pending objects is not worth asking twice, so its deviations fall: the
    kriging believer of Ginsbourger, Le Riche and Carraro (2010), for what earlier batches hold.
    """

    def __init__(self, proxy: Proxy, pending: Sequence[str]) -> None:
        self.proxy, self.pending = proxy, tuple(pending)
        _, latent = self._joint(self.pending)
        total = np.square(proxy.predict(self.pending).std)
        noise = np.maximum(total - latent.diagonal(), 1e-10 * total)
        self._factor = cholesky(latent + np.diag(noise), lower=True)

    def _joint(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        mean, covariance = self.proxy.joint(objects)  # type: ignore[attr-defined]
        return mean, np.asarray(covariance)

    def _explained(self, objects: Sequence[str]) -> FloatArray:
        """Return what pending objects explain of n objects, shape `(p, n)`: its columns' products are covariances."""
        p = len(self.pending)
        blocks = []
        for start in range(0, len(objects), _BLOCK):
            _, covariance = self._joint([*self.pending, *objects[start : start + _BLOCK]])
            blocks.append(covariance[:p, p:])
        cross = np.hstack(blocks) if blocks else np.zeros((p, 0))
        return np.asarray(solve_triangular(self._factor, cross, lower=True))

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train the proxy within on n values, shape `(n,)`; what is pending is believed as before."""
        self.proxy.fit(objects, values, seed=seed)

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict n objects: the same means, smaller deviations."""
        prediction = self.proxy.predict(objects)
        left = np.square(prediction.std) - np.square(self._explained(objects)).sum(0)
        # What is left is at least the noise of a measurement, of which rounding must not leave nothing.
        return prediction.with_std(np.sqrt(np.maximum(left, 1e-6 * np.square(prediction.std))))

    def joint(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return mean `(n,)` and covariance `(n, n)` of the function once the pending values are believed."""
        mean, covariance = self._joint(objects)
        explained = self._explained(objects)
        return mean, covariance - explained.T @ explained

    def state(self) -> dict[str, Any]:
        """Return the state of the proxy within."""
        return self.proxy.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self.proxy.load_state(state)


class _Embedding(Believing):
    def embed(self, objects: Sequence[str], kind: Literal["last_layer", "gradient"] = "last_layer") -> FloatArray:
        """Return the features `(n, d)` of the proxy within."""
        features: FloatArray = self.proxy.embed(objects, kind)  # type: ignore[attr-defined]
        return features


def believing_pending(proxy: Proxy, pending: Sequence[str]) -> Proxy:
    """Return a proxy that believes pending objects to be as it predicts; the very proxy where it cannot tell.

    Args:
        proxy: fitted.
        pending: objects that are asked and not answered; none: nothing is believed.
    """
    if not pending or not isinstance(proxy, JointProxy):
        return proxy
    return (_Embedding if isinstance(proxy, EmbeddingProxy) else Believing)(proxy, pending)
