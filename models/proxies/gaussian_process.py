"""Exact Gaussian process on RDKit descriptors and Morgan counts: the default proxy below some 5,000 labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial.distance import cdist

from data.molecules import tanimoto
from data.records import FloatArray, Prediction
from models.features import features
from models.proxies.kriging import Hyperparameters, Pairs, Posterior, fit_hyperparameters, one_blas_thread, posterior
from models.registry import Component

FEWEST_LABELS = 5
_DECIMALS = 7
_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class _Standardiser:
    """Location and scale of the training descriptors; constant columns have scale 0 and are left out.

    Beyond `clip` scales a value is taken as the limit: a count that one training molecule in fifty has, or a size far
    outside what was measured, must not buy a generator an unbounded distance from the data.
    """

    mean: FloatArray
    scale: FloatArray
    clip: float

    def __call__(self, table: FloatArray) -> FloatArray:
        keep = self.scale > 0
        z = (table[:, keep] - self.mean[keep]) / self.scale[keep]
        return np.ascontiguousarray(z.clip(-self.clip, self.clip))

    @staticmethod
    def of(table: FloatArray, clip: float) -> _Standardiser:
        mean, scale = table.mean(0), table.std(0)
        scale[scale <= 1e-9 * np.maximum(1.0, np.abs(mean))] = 0.0
        return _Standardiser(mean, scale, clip)


@dataclass(frozen=True, slots=True)
class _Fitted:
    standardiser: _Standardiser
    z: FloatArray
    counts: NDArray[np.int32]
    location: float
    scale: float
    posterior: Posterior


class GaussianProcess(Component):
    """Exact Gaussian process: `a Matern52(standardised descriptors) + b MinMax(Morgan counts) + noise`.

    The mean is an unknown constant under a flat prior, integrated out. The values are standardised, so that values in
    other units give the same predictions in those units. Hyperparameters maximise the marginal likelihood; the
    distances and similarities are computed once. Labels that are all one value say nothing about the scale of the
    target: the prediction is then that value, with the standard deviation of a process as large as the value itself
    (1 if it is 0).

    Reference: Rasmussen and Williams (2006); the min-max kernel on counts: Ralaivola et al., Neural Networks 18 (2005).
    """

    group = "proxy"
    kind = "gaussian_process"
    reference = "Rasmussen and Williams, Gaussian Processes for Machine Learning, MIT Press (2006)"

    class Options(Component.Options):
        """Options of the Gaussian process."""

        kernel: Literal["sum", "descriptors", "tanimoto"] = Field("sum", description="terms of the covariance")
        restarts: int = Field(2, ge=1, le=50, description="starts of the likelihood's maximisation")
        min_noise: float = Field(1e-4, gt=0, le=1, description="least noise variance, in variances of the target")
        clip: float = Field(5.0, gt=0, description="limit of a standardised descriptor")
        likelihood_points: int = Field(
            800, ge=FEWEST_LABELS, description="most labels, drawn by the seed, that choose hyperparameters"
        )

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._fitted: _Fitted | None = None

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Of the standardised target; raises RuntimeError before `fit`."""
        return self._ready().posterior.h

    @property
    def jitter(self) -> float:
        """What had to be added to the covariance's diagonal, in units of its mean; 0 when nothing was."""
        return self._ready().posterior.jitter

    def _ready(self) -> _Fitted:
        if self._fitted is None:
            raise RuntimeError(
                "This gaussian_process proxy was not trained; call `fit`, or `load_state` with a saved state."
            )
        return self._fitted

    def _pairs(self, za: FloatArray, ca: NDArray[np.int32], zb: FloatArray, cb: NDArray[np.int32]) -> Pairs:
        kernel = self.options.kernel
        # cdist and the counts' similarities are calculated pair by pair or in exact integers: no batch effect here.
        return Pairs(
            distance=None if kernel == "tanimoto" else cdist(za, zb),
            similarity=None if kernel == "descriptors" else tanimoto(ca, cb),
        )

    def fit(self, molecules: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train from nothing.

        Args:
            molecules: n >= 5 canonical SMILES.
            values: shape `(n,)`, finite, in the unit of the target.
            seed: of the likelihood's starts and, beyond `likelihood_points` labels, of the subset that it sees.

        Raises:
            ValueError: fewer than 5 labels, lengths that differ, values that are not finite, or an invalid molecule.
        """
        values = _checked(molecules, values)
        with one_blas_thread():
            self._fitted = self._fit(molecules, values, seed)

    def _fit(self, molecules: Sequence[str], values: FloatArray, seed: int) -> _Fitted:
        found = features(molecules)
        standardiser = _Standardiser.of(found.descriptors, self.options.clip)
        z = standardiser(found.descriptors)
        pairs = self._pairs(z, found.counts, z, found.counts)
        location, spread = float(values.mean()), float(values.std())
        # The mean and deviation of equal numbers carry rounding noise; it must not be taken for a signal.
        constant = spread <= 1e-12 * max(abs(location), 1e-300)
        scale = (abs(location) or 1.0) if constant else spread
        target = np.zeros(len(values)) if constant else (values - location) / scale
        start = math.sqrt(max(z.shape[1], 1))
        if constant:
            both = 0.5 if self.options.kernel == "sum" else 1.0
            h = Hyperparameters(both, both, start, self.options.min_noise)
        else:
            h = self._hyperparameters(pairs, target, start, seed)
        return _Fitted(standardiser, z, found.counts, location, scale, posterior(pairs, target, h))

    def _hyperparameters(self, pairs: Pairs, target: FloatArray, start: float, seed: int) -> Hyperparameters:
        n, most = len(target), self.options.likelihood_points
        rows = np.arange(n) if n <= most else np.sort(np.random.default_rng(seed).choice(n, most, replace=False))

        def part(matrix: FloatArray | None) -> FloatArray | None:
            return matrix if matrix is None or n <= most else matrix[np.ix_(rows, rows)]

        return fit_hyperparameters(
            Pairs(part(pairs.distance), part(pairs.similarity)),
            target[rows],
            scale=start,
            restarts=self.options.restarts,
            min_noise=self.options.min_noise,
            seed=seed,
        )

    def predict(self, molecules: Sequence[str]) -> Prediction:
        """Predict n molecules, given as canonical SMILES; repeats within the process cost no featurisation.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid molecule.
        """
        fitted = self._ready()
        with one_blas_thread():
            parts = [self._predict(fitted, molecules[at : at + _CHUNK]) for at in range(0, len(molecules), _CHUNK)]
        mean, std = (np.concatenate([part[side] for part in parts] or [np.zeros(0)]) for side in (0, 1))
        return Prediction(mean, std)

    def _predict(self, fitted: _Fitted, molecules: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        found = features(molecules)
        pairs = self._pairs(fitted.standardiser(found.descriptors), found.counts, fitted.z, fitted.counts)
        mean, variance = fitted.posterior.predict(pairs)
        # Products of one shape (see kriging.BLOCK) leave no known way for a molecule's company to change its last
        # bits; rounding hides those that a row's place inside a block may still change on another BLAS.
        mean = fitted.location + fitted.scale * mean.round(_DECIMALS)
        return mean, fitted.scale * np.sqrt(variance).round(_DECIMALS).clip(10.0**-_DECIMALS)

    def state(self) -> dict[str, Any]:
        """Return the fitted state: tensors only, loadable with `torch.load(weights_only=True)`."""
        fitted = self._ready()
        post = fitted.posterior
        arrays = {
            "descriptor_mean": fitted.standardiser.mean,
            "descriptor_scale": fitted.standardiser.scale,
            "z": fitted.z,
            "counts": fitted.counts.astype(np.int16),
            "target": np.array([fitted.location, fitted.scale]),
            "factor": post.factor,
            "weights": post.weights,
            "ones": post.ones,
            "mean_jitter": np.array([post.mean, post.jitter]),
            "hyperparameters": np.array(astuple(post.h)),
        }
        return {name: torch.from_numpy(np.array(array, order="C")) for name, array in arrays.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; predictions are then the same to the bit.

        Raises:
            ValueError: the state lacks an entry, or belongs to another set of descriptors.
        """
        expected = {"descriptor_mean", "descriptor_scale", "z", "counts", "target", "factor", "weights", "ones"}
        missing = sorted((expected | {"mean_jitter", "hyperparameters"}) - state.keys())
        if missing:
            raise ValueError(
                f"The state of a gaussian_process lacks {', '.join(missing)}; it has {', '.join(sorted(state))}. "
                "Was it saved by another kind of proxy? Train again."
            )
        a = {name: tensor.detach().cpu().numpy().copy() for name, tensor in state.items()}
        width = features([]).descriptors.shape[1]
        if len(a["descriptor_mean"]) != width:
            raise ValueError(
                f"The state of a gaussian_process was made of {len(a['descriptor_mean'])} descriptors; this version "
                f"has {width}. Train again."
            )
        mean, jitter = a["mean_jitter"].tolist()
        location, scale = a["target"].tolist()
        factor = np.asfortranarray(a["factor"])
        h = Hyperparameters(*a["hyperparameters"].tolist())
        standardiser = _Standardiser(a["descriptor_mean"], a["descriptor_scale"], self.options.clip)
        post = Posterior(factor, a["weights"], a["ones"], mean, h, jitter)
        self._fitted = _Fitted(standardiser, a["z"], a["counts"].astype(np.int32), location, scale, post)


def _checked(molecules: Sequence[str], values: FloatArray) -> FloatArray:
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (len(molecules),):
        raise ValueError(
            f"A gaussian_process is trained on one value per molecule; got {len(molecules)} molecules and values of "
            f"shape {values.shape}."
        )
    if len(values) < FEWEST_LABELS:
        raise ValueError(
            f"A gaussian_process needs at least {FEWEST_LABELS} measured molecules; got {len(values)}. "
            "Enlarge the initial design."
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        named = ", ".join(f"{molecules[i]} ({values[i]})" for i in bad[:3])
        raise ValueError(
            f"A gaussian_process is trained on finite values; {len(bad)} of {len(values)} are not: {named}"
            f"{' ...' if len(bad) > 3 else ''}. Leave failed measurements out."
        )
    return values
