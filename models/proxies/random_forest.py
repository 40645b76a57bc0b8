"""A forest of regression trees by scikit-learn, kept as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from data.records import FloatArray
from models.featurisers.base import Features
from models.proxies.checks import checked_state
from models.proxies.design import Design
from models.proxies.ensemble import EnsembleProxy, Labelled, Members
from models.proxies.tensors import as_tensors

if TYPE_CHECKING:
    from torch import Tensor

_ARRAYS = ("left", "right", "column", "threshold", "value", "root", "weights")


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees in one set of arrays; a node is a number, and a leaf is its own child.

    Attributes:
        design: makes rows of features.
        left: child where the feature is at most the threshold, shape `(nodes,)`.
        right: the other child, shape `(nodes,)`.
        column: feature that a node asks for, shape `(nodes,)`.
        threshold: shape `(nodes,)`.
        value: mean of the standardised labels in the node, shape `(nodes,)`.
        root: first node of each tree, shape `(T,)`.
        weights: how often each tree saw each training row, shape `(T, n)`.
    """

    design: Design
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    column: NDArray[np.int32]
    threshold: FloatArray
    value: FloatArray
    root: NDArray[np.int32]
    weights: NDArray[np.int16]

    def predict(self, objects: Sequence[str], features: Features) -> FloatArray:
        """Return each tree's prediction, shape `(T, n, 1)`."""
        x = self.design(features).astype(np.float32)  # as scikit-learn does: thresholds lie between such numbers
        row = np.arange(len(x))
        node = np.repeat(self.root[:, None], len(x), axis=1)
        while True:
            goes_left = x[row, self.column[node]] <= self.threshold[node]
            child = np.where(goes_left, self.left[node], self.right[node])
            if np.array_equal(child, node):
                return np.asarray(self.value[node][:, :, None])
            node = child

    def state(self) -> dict[str, Tensor]:
        """Return the arrays as tensors."""
        return self.design.state() | as_tensors({f"trees_{name}": getattr(self, name) for name in _ARRAYS})


class RandomForest(EnsembleProxy):
    """Random forest: bootstrapped trees, each split chosen among a random part of the features.

    The variance between trees is the plain one (`spread`), or that of the forest's mean by the infinitesimal jackknife:
    the sum over training rows of the squared covariance between a row's weight and a tree's prediction, less its bias
    from the finite number of trees. The jackknife says how far the mean would move with other data; the spread also has
    what single trees differ by, and the out-of-bag errors choose by how much to shrink it.

    Reference: Breiman (2001); the jackknife: Wager, Hastie and Efron, J. Mach. Learn. Res. 15, 1625 (2014).
    """

    kind = "random_forest"
    cites = ("breiman2001forests", "wager2014jackknife")

    class Options(EnsembleProxy.Options):
        """Options of the forest."""

        features: str | dict[str, Any] = Field(
            "descriptors", description=EnsembleProxy.Options.model_fields["features"].description
        )
        members: int = Field(200, ge=10, le=2000, description="trees")
        uncertainty: Literal["spread", "jackknife"] = Field("spread", description="variance between the trees")
        max_features: float = Field(0.33, gt=0, le=1, description="share of the features that a split chooses among")
        min_leaf: int = Field(2, ge=1, description="fewest training rows in a leaf")

        def cited(self) -> tuple[str, ...]:
            """Return the library of trees beside the papers of every ensemble."""
            return (*super().cited(), "pedregosa2011sklearn")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        if self.options.uncertainty == "jackknife":
            self.spreads = (1.0,)  # an estimate of a definite thing: nothing to scale

    def _learn(self, data: Labelled, seed: int) -> Members:
        from sklearn.tree import DecisionTreeRegressor  # takes a second

        design = Design.of(data.features)
        x, y = design(data.features).astype(np.float32), data.z[:, 0]
        seeds = np.random.default_rng(seed).integers(0, 2**31 - 1, len(data.weights)).tolist()
        trees = []
        for one, weights in zip(seeds, data.weights, strict=True):
            tree = DecisionTreeRegressor(
                max_features=self.options.max_features, min_samples_leaf=self.options.min_leaf, random_state=one
            )
            rows = np.flatnonzero(weights)
            trees.append(tree.fit(x[rows], y[rows], sample_weight=weights[rows].astype(np.float64)).tree_)
        return _forest(design, trees, data.weights)

    def _members(self, state: Mapping[str, Any]) -> Members:
        checked_state(self.kind, state, {f"trees_{name}" for name in _ARRAYS} | {"design_mean"})
        return Forest(Design.from_state(state), *(state[f"trees_{name}"].numpy().copy() for name in _ARRAYS))

    def _out_of_bag(self, guesses: FloatArray, weights: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        mean, spread = super()._out_of_bag(guesses, weights)
        return mean, spread if self.options.uncertainty == "spread" else _mended(_influence(guesses, weights), guesses)[
            1
        ]

    def _covariance(self, guesses: FloatArray) -> FloatArray:
        if self.options.uncertainty == "spread":
            return super()._covariance(guesses)
        return _jackknife(guesses, self._weights())

    def _spread(self, guesses: FloatArray) -> FloatArray:
        if self.options.uncertainty == "spread":
            return super()._spread(guesses)
        return _mended(_influence(guesses, self._weights()), guesses)[1]

    def _weights(self) -> NDArray[Any]:
        members = self._ready().members
        assert isinstance(members, Forest)
        return members.weights


def _forest(design: Design, trees: list[Any], weights: NDArray[np.int64]) -> Forest:
    sizes = [tree.node_count for tree in trees]
    root = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    offset = np.repeat(root, sizes)
    own = np.arange(sum(sizes))
    left, right, column = (
        np.concatenate([getattr(tree, name) for tree in trees])
        for name in ("children_left", "children_right", "feature")
    )
    leaf = left < 0
    return Forest(
        design,
        np.where(leaf, own, left + offset).astype(np.int32),
        np.where(leaf, own, right + offset).astype(np.int32),
        np.where(leaf, 0, column).astype(np.int32),
        np.concatenate([tree.threshold for tree in trees]),
        np.concatenate([tree.value[:, 0, 0] for tree in trees]),
        root.astype(np.int32),
        weights.astype(np.int16),
    )


def _influence(guesses: FloatArray, weights: NDArray[Any]) -> FloatArray:
    """Return the covariance over trees of each training row's weight and each prediction, shape `(n, m)`."""
    centred = weights - weights.mean(0)
    return np.asarray(centred.T @ (guesses - guesses.mean(0)) / len(guesses))


def _mended(influence: FloatArray, guesses: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the plain and the bias-corrected variance of the forest's mean at m objects, each `(m,)`.

    The bias of T trees is n/T times the variance between them (equation 7 of the paper).
    """
    plain = np.square(influence).sum(0)
    return plain, np.maximum(plain - len(influence) / len(guesses) * guesses.var(0), 0.0)


def _jackknife(guesses: FloatArray, weights: NDArray[Any]) -> FloatArray:
    """Return the covariance of the forest's mean at m objects, shape `(m, m)`, by the infinitesimal jackknife.

    The bias is taken off by shrinking each object's row and column, so that the matrix stays positive semi-definite.

    Args:
        guesses: shape `(T, m)`.
        weights: shape `(T, n)`.
    """
    influence = _influence(guesses, weights)
    plain, mended = _mended(influence, guesses)
    factor = np.sqrt(mended / np.maximum(plain, 1e-300))
    return np.asarray(influence.T @ influence * np.outer(factor, factor))
