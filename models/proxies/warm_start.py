"""Models of a round that go on from those of the last one: the proxy itself, and those that held something out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from data.records import FloatArray
from models.protocols import Proxy, RefittableProxy


def refits(proxy: Proxy) -> bool:
    """Return whether a proxy is set to go on from the last round's weights: its option `refit` is `replay`."""
    return isinstance(proxy, RefittableProxy) and getattr(getattr(proxy, "options", None), "refit", "") == "replay"


class Fitter:
    """Fits models by name: from nothing, or from where the model of that name ended in the last round.

    Args:
        make: makes an untrained proxy.
        seed: of every training.
        previous: what `state` returned in the last round; None: there is none, or the proxy does not refit.
    """

    def __init__(self, make: Callable[[], Proxy], *, seed: int, previous: Mapping[str, Any] | None = None) -> None:
        self._make, self._seed = make, seed
        self._before: Mapping[str, Any] = previous["models"] if previous else {}
        self._models: dict[str, dict[str, Any]] = {}

    def fit(self, name: str | None, ids: Sequence[str], objects: Sequence[str], values: FloatArray) -> Proxy:
        """Return a proxy that is trained on n objects.

        Args:
            name: of the model, which must be trained on what it was trained on before, and more; None: it has no
                forerunner and no successor.
            ids: n identities.
            objects: n objects.
            values: shape `(n,)`, finite.
        """
        proxy, before = self._make(), self._before.get(name) if name else None
        if before is None or not isinstance(proxy, RefittableProxy):
            proxy.fit(objects, values, seed=self._seed)
        else:
            known = before["labels"]
            new = np.array([known.get(key) != value for key, value in zip(ids, values.tolist(), strict=True)])
            proxy.refit(before["state"], objects, values, new, seed=self._seed)
        if name and refits(proxy):
            labels = dict(zip(ids, np.asarray(values).tolist(), strict=True))
            self._models[name] = {"state": proxy.state(), "labels": labels}
        return proxy

    def state(self) -> dict[str, Any]:
        """Return the states of all models fitted here and their labels, loadable with `weights_only=True`."""
        return {"models": self._models}
