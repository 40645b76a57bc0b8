"""What a prediction rests on: how much each atom, or each feature, moves it away from a typical object.

An object's parts are players of a game whose value is the prediction with some of them present. Of a molecule the parts
are its atoms, with each of which go the counts that it takes part in, and families of descriptors; of anything else
they are its features, those of one name together. An absent feature is as in the reference, the mean of the measured
objects; an absent count is nought. The contributions are Shapley values, the means over orders in which the parts come
in: they add up to the prediction less that of the reference for any proxy, and where a proxy is linear in the counts
each count is shared evenly by its atoms.

References: Shapley, A value for n-person games (1953); Strumbelj and Kononenko, Explaining prediction models and
individual predictions with feature contributions, Knowl. Inf. Syst. 41 (2014), for drawing orders; here in pairs, each
with its reverse.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray
from models.featurisers.base import Features, Featuriser
from models.proxies.base import BaseProxy
from models.proxies.calibration import Calibrated

CITES = ("shapley1953value", "strumbelj2014explaining")
PAIRS = 32
"""Pairs of orders: 64 predictions for each part."""


class NotAttributable(ValueError):
    """The proxy does not predict from features of parts; the sentence says what could be used."""


@dataclass(frozen=True)
class Contributions:
    """What each of P parts adds to a prediction, in the unit of the target.

    Attributes:
        names: P texts: the atoms in the order of the molecule, such as C7, then features of the object as a whole.
        values: shape `(P,)`; they add up to `prediction - reference`.
        errors: shape `(P,)`, standard errors of the values from the orders that were drawn.
        prediction: mean that the proxy predicts.
        reference: mean that it predicts of the reference.
        atoms: how many of the parts, from the first, are atoms.
    """

    names: tuple[str, ...]
    values: FloatArray
    errors: FloatArray
    prediction: float
    reference: float
    atoms: int


class _Prepared:
    """A featuriser of features that were made already: an object is the number of its row."""

    def __init__(self, features: Features, of: Featuriser) -> None:
        self._features, self.kind, self.separate = features, of.kind, of.separate

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return the features of n rows."""
        return self._features[np.array([int(one) for one in objects], dtype=np.intp)]

    def partly(self, objects: Sequence[str], *, dense: bool, kinds: Sequence[int]) -> Features:
        """Return some of the features of n rows, as a featuriser does."""
        return self(objects).part(dense, kinds)


def contributions(proxy: Any, obj: str, measured: Sequence[str], *, pairs: int = PAIRS, seed: int = 0) -> Contributions:
    """Return what each part of an object adds to its prediction.

    Args:
        proxy: trained; it predicts from the features of a featuriser.
        obj: the object's standard text.
        measured: texts of what the proxy was trained on: the mean of their features is the reference.
        pairs: orders drawn, each with its reverse, at least 2.
        seed: of the orders.

    Raises:
        NotAttributable: the proxy reads the objects themselves.
        ValueError: the text is no valid object.
    """
    inner = proxy.proxy if isinstance(proxy, Calibrated) else proxy
    if not isinstance(inner, BaseProxy) or not attributable(proxy):
        kind = getattr(inner, "kind", type(inner).__name__)
        raise NotAttributable(
            f"A proxy of kind {kind!r} does not predict from features of parts, "
            "so what a prediction rests on cannot be told. Use gaussian_process, random_forest or mlp_ensemble."
        )
    parts = inner.featuriser.parts(obj, inner.featuriser(measured).dense.mean(0))
    players = len(parts.names)
    orders = _orders(players, pairs, seed)
    # Row t of an order has the parts that came before its t-th; the last row has all.
    present = np.zeros((len(orders), players + 1, players), dtype=bool)
    for step in range(1, players + 1):
        present[:, step] = present[:, step - 1]
        present[np.arange(len(orders)), step, orders[:, step - 1]] = True
    packed = np.packbits(present.reshape(-1, players), axis=1)
    _, first, place = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    asked = present.reshape(-1, players)[first]
    prepared: Any = copy.copy(inner)
    prepared.featuriser = _Prepared(parts.features(asked), inner.featuriser)
    told = prepared.predict([str(row) for row in range(len(asked))]).mean
    worth = told[place.reshape(-1)].reshape(len(orders), players + 1)
    gains = np.empty((len(orders), players))
    np.put_along_axis(gains, orders, np.diff(worth, axis=1), axis=1)
    both = gains.reshape(pairs, 2, players).mean(1)
    errors = both.std(0, ddof=1) / np.sqrt(pairs)
    return Contributions(parts.names, both.mean(0), errors, float(worth[0, -1]), float(worth[0, 0]), parts.atoms)


def attributable(proxy: Any) -> bool:
    """Return whether what a proxy predicts can be told part by part."""
    inner = proxy.proxy if isinstance(proxy, Calibrated) else proxy
    return isinstance(inner, BaseProxy) and inner.reads_features


def _orders(players: int, pairs: int, seed: int) -> NDArray[np.intp]:
    """Return orders of the players `(2 pairs, P)`, each second one the reverse of the one before."""
    rng = np.random.default_rng(seed)
    drawn = np.stack([rng.permutation(players) for _ in range(pairs)])
    return np.stack([drawn, drawn[:, ::-1]], axis=1).reshape(2 * pairs, players)
