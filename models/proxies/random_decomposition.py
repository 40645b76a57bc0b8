"""Additive Gaussian process over the edges of a random tree of variables, another each round: for many variables."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import minimize

from data.records import FloatArray, Prediction
from models.proxies.base import BaseProxy
from models.proxies.checks import FEWEST_LABELS, canonical_order, checked_labels, checked_state, digests
from models.proxies.design import CLIP, Standardiser
from models.proxies.kriging import (
    Hyperparameters,
    Pairs,
    Posterior,
    conditioned,
    noisy_covariance,
    projected_likelihood,
)
from models.proxies.target import Target
from models.proxies.tensors import as_tensors
from models.threads import one_blas_thread

_DECIMALS = 7
_CHUNK = 512
_LENGTHS, _VARIANCES, _NOISE = (0.1, 100.0), (1e-3, 1e2), 4.0

Edges = NDArray[np.int64]
"""Pairs of columns, shape `(e, 2)`."""


@dataclass(frozen=True)
class _Fitted:
    standardiser: Standardiser
    z: FloatArray
    y: FloatArray
    edges: Edges
    length: float
    location: float
    scale: float
    posterior: Posterior


class RandomDecomposition(BaseProxy["RandomDecomposition.Options"]):
    """Gaussian process with the covariance `a / (p - 1) sum_(i,j) Matern52(|(x_i, x_j) - (x'_i, x'_j)| / l) + noise`.

    The sum goes over the p - 1 edges of a tree on the p dense features, drawn uniformly and not by what the values say.
    What is learnt of a variable then holds wherever the others are, so that few labels say something of many variables,
    as far as the function is a sum of functions of few of them. A tree that is wrong in one round is another in
    the next: it is drawn by the seed and by which objects are labelled, so that equal data give equal proxies.

    With the acquisition `upper_confidence_bound` this is RDUCB but for two things: the bound takes the standard
    deviation of the whole sum, not the sum of those of the edges, and candidates come from the campaign's generator,
    not from messages along the tree. The variance, the length-scale and the noise maximise the likelihood; the mean is
    an unknown constant. Features that count, such as fingerprints, are not used.

    Reference: Ziomek and Bou-Ammar, Are random decompositions all we need in high dimensional Bayesian optimisation?,
    ICML 2023, arXiv:2301.12844.
    """

    kind = "random_decomposition"
    cites = ("ziomek2023random", "rasmussen2006gp")

    class Options(BaseProxy.Options):
        """Options of the additive process."""

        redrawn: bool = Field(
            True, description="another tree whenever other objects are measured; false: one tree by the seed alone"
        )
        restarts: int = Field(2, ge=1, le=50, description="starts of the likelihood's maximisation")
        min_noise: float = Field(1e-4, gt=0, le=1, description="least noise variance, in variances of the target")
        likelihood_points: int = Field(
            300, ge=FEWEST_LABELS, description="most labels, drawn by the seed, that choose hyperparameters"
        )
        labels: int = Field(3000, ge=FEWEST_LABELS, description="most labels that are learnt, drawn by the seed")
        clip: float = Field(CLIP, gt=0, description="limit of a standardised feature")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._fitted: _Fitted | None = None

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Of the tree, pairs of places among the features that vary; raises RuntimeError before `fit`."""
        return [(int(a), int(b)) for a, b in self._ready().edges]

    def _ready(self) -> _Fitted:
        if self._fitted is None:
            raise self._untrained()
        return self._fitted

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train from nothing.

        Args:
            objects: n >= 5 objects.
            values: shape `(n,)`, finite, in the unit of the target.
            seed: of the tree, with the objects, of the likelihood's starts, and of which labels are seen of many.

        Raises:
            ValueError: fewer than 5 labels, lengths that differ, values that are not finite, an invalid object, or
                features without any dense one.
        """
        values = checked_labels(self.kind, objects, values)
        dense = self._dense(objects)  # before they are put in order: an error names the caller's row
        order = canonical_order(objects, values)
        rng = np.random.default_rng(seed)
        if len(order) > self.options.labels:
            order = order[np.sort(rng.choice(len(order), self.options.labels, replace=False))]
        names = int.from_bytes(hashlib.sha256(b"".join(digests([objects[at] for at in order]))).digest()[:8])
        dense, values = dense[order], values[order]
        target = Target.of(values[:, None])
        y = target.standardised(values[:, None])[:, 0]
        standardiser = Standardiser.of(dense, self.options.clip)
        z = standardiser(dense)
        edges = random_tree(z.shape[1], np.random.default_rng([seed, names] if self.options.redrawn else seed))
        most = self.options.likelihood_points
        rows = np.arange(len(y)) if len(y) <= most else np.sort(rng.choice(len(y), most, replace=False))
        with one_blas_thread():
            if y.any() and z.shape[1]:
                length, h = fit_additive(
                    z[rows], y[rows], edges, restarts=self.options.restarts, min_noise=self.options.min_noise, rng=rng
                )
            else:  # nothing to choose by: no label differs, or no object from another
                length, h = 1.0, Hyperparameters(0.0, (1.0,), 1.0, 1.0 if y.any() else self.options.min_noise)
            known = conditioned(noisy_covariance(_pairs(z, z, edges, length), h), y, h)
        location, scale = float(target.location[0]), float(target.scale[0])
        self._fitted = _Fitted(standardiser, z, y, edges, length, location, scale, known)

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict n objects, given as standard text.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        fitted = self._ready()
        if not len(objects):
            return Prediction(np.zeros(0), np.zeros(0))
        z = fitted.standardiser(self._dense(objects))
        parts = []
        with one_blas_thread():
            for at in range(0, len(z), _CHUNK):
                parts.append(
                    fitted.posterior.predict(_pairs(z[at : at + _CHUNK], fitted.z, fitted.edges, fitted.length))
                )
        mean, variance = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        mean = fitted.location + fitted.scale * mean.round(_DECIMALS)
        return Prediction(mean, fitted.scale * np.sqrt(variance).round(_DECIMALS).clip(10.0**-_DECIMALS))

    def joint(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return mean `(n,)` and covariance `(n, n)` of the noise-free function, in the unit of the target.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        fitted = self._ready()
        if not len(objects):
            return np.zeros(0), np.zeros((0, 0))
        z = fitted.standardiser(self._dense(objects))
        with one_blas_thread():
            mean, covariance = fitted.posterior.joint(
                _pairs(z, fitted.z, fitted.edges, fitted.length), _pairs(z, z, fitted.edges, fitted.length)
            )
        return fitted.location + fitted.scale * mean.round(_DECIMALS), fitted.scale**2 * covariance

    def state(self) -> dict[str, Any]:
        """Return the training points, the tree and the hyperparameters."""
        fitted = self._ready()
        return dict(
            as_tensors(
                {
                    "feature_mean": fitted.standardiser.mean,
                    "feature_scale": fitted.standardiser.scale,
                    "z": fitted.z,
                    "y": fitted.y,
                    "edges": fitted.edges,
                    "numbers": np.array([fitted.length, fitted.location, fitted.scale]),
                    "hyperparameters": np.array(fitted.posterior.h.numbers()),
                }
            )
        )

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned: predictions are then the same.

        Raises:
            ValueError: the state lacks an entry.
        """
        names = {"feature_mean", "feature_scale", "z", "y", "edges", "numbers", "hyperparameters"}
        checked_state(self.kind, state, names)
        a = {name: state[name].detach().cpu().numpy().copy() for name in names}
        length, location, scale = a["numbers"].tolist()
        h = Hyperparameters.of(a["hyperparameters"].tolist())
        with one_blas_thread():
            known = conditioned(noisy_covariance(_pairs(a["z"], a["z"], a["edges"], length), h), a["y"], h)
        standardiser = Standardiser(a["feature_mean"], a["feature_scale"], self.options.clip)
        self._fitted = _Fitted(standardiser, a["z"], a["y"], a["edges"], length, location, scale, known)

    def check_features(self, objects: Sequence[str]) -> None:
        """Refuse features of which none is dense."""
        self._dense(objects)

    def _dense(self, objects: Sequence[str]) -> FloatArray:
        dense = self.featuriser(objects).dense
        if not dense.shape[1]:
            raise ValueError(
                f"The proxy 'random_decomposition' needs dense features, which the featuriser "
                f"{self.featuriser.kind!r} does not make. Choose other features, or the proxy 'gaussian_process'."
            )
        return dense


def random_tree(p: int, rng: np.random.Generator) -> Edges:
    """Return the edges of a tree on p nodes, drawn uniformly of all p^(p-2) by its code of Pruefer.

    Of one node there is none; it is paired with itself, so that a function of one variable can be learnt.
    """
    if p < 2:
        return np.zeros((p, 2), dtype=np.int64)
    code = rng.integers(p, size=p - 2).tolist()
    uses = Counter(code)
    leaves = [node for node in range(p) if not uses[node]]
    heapq.heapify(leaves)
    edges = list[tuple[int, int]]()
    for node in code:
        edges.append((heapq.heappop(leaves), node))
        uses[node] -= 1
        if not uses[node]:
            heapq.heappush(leaves, node)
    edges.append((heapq.heappop(leaves), heapq.heappop(leaves)))
    return np.array(edges, dtype=np.int64)


def fit_additive(
    z: FloatArray, y: FloatArray, edges: Edges, *, restarts: int, min_noise: float, rng: np.random.Generator
) -> tuple[float, Hyperparameters]:
    """Return the length-scale of maximal likelihood, by L-BFGS, and the other hyperparameters.

    Args:
        z: standardised features, shape `(n, p)`.
        y: standardised values, shape `(n,)`.
        edges: of the tree.
        restarts: number of starts; the first is fixed, the others scatter around it.
        min_noise: lower bound of the noise variance.
        rng: of the scattered starts.
    """
    limits = np.log([_VARIANCES, _LENGTHS, (min_noise, _NOISE)])
    origin = np.log([1.0, 2.0, max(0.05, min_noise)])

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        variance, length, noise = np.exp(theta).tolist()
        k, slope = additive(z, z, edges, length)
        value, weight = projected_likelihood(variance * k + noise * np.eye(len(y)), y)
        gradient = [variance * np.vdot(weight, k), variance * np.vdot(weight, slope), noise * weight.trace()]
        return -value, -np.array(gradient)

    starts = [origin, *(np.clip(origin + rng.normal(0.0, 1.0, 3), *limits.T) for _ in range(restarts - 1))]
    found = [minimize(loss, at, jac=True, method="L-BFGS-B", bounds=limits.tolist()) for at in starts]
    variance, length, noise = np.exp(min(found, key=lambda result: float(result.fun)).x).tolist()
    return length, Hyperparameters(0.0, (variance,), 1.0, noise)


def additive(a: FloatArray, b: FloatArray, edges: Edges, length: float) -> tuple[FloatArray, FloatArray]:
    """Return the mean of the edges' covariances `(n, m)`, 1 at equal points, and its derivative by log `length`."""
    k, slope = np.zeros((len(a), len(b))), np.zeros((len(a), len(b)))
    if not len(edges):
        return k + 1.0, slope
    for i, j in edges.tolist():
        s = np.square(a[:, i, None] - b[None, :, i])
        if j != i:
            s += np.square(a[:, j, None] - b[None, :, j])
        np.sqrt(s, out=s)
        s *= math.sqrt(5.0) / length
        decay = np.exp(-s)
        square = s * s / 3.0
        k += (1.0 + s + square) * decay
        slope += square * (1.0 + s) * decay
    return k / len(edges), slope / len(edges)


def _pairs(a: FloatArray, b: FloatArray, edges: Edges, length: float) -> Pairs:
    return Pairs(None, (additive(a, b, edges, length)[0],))
