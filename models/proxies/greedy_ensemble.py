"""An ensemble of proxies of any kinds, chosen one after the other by how likely they make held-out labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from data.records import FloatArray, Prediction
from models.protocols import JointProxy, Proxy
from models.proxies.base import BaseProxy
from models.proxies.checks import FEWEST_LABELS, checked_labels, checked_state, digests
from models.proxies.evaluation import out_of_fold
from models.proxies.tensors import as_tensors
from models.registry import build
from models.tails import log_density

_TINY = 1e-300
_USUAL = BaseProxy.Options.model_fields["features"].default


@dataclass(frozen=True)
class _Fitted:
    members: dict[int, Proxy]
    """Place in the pool -> the proxy, trained on all labels; those that were never picked are left out."""
    counts: NDArray[np.int64]
    """How often each of the pool was picked."""

    def weights(self) -> dict[int, float]:
        return {place: float(self.counts[place] / self.counts.sum()) for place in self.members}


class GreedyEnsemble(BaseProxy["GreedyEnsemble.Options"]):
    """A mixture of proxies, picked from a pool with replacement.

    Each of the pool predicts every label without its fold. Beginning with the best, the one is picked again and again
    whose addition makes the labels most likely under the mixture of what was picked; the shortest row of picks that is
    best stays. What was picked is then trained on all labels, and a proxy that was picked twice counts twice. Mean and
    variance are those of the mixture. A pool that has a bad member costs its trainings, one more for each fold, and no
    accuracy to speak of.

    `features` are those of all members that name none; with the default each has its own.

    Reference: Caruana et al., Ensemble selection from libraries of models, ICML (2004).
    """

    kind = "greedy_ensemble"
    reads_features = False  # each member has features of its own
    cites = ("caruana2004selection",)

    class Options(BaseProxy.Options):
        """Options of the selection."""

        pool: list[dict[str, Any]] = Field(
            [{"kind": "gaussian_process"}, {"kind": "random_forest"}, {"kind": "mlp_ensemble"}],
            min_length=1,
            description="proxies to pick from, each {kind: name, option: value}",
        )
        picks: int = Field(20, ge=1, le=1000, description="most picks, with replacement")
        folds: int = Field(5, ge=2, le=20, description="parts of the labels that are held out in turn")

        @field_validator("pool")
        @classmethod
        def _all_have_kinds(cls, pool: list[dict[str, Any]]) -> list[dict[str, Any]]:
            if not all("kind" in one for one in pool):
                raise ValueError("each proxy of the pool is written {kind: name, option: value}")
            return pool

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._fitted: _Fitted | None = None
        for place in range(len(self.options.pool)):
            self._made(place)  # what is wrong with one of them is said now

    def cited(self) -> tuple[str, ...]:
        """Return the paper of the selection and those of the pool."""
        pool: list[Any] = [self._made(place) for place in range(len(self.options.pool))]
        return tuple(dict.fromkeys([*self.cites, *(key for one in pool for key in one.cited())]))

    def _made(self, place: int) -> Any:
        spec = self.options.pool[place]
        if "features" not in spec and self.options.features != _USUAL:
            spec = {**spec, "features": self.options.features}
        return build("proxy", spec)

    def _ready(self) -> _Fitted:
        if self._fitted is None:
            raise self._untrained()
        return self._fitted

    @property
    def counts(self) -> tuple[int, ...]:
        """How often each of the pool was picked; raises RuntimeError before `fit`."""
        return tuple(self._ready().counts.tolist())

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train from nothing.

        Args:
            objects: n >= 5 objects of the sort that the featurisers of the pool take.
            values: shape `(n,)`, finite, in the unit of the target.
            seed: of the folds and of every training.

        Raises:
            ValueError: fewer than 5 labels, lengths that differ, values that are not finite, or an invalid object.
        """
        values = checked_labels(self.kind, objects, values)
        self.featuriser(objects)  # an error names the caller's row
        places = range(len(self.options.pool))
        counts = np.ones(1, dtype=np.int64)
        fold = self._folds(objects, seed)
        if len(places) > 1 and fold is not None:
            scale = float(values.std()) or 1.0
            table = np.array([self._held_out(place, objects, values, fold, seed, scale) for place in places])
            counts = picked(table, self.options.picks)
        elif len(places) > 1:
            counts = np.ones(len(places), dtype=np.int64)  # too few to hold any out: all count alike
        members: dict[int, Proxy] = {}
        for place in np.flatnonzero(counts).tolist():
            members[place] = self._made(place)
            members[place].fit(objects, values, seed=seed)
        self._fitted = _Fitted(members, counts)

    def _folds(self, objects: Sequence[Any], seed: int) -> list[int] | None:
        """Return the fold of each label, measurements of one object sharing it; None: a fold leaves too few labels."""
        keys = digests(objects)
        distinct = sorted(set(keys))
        order = np.random.default_rng([seed, 2]).permutation(len(distinct)).tolist()
        place = dict(zip(distinct, order, strict=True))
        fold = [place[key] % self.options.folds for key in keys]
        largest = int(np.bincount(fold).max())
        return fold if len(set(fold)) > 1 and len(keys) - largest >= FEWEST_LABELS else None

    def _held_out(
        self, place: int, objects: Sequence[Any], values: FloatArray, fold: list[int], seed: int, scale: float
    ) -> FloatArray:
        """Return the log density of each label, in units of the target's scale, by a proxy without its fold."""

        def train(_: int, rows: list[int]) -> Proxy:
            proxy: Proxy = self._made(place)
            proxy.fit([objects[i] for i in rows], values[rows], seed=seed)
            return proxy

        told = out_of_fold(train, objects, fold)
        z = (values - told.mean) / told.std
        return log_density(z, told.freedom) - np.log(told.std / scale)

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict n objects by mean and standard deviation of the mixture.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        fitted = self._ready()
        weights = fitted.weights()
        told = {place: member.predict(objects) for place, member in fitted.members.items()}
        mean = sum((weights[k] * one.mean for k, one in told.items()), np.zeros(len(objects)))
        variance = sum(
            (weights[k] * (np.square(one.std) + np.square(one.mean - mean)) for k, one in told.items()),
            np.zeros(len(objects)),
        )
        return Prediction(mean, np.sqrt(variance))

    def joint(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return mean `(n,)` and covariance `(n, n)` of the mixture's noise-free function.

        Raises:
            RuntimeError: the proxy was not trained.
            TypeError: a picked proxy cannot tell how its errors go together.
            ValueError: one of the texts is no valid object.
        """
        fitted = self._ready()
        weights, n = fitted.weights(), len(objects)
        told = {}
        for place, member in fitted.members.items():
            if not isinstance(member, JointProxy):
                raise TypeError(
                    f"The proxy {self.options.pool[place]['kind']!r} of a {self.kind} has no joint covariance. Leave "
                    "it out of the pool, or use a selector that needs none."
                )
            told[place] = member.joint(objects)
        mean = sum((weights[k] * one for k, (one, _) in told.items()), np.zeros(n))
        covariance = np.zeros((n, n))
        for k, (one, own) in told.items():
            covariance += weights[k] * (own + np.outer(one - mean, one - mean))
        return mean, 0.5 * (covariance + covariance.T)

    def state(self) -> dict[str, Any]:
        """Return the fitted state: tensors only, loadable with `torch.load(weights_only=True)`."""
        fitted = self._ready()
        nested = {
            f"member_{k}.{name}": one for k, member in fitted.members.items() for name, one in member.state().items()
        }
        return {**as_tensors({"picks": fitted.counts}), **nested}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; predictions are then the same.

        Raises:
            ValueError: the state lacks an entry, or is of another pool.
        """
        checked_state(self.kind, state, {"picks"})
        counts = state["picks"].numpy().copy()
        if len(counts) != len(self.options.pool):
            raise ValueError(
                f"The state is of a pool of {len(counts)} proxies; this {self.kind} has {len(self.options.pool)}. "
                "Build it with the options that it was saved with."
            )
        members: dict[int, Proxy] = {}
        for place in np.flatnonzero(counts).tolist():
            start = f"member_{place}."
            members[place] = self._made(place)
            members[place].load_state({key[len(start) :]: one for key, one in state.items() if key.startswith(start)})
        self._fitted = _Fitted(members, counts)


def picked(table: FloatArray, picks: int) -> NDArray[np.int64]:
    """Return how often each of k members is picked, shape `(k,)`.

    Each pick is the one whose addition raises the mean log density of the mixture most, or lowers it least; of all rows
    of picks so far the best, and of equals the shortest, stays.

    Args:
        table: log density of each of n labels by each member, shape `(k, n)`.
        picks: most picks.
    """
    peak = table.max(0)
    density = np.exp(table - peak)
    counts, total = np.zeros(len(table), dtype=np.int64), np.zeros(table.shape[1])
    best, found = -np.inf, counts
    for number in range(1, picks + 1):
        scores = np.log(np.maximum((total + density) / number, _TINY)).mean(1)
        at = int(scores.argmax())
        counts, total = counts.copy(), total + density[at]
        counts[at] += 1
        if scores[at] > best + 1e-12:
            best, found = float(scores[at]), counts
    return found
