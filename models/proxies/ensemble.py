"""What bootstrapped ensembles share: members, weights by object, and a deviation that grows away from the data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial.distance import cdist

from data.records import FloatArray, Prediction
from models.featurisers.base import Features
from models.proxies.base import BaseProxy
from models.proxies.checks import canonical_order, checked_labels, checked_state, digests
from models.proxies.dataset_map import Course
from models.proxies.design import DataDistance
from models.proxies.out_of_bag import SPREADS, Uncertainty, fit_uncertainty, out_of_bag, poisson_weights
from models.proxies.target import Target
from models.proxies.tensors import as_tensors
from models.threads import one_blas_thread

if TYPE_CHECKING:
    from torch import Tensor

_DECIMALS = 7
_CHUNK = 1024


class Members(Protocol):
    """Trained members of an ensemble."""

    def predict(self, objects: Sequence[str], features: Features) -> FloatArray:
        """Return standardised predictions of n objects and K targets, shape `(M, n, K)`."""

    def state(self) -> dict[str, Tensor]:
        """Return tensors from which an equal object can be made."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A training set in an order of its own, with what was made of it once.

    Attributes:
        objects: n objects.
        features: of them, n rows.
        z: standardised labels, shape `(n, K)`, NaN where one is missing.
        weights: how often each member sees each row, shape `(M, n)`.
    """

    objects: Sequence[str]
    features: Features
    z: FloatArray
    weights: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained ensemble."""

    members: Members
    target: Target
    distance: DataDistance
    uncertainty: tuple[Uncertainty, ...]
    """One for each target."""
    seed: int


class EnsembleProxy(BaseProxy):
    """Base of ensembles: each member learns from its own bootstrap sample.

    The mean is that of the members; the variance is that of `models.proxies.out_of_bag`.
    """

    spreads: Sequence[float] = SPREADS
    """Factors of the variance between members to choose from."""

    class Options(BaseProxy.Options):
        """Options of every ensemble."""

        members: int = Field(8, ge=2, le=2000, description="members, each trained on its own bootstrap sample")
        min_noise: float = Field(1e-4, gt=0, le=1, description="least noise variance, in variances of the target")

        def cited(self) -> tuple[str, ...]:
            """Return the papers of the variance, `models.proxies.out_of_bag`."""
            return "breiman2001forests", "oza2001online", "liu2020sngp"

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._fitted: Fitted | None = None

    @abstractmethod
    def _learn(self, data: Labelled, seed: int) -> Members:
        """Train the members from nothing."""

    @abstractmethod
    def _members(self, state: Mapping[str, Any]) -> Members:
        """Restore members from a state.

        Raises:
            ValueError: the state lacks an entry.
        """

    def _ready(self) -> Fitted:
        if self._fitted is None:
            raise self._untrained()
        return self._fitted

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train from nothing.

        Args:
            objects: n >= 5 objects of the sort that the featuriser takes.
            values: shape `(n,)`, finite, in the unit of the target.
            seed: of the bootstrap and of the training.

        Raises:
            ValueError: fewer than 5 labels, lengths that differ, values that are not finite, or an invalid object.
        """
        values = checked_labels(self.kind, objects, values)
        self._fit(objects, values[:, None], seed)

    def _fit(self, objects: Sequence[str], values: FloatArray, seed: int) -> None:
        with one_blas_thread():
            target = Target.of(values)
            data, _ = self._labelled(objects, values, target, seed)
            self._finish(data, self._learn(data, seed), target, seed)

    def _labelled(
        self, objects: Sequence[str], values: FloatArray, target: Target, seed: int
    ) -> tuple[Labelled, NDArray[np.intp]]:
        """Return the training set in its canonical order, and that order."""
        found = self.featuriser(objects)  # before they are put in order: an error names the caller's row
        order = canonical_order(objects, values)
        ordered = [objects[i] for i in order.tolist()]
        weights = poisson_weights(digests(ordered), self.options.members, seed)
        return Labelled(ordered, found[order], target.standardised(values[order]), weights), order

    def _finish(self, data: Labelled, members: Members, target: Target, seed: int) -> None:
        distance = DataDistance.of(data.features)
        apart = distance.left_out(distance.project(data.features))
        guesses = members.predict(data.objects, data.features)
        found = []
        for column in range(data.z.shape[1]):
            mean, spread = self._out_of_bag(guesses[:, :, column], data.weights)
            error = data.z[:, column] - mean
            found.append(fit_uncertainty(error, spread, apart, min_noise=self.options.min_noise, spreads=self.spreads))
        self._fitted = Fitted(members, target, distance, tuple(found), seed)

    def _out_of_bag(self, guesses: FloatArray, weights: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        return out_of_bag(guesses, weights)

    def _covariance(self, guesses: FloatArray) -> FloatArray:
        """Return the covariance between n objects over the members `(M, n)`, shape `(n, n)`."""
        centred = guesses - guesses.mean(0)
        return np.asarray(centred.T @ centred / (len(guesses) - 1))

    def _spread(self, guesses: FloatArray) -> FloatArray:
        """Return the diagonal of `_covariance`, shape `(n,)`."""
        return np.asarray(guesses.var(0, ddof=1))

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict n objects; of several targets the first.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        return self._predictions(objects)[0]

    def _predictions(self, objects: Sequence[str]) -> list[Prediction]:
        fitted = self._ready()
        parts: list[list[tuple[FloatArray, FloatArray]]] = [[] for _ in fitted.uncertainty]
        with one_blas_thread():
            for at in range(0, len(objects), _CHUNK):
                some = objects[at : at + _CHUNK]
                features = self.featuriser(some)
                distance = fitted.distance(fitted.distance.project(features))
                guesses = fitted.members.predict(some, features)
                for column, uncertainty in enumerate(fitted.uncertainty):
                    one = guesses[:, :, column]
                    # Rounded: the last bits of a mean over members depend on how many rows are averaged at a time.
                    variance = uncertainty.variance(self._spread(one), distance)
                    parts[column].append((one.mean(0).round(_DECIMALS), np.sqrt(variance).round(_DECIMALS)))
        return [self._in_units(part, column) for column, part in enumerate(parts)]

    def _in_units(self, parts: list[tuple[FloatArray, FloatArray]], column: int) -> Prediction:
        location, scale = (float(side[column]) for side in (self._ready().target.location, self._ready().target.scale))
        mean, std = (np.concatenate([part[side] for part in parts] or [np.zeros(0)]) for side in (0, 1))
        return Prediction(location + scale * mean, scale * std)

    def between_members(self, objects: Sequence[str]) -> FloatArray:
        """Return the standard deviation between members at n objects, `(n,)`, in the unit of the (first) target.

        It is the part of the deviation that the members tell, not scaled by what their errors said of it.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        fitted = self._ready()
        with one_blas_thread():
            guesses = fitted.members.predict(objects, self.featuriser(objects))[:, :, 0]
        return np.asarray(float(fitted.target.scale[0]) * guesses.std(0, ddof=1))

    def joint(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return mean `(n,)` and covariance `(n, n)` of the noise-free function, in the unit of the (first) target.

        The covariance between members, scaled as in the variance, plus what the members cannot know: its correlation
        is a Gaussian of the distance, with the length that the out-of-bag errors chose. A jitter of 1e-9 variances of
        the target is on the diagonal.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        fitted = self._ready()
        if not len(objects):
            return np.zeros(0), np.zeros((0, 0))
        with one_blas_thread():
            features = self.featuriser(objects)
            rows = fitted.distance.project(features)
            guesses = fitted.members.predict(objects, features)[:, :, 0]
            uncertainty = fitted.uncertainty[0]
            root = np.sqrt(uncertainty.ignorance(fitted.distance(rows)))
            alike = np.exp(-0.5 * np.square(cdist(rows, rows) / uncertainty.length))
            covariance = uncertainty.spread * self._covariance(guesses) + np.outer(root, root) * alike
        covariance[np.diag_indices_from(covariance)] += 1e-9
        location, scale = float(fitted.target.location[0]), float(fitted.target.scale[0])
        return location + scale * guesses.mean(0).round(_DECIMALS), scale**2 * 0.5 * (covariance + covariance.T)

    def course(self, objects: Sequence[str], values: FloatArray) -> Course | None:
        """Return the residuals of the n objects of `fit` from each member that did not see them; of several targets
        the first.

        Raises:
            RuntimeError: the proxy was not trained.
        """
        fitted, values = self._ready(), checked_labels(self.kind, objects, values)
        column = np.full((len(values), len(fitted.target.location)), np.nan)
        column[:, 0] = values
        with one_blas_thread():
            data, order = self._labelled(objects, column, fitted.target, fitted.seed)
            apart = fitted.distance.left_out(fitted.distance.project(data.features))
            guesses = fitted.members.predict(data.objects, data.features)[:, :, 0]
        mean, spread = self._out_of_bag(guesses, data.weights)
        deviation = np.sqrt(fitted.uncertainty[0].variance(spread, apart))
        residuals, last = np.empty(guesses.shape), np.empty(len(values))
        residuals[:, order] = np.where(data.weights == 0, data.z[:, 0] - guesses, np.nan) / deviation
        last[order] = (data.z[:, 0] - mean) / deviation
        return Course(residuals, last)

    def state(self) -> dict[str, Any]:
        """Return the fitted state: tensors only, loadable with `torch.load(weights_only=True)`."""
        fitted = self._ready()
        table = np.array([[u.spread, u.noise, u.length] for u in fitted.uncertainty])
        target = np.stack([fitted.target.location, fitted.target.scale])
        arrays = {"target": target, "uncertainty": table, "seed": np.array(fitted.seed)}
        return {**as_tensors(arrays), **fitted.distance.state(), **fitted.members.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; predictions are then the same.

        Raises:
            ValueError: the state lacks an entry, or belongs to other features.
        """
        names = {f"distance_{name}" for name in ("mean", "scale", "projection", "points")}
        checked_state(self.kind, state, {"target", "uncertainty", "seed"} | names)
        empty = self.featuriser([])
        width, got = empty.dense.shape[1] + empty.counts.shape[1], len(state["distance_projection"])
        if width and got != width:
            raise ValueError(
                f"The state of a {self.kind} was made of {got} features; the featuriser {self.featuriser.kind} makes "
                f"{width}. Use the features that it was trained with, or train again."
            )
        location, scale = state["target"].numpy().copy()
        uncertainty = tuple(Uncertainty(*row) for row in state["uncertainty"].tolist())
        distance = DataDistance.from_state(state)
        self._fitted = Fitted(self._members(state), Target(location, scale), distance, uncertainty, int(state["seed"]))
