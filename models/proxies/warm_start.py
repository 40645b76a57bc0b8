"""Models of a round that go on from those of the last one: the proxy itself, and those that held something out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from data.records import FloatArray
from models.protocols import LevelProxy, Proxy, RefittableProxy
from models.proxies.beside import Beside
from models.proxies.cheaper import CheaperLevels
from models.row_protocols import RowProxy


def refits(proxy: Proxy) -> bool:
    """Return whether a proxy is set to go on from the last round's weights: by its option `refit`, if it has one."""
    chosen = getattr(getattr(proxy, "options", None), "refit", "scratch")
    return isinstance(proxy, RefittableProxy) and chosen in ("replay", "condition")


REPEAT = "#"
"""Stands in the id of a measurement before its number, where an object was measured several times."""


class Fitter:
    """Fits models by name: from nothing, or from where the model of that name ended in the last round.

    Args:
        make: makes an untrained proxy.
        seed: of every training.
        previous: what `state` returned in the last round; None: there is none, or the proxy does not refit.
        cheaper: what is known below the truth, for a proxy of several levels; None: nothing.
        owners: ids of all objects that a model may be trained on; those that it is not are held out at every level.
        beside: what else was measured, for a proxy that learns whole rows; None: nothing.
    """

    def __init__(
        self,
        make: Callable[[], Proxy],
        *,
        seed: int,
        previous: Mapping[str, Any] | None = None,
        cheaper: CheaperLevels | None = None,
        owners: Collection[str] = (),
        beside: Beside | None = None,
    ) -> None:
        self._make, self._seed = make, seed
        self._cheaper, self._owners, self._beside = cheaper, frozenset(owners), beside
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
        if self._beside is not None and isinstance(proxy, RowProxy):
            names, rows = self._beside.names, self._beside.of([key.partition(REPEAT)[0] for key in ids])
            proxy.fit_rows(objects, rows, names, self._beside.target, seed=self._seed)
        elif self._cheaper is not None and isinstance(proxy, LevelProxy):
            below = self._cheaper.without(self._owners - {key.partition(REPEAT)[0] for key in ids}).levels
            proxy.fit_levels(
                [*(one.objects for one in below), objects], [*(one.values for one in below), values], seed=self._seed
            )
        elif before is None or not isinstance(proxy, RefittableProxy):
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
