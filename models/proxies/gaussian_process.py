"""Gaussian process on descriptors and counts, the default proxy: exact up to 5,000 labels, then inducing points."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial.distance import cdist

from data.records import FloatArray, Prediction
from models.featurisers.base import Features, no_counts
from models.featurisers.nearness import Counted
from models.proxies.base import BaseProxy
from models.proxies.checks import FEWEST_LABELS, canonical_order, checked_labels, checked_state
from models.proxies.dataset_map import Course
from models.proxies.design import CLIP, Standardiser
from models.proxies.inducing import (
    InducingPosterior,
    Whitened,
    inducing_posterior,
    left_out,
    prior_factor,
    square_of,
)
from models.proxies.kriging import (
    Hyperparameters,
    Pairs,
    Posterior,
    cholesky,
    conditioned,
    covariance,
    fit_hyperparameters,
    noisy_covariance,
    ridge_path,
)
from models.proxies.packing import dense_counts, sparse_counts, square, triangle
from models.proxies.relevance import FEWEST_STARTS, MOST_POINTS, fit_length_scales
from models.proxies.student_t import Scaling
from models.proxies.target import Target
from models.proxies.tensors import as_tensors
from models.threads import one_blas_thread

logger = logging.getLogger(__name__)

_DECIMALS = 7
_CHUNK = 1024
_MAPPED = 2000
"""Most objects of which there is a map."""
_STEPS = 12
"""Of the ridge path."""


Counts = tuple[NDArray[np.int32], ...]
_MANY = ("snelson2006pseudo", "quinonero2005unifying")


@dataclass(frozen=True)
class _Fitted:
    standardiser: Standardiser
    z: FloatArray
    """Of the training points, or of the inducing points among them; so are the counts."""
    counts: Counts
    location: float
    scale: float
    posterior: Posterior | InducingPosterior
    dense: bool
    """Whether the dense features matter."""
    kinds: tuple[int, ...]
    """Places of the kinds of counts that matter; `counts` has these only."""
    scaling: Scaling | None = None
    """What the labels say of an unknown scale of the covariance; None: it is known, and a measurement is normal."""
    training: Whitened | None = None
    """What the posterior through inducing points was conditioned on; None: it is exact, or was loaded."""

    @cached_property
    def counted(self) -> tuple[Counted, ...]:
        """The counts, ready to be compared with those of others."""
        return tuple(map(Counted, self.counts))


class GaussianProcess(BaseProxy["GaussianProcess.Options"]):
    """Gaussian process with covariance `a Matern52(standardised dense features) + sum_j b_j MinMax(counts_j) + noise`.

    Where features count in several ways, each has a term of its own. A term to which the likelihood gives less than a
    thousandth of the variance is left out, and what it needs of an object is not calculated.

    Named variables have a length-scale each (`relevance`): which of them matter is learnt too.

    The mean is an unknown constant under a flat prior, integrated out. The values are standardised, so that values in
    other units give the same predictions in those units. Hyperparameters maximise the marginal likelihood; the
    distances and similarities are computed once. Labels that are all one value say nothing about the scale of the
    target: the prediction is then that value, with the standard deviation of a process as large as the value itself
    (1 if it is 0).

    Up to `exact_points` labels the posterior is exact. With more it goes through `inducing_points` of them, drawn by
    the seed; this is logged, `approximation` says so, and the state then has the entry `inducing`.

    With `tails: student_t` the scale of the covariance is unknown too, under an inverse-gamma prior that is integrated
    out: see `models.proxies.student_t`.

    Reference: Rasmussen and Williams (2006); the min-max kernel on counts: Ralaivola et al., Neural Networks 18 (2005).
    """

    kind = "gaussian_process"
    cites = ("rasmussen2006gp", "ralaivola2005kernels")
    weighs_features = True

    class Options(BaseProxy.Options):
        """Options of the Gaussian process."""

        kernel: Literal["sum", "descriptors", "tanimoto"] = Field(
            "sum", description="terms of the covariance: of the dense features, of the counts, or of what there is"
        )
        length_scales: Literal["one", "each"] | None = Field(
            None, description="of the dense features: one for all, or each its own; null: each where they are variables"
        )
        restarts: int = Field(
            2, ge=1, le=50, description="starts of the likelihood's maximisation; with length-scales of each at least 4"
        )
        min_noise: float = Field(1e-4, gt=0, le=1, description="least noise variance, in variances of the target")
        tails: Literal["normal", "student_t"] = Field(
            "normal", description="of a measurement: normal, or Student's t, the scale of the covariance being unknown"
        )
        freedom: float = Field(
            5.0, gt=2, le=1e9, description="degrees of freedom of student_t before there are labels; more: more normal"
        )
        clip: float = Field(CLIP, gt=0, description="limit of a standardised feature")
        likelihood_points: int = Field(
            800, ge=FEWEST_LABELS, description="most labels, drawn by the seed, that choose hyperparameters"
        )
        exact_points: int = Field(5000, ge=FEWEST_LABELS, description="most labels for which the posterior is exact")
        inducing_points: int = Field(
            1000, ge=FEWEST_LABELS, description="labels that stand for all when there are more"
        )

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._fitted: _Fitted | None = None

    def cited(self) -> tuple[str, ...]:
        """Return the papers of the process, counts, values left out, many labels, length-scales for each, and tails."""
        counted = self.options.kernel != "descriptors" and self.featuriser(()).counts.shape[1] > 0
        counts = ("ralaivola2005kernels",) if counted else ()
        many = ("dubrule1983cross", "ginsbourger2025fast", *_MANY)
        tails = ("shah2014student", "lee2022scale") if self.options.tails == "student_t" else ()
        return ("rasmussen2006gp", *counts, *many, *(("hvarfner2024vanilla",) if self._each else ()), *tails)

    def cited_beyond(self) -> Mapping[int, tuple[str, ...]]:
        """Return the papers of inducing points, which take the place of the exact posterior of many labels."""
        return {self.options.exact_points: _MANY}

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Of the standardised target; raises RuntimeError before `fit`."""
        return self._ready().posterior.h

    @property
    def jitter(self) -> float:
        """What had to be added to the covariance's diagonal, in units of its mean; 0 when nothing was."""
        return self._ready().posterior.jitter

    @property
    def approximation(self) -> Literal["none", "inducing points"]:
        """Whether the posterior is exact; raises RuntimeError before `fit`."""
        return "none" if isinstance(self._ready().posterior, Posterior) else "inducing points"

    def _ready(self) -> _Fitted:
        if self._fitted is None:
            raise self._untrained()
        return self._fitted

    def _pairs(self, za: FloatArray, ca: Counts, zb: FloatArray, cb: Counts | tuple[Counted, ...]) -> Pairs:
        kernel = self.options.kernel
        dense, counted = kernel != "tanimoto" and zb.shape[1] > 0, kernel != "descriptors" and len(cb) > 0
        if not dense and not counted:  # nothing varied: every point is like every other
            return Pairs(np.zeros((len(za), len(zb))))
        # cdist and the counts' similarities are calculated pair by pair or in exact integers: no batch effect here.
        ready = [b if isinstance(b, Counted) else Counted(b) for b in cb] if counted else []
        alike = tuple(b.similarity(a) for a, b in zip(ca, ready, strict=True)) if counted else ()
        return Pairs(cdist(za, zb) if dense else None, alike)

    def check_features(self, objects: Sequence[str]) -> None:
        """Refuse features without the block that the kernel is of."""
        self._features(objects)

    def _features(self, objects: Sequence[str]) -> Features:
        found = self.featuriser(objects)
        lacks = {"descriptors": not found.dense.shape[1], "tanimoto": not found.counts.shape[1]}
        if lacks.get(self.options.kernel, False):
            wanted = "dense features" if self.options.kernel == "descriptors" else "counts"
            raise ValueError(
                f"The kernel {self.options.kernel!r} needs {wanted}, "
                f"which the featuriser {self.featuriser.kind} does not make. Use `kernel: sum`, or other features."
            )
        return found

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train from nothing.

        Args:
            objects: n >= 5 objects.
            values: shape `(n,)`, finite, in the unit of the target.
            seed: of the likelihood's starts and, beyond `likelihood_points` labels, of the subset that it sees.

        Raises:
            ValueError: fewer than 5 labels, lengths that differ, values that are not finite, or an invalid object.
        """
        values = checked_labels(self.kind, objects, values)
        found = self._features(objects)  # before they are put in order: an error names the caller's row
        order = canonical_order(objects, values)
        with one_blas_thread():
            self._fitted = self._fit(found[order], values[order], seed)

    def _fit(self, found: Features, values: FloatArray, seed: int) -> _Fitted:
        target = Target.of(values[:, None])
        y = target.standardised(values[:, None])[:, 0]
        location, scale = float(target.location[0]), float(target.scale[0])
        rng = np.random.default_rng(seed)
        n, most = len(y), self.options.likelihood_points
        rows = np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))
        relevant = self._relevant(found, y, rows, seed)
        standardiser = Standardiser.of(found.dense, self.options.clip) if relevant is None else relevant[0]
        z, counts = standardiser(found.dense), found.kinds
        exact = n <= self.options.exact_points
        pairs = self._pairs(z, counts, z, counts) if exact else None
        if relevant is not None:
            h = relevant[1]
        else:
            h = self._hyperparameters(self._between(pairs, z, counts, rows), y, rows, z.shape[1], seed)
        dense, kinds = h.significant()
        h, counts = h.part(dense, kinds), tuple(counts[place] for place in kinds)
        if not dense:
            standardiser, z = Standardiser.of(z[:, :0], self.options.clip), z[:, :0]
        if pairs is not None:
            k = noisy_covariance(pairs.part(dense, kinds), h)
            del pairs  # two or more arrays of the covariance's size, which its factor needs room beside
            known = conditioned(k, y, h)
            scaling = self._scaling(float((y - known.mean) @ known.weights), len(y))
            return _Fitted(standardiser, z, counts, location, scale, known, dense, kinds, scaling)
        few = np.sort(rng.choice(n, min(self.options.inducing_points, n), replace=False))
        logger.warning(
            "This gaussian_process has %d labels, more than its `exact_points` %d: it goes through %d inducing points.",
            *(n, self.options.exact_points, len(few)),
        )
        inducing = tuple(of_kind[few] for of_kind in counts)
        own = self._pairs(z[few], inducing, z[few], inducing)
        through, training = inducing_posterior(own, self._pairs(z, counts, z[few], inducing), y, h)
        scaling = self._scaling(square_of(through, training), n)
        return _Fitted(standardiser, z[few], inducing, location, scale, through, dense, kinds, scaling, training)

    @property
    def _prior(self) -> float | None:
        """Degrees of freedom before there are labels; None: a measurement is normal."""
        return self.options.freedom if self.options.tails == "student_t" else None

    def _scaling(self, square: float, n: int) -> Scaling | None:
        # One degree of freedom goes to the unknown mean.
        return None if self._prior is None else Scaling.of(square, n - 1, self._prior)

    @property
    def _each(self) -> bool:
        """Whether each dense feature has a length-scale of its own."""
        chosen = self.options.length_scales
        return self.featuriser.separate if chosen is None else chosen == "each"

    def _relevant(
        self, found: Features, y: FloatArray, rows: NDArray[Any], seed: int
    ) -> tuple[Standardiser, Hyperparameters] | None:
        """Return the division of the features by their length-scales, and what belongs to it; None: they have one."""
        if not self._each or found.counts.shape[1] or not found.dense.shape[1]:
            return None
        if not y.any() or not np.ptp(found.dense, axis=0).any():
            return None
        few = rows if len(rows) <= MOST_POINTS else rows[:: -(-len(rows) // MOST_POINTS)]
        lengths, h = fit_length_scales(
            found.dense[few],
            y[few],
            restarts=max(self.options.restarts, FEWEST_STARTS),
            min_noise=self.options.min_noise,
            seed=seed,
            prior=self._prior,
        )
        return Standardiser(np.zeros(len(lengths)), lengths, math.inf), h

    def _between(self, pairs: Pairs | None, z: FloatArray, counts: Counts, rows: NDArray[Any]) -> Pairs:
        if pairs is None:
            some = tuple(of_kind[rows] for of_kind in counts)
            return self._pairs(z[rows], some, z[rows], some)
        return pairs if len(rows) == len(z) else pairs.within(rows)

    def _hyperparameters(
        self, pairs: Pairs, y: FloatArray, rows: NDArray[Any], width: int, seed: int
    ) -> Hyperparameters:
        start = math.sqrt(max(width, 1))
        count = len(pairs.similarities)
        if not y.any() or (not count and pairs.distance is not None and not pairs.distance.any()):
            # No label differs, or no point from any other: the likelihood has nothing to choose by. Constant labels
            # have the least noise; different labels at one point are noise altogether.
            share = 1.0 / ((pairs.distance is not None) + count)
            return Hyperparameters(share, (share,) * count, start, 1.0 if y.any() else self.options.min_noise)
        return fit_hyperparameters(
            pairs,
            y[rows],
            scale=start,
            restarts=self.options.restarts,
            min_noise=self.options.min_noise,
            seed=seed,
            prior=self._prior,
        )

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict n objects, given as standard text; repeats within the process cost no featurisation.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        fitted = self._ready()
        with one_blas_thread():
            parts = [self._predict(fitted, objects[at : at + _CHUNK]) for at in range(0, len(objects), _CHUNK)]
        empty = np.zeros(0)
        mean, std = (np.concatenate([part[side] for part in parts] or [empty]) for side in (0, 1))
        return Prediction(mean, std, None if fitted.scaling is None else np.full(len(mean), fitted.scaling.freedom))

    def _predict(self, fitted: _Fitted, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        mean, variance = fitted.posterior.predict(self._cross(fitted, self._part(fitted, objects)))
        if fitted.scaling is not None:
            variance = variance * fitted.scaling.factor
        # Products of one shape (see kriging.BLOCK) leave no known way for an object's company to change its last
        # bits; rounding hides those that a row's place inside a block may still change on another BLAS.
        mean = fitted.location + fitted.scale * mean.round(_DECIMALS)
        return mean, fitted.scale * np.sqrt(variance).round(_DECIMALS).clip(10.0**-_DECIMALS)

    def _part(self, fitted: _Fitted, objects: Sequence[str]) -> Features:
        return self.featuriser.partly(objects, dense=fitted.dense, kinds=fitted.kinds)

    def _cross(self, fitted: _Fitted, found: Features) -> Pairs:
        return self._pairs(fitted.standardiser(found.dense), found.kinds, fitted.z, fitted.counted)

    def joint(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return mean `(n,)` and covariance `(n, n)` of the noise-free function, in the unit of the target.

        Exact, or through the inducing points. The covariance takes memory for n^2 numbers: give thousands of
        objects at most.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        fitted = self._ready()
        if not len(objects):
            return np.zeros(0), np.zeros((0, 0))
        with one_blas_thread():
            found = self._part(fitted, objects)
            z = fitted.standardiser(found.dense)
            own = self._pairs(z, found.kinds, z, found.kinds)
            mean, covariance = fitted.posterior.joint(self._cross(fitted, found), own)
        factor = 1.0 if fitted.scaling is None else fitted.scaling.factor
        return fitted.location + fitted.scale * mean.round(_DECIMALS), fitted.scale**2 * factor * covariance

    def held_out(self, objects: Sequence[str], values: FloatArray, fold: Sequence[int]) -> Prediction | None:
        """Predict each of the n objects that it was trained on without its fold, exactly and from the one fit.

        Hyperparameters, the standardisation of features and target, and inducing points stay those of all objects.
        None after `load_state` where the posterior goes through inducing points: their state has not all objects.

        Args:
            objects: those of `fit`, in any order.
            values: theirs, shape `(n,)`.
            fold: n numbers of folds, at least two different ones.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: it was trained on another number of objects, or there is one fold only.
        """
        fitted, values = self._ready(), checked_labels(self.kind, objects, values)
        post, training = fitted.posterior, fitted.training
        if isinstance(post, InducingPosterior) and training is None:
            return None
        n = len(post.weights) if training is None else len(training.values)
        if len(objects) != n or len(fold) != n or len(set(fold)) < 2:
            raise ValueError(
                f"What a {self.kind} of {n} objects predicts without a fold is asked for the same {n} objects in at "
                f"least 2 folds; got {len(objects)} objects and {len(set(fold))} folds of {len(fold)}."
            )
        order = canonical_order(objects, values)
        mean, std, freedom = np.empty(n), np.empty(n), np.empty(n)
        ordered = np.asarray(fold)[order]
        with one_blas_thread():
            if isinstance(post, InducingPosterior):
                assert training is not None
                told, variance = left_out(post, training, ordered)
                mean[order] = fitted.location + fitted.scale * told.round(_DECIMALS)
                # Of so many labels a fold changes their scale by no more than what inducing points leave out.
                shares = np.zeros(n)
            else:
                error, variance = post.left_out(ordered)
                mean[order] = values[order] - fitted.scale * error.round(_DECIMALS)
                shares = error * post.weights
        if fitted.scaling is not None:
            factor, freedom[order] = fitted.scaling.left_out(shares, ordered)
            variance = variance * factor
        std[order] = fitted.scale * np.sqrt(variance).round(_DECIMALS).clip(10.0**-_DECIMALS)
        return Prediction(mean, std, None if fitted.scaling is None else freedom)

    def course(self, objects: Sequence[str], values: FloatArray) -> Course | None:
        """Return the residuals of the n objects of `fit`, each predicted without it, along the ridge path.

        None for more than 2,000 objects, of which the decomposition would take longer than the training.

        Raises:
            RuntimeError: the proxy was not trained.
        """
        fitted, values = self._ready(), checked_labels(self.kind, objects, values)
        h = fitted.posterior.h
        if len(values) > _MAPPED:
            return None
        with one_blas_thread():
            found = self._part(fitted, objects)
            z = fitted.standardiser(found.dense)
            k = covariance(self._pairs(z, found.kinds, z, found.kinds), h)
            path = ridge_path(k, (values - fitted.location) / fitted.scale, h.noise_variance, _STEPS)
        return Course(path, path[-1])

    def state(self) -> dict[str, Any]:
        """Return the fitted state: tensors only, loadable with `torch.load(weights_only=True)`.

        The factor of the training points' covariance is not among them: it is worked out again from them, to the bit on
        one machine, in a moment, and kept by every round of a campaign it would be most of what the campaign keeps.
        """
        fitted = self._ready()
        post = fitted.posterior
        arrays: dict[str, NDArray[Any]] = {
            "descriptor_mean": fitted.standardiser.mean,
            "descriptor_scale": fitted.standardiser.scale,
            "z": fitted.z,
            **sparse_counts(np.hstack([no_counts(len(fitted.z)), *fitted.counts])),
            "terms": np.array([fitted.dense, *fitted.kinds], dtype=np.int64),
            "target": np.array([fitted.location, fitted.scale]),
            "weights": post.weights,
            "ones": post.ones,
            "mean_jitter": np.array([post.mean, post.jitter]),
            "hyperparameters": np.array(post.h.numbers()),
        }
        if fitted.scaling is not None:
            arrays["scaling"] = np.array([fitted.scaling.square, fitted.scaling.labels, fitted.scaling.prior])
        if isinstance(post, InducingPosterior):
            arrays |= {"inducing": triangle(post.data), "precision": np.array([post.precision])}
        return dict(as_tensors(arrays))

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; predictions are then the same to the bit.

        Raises:
            ValueError: the state lacks an entry, or belongs to another set of features.
        """
        expected = {"descriptor_mean", "descriptor_scale", "z", "counts", "target", "weights", "ones"}
        checked_state(self.kind, state, expected | {"mean_jitter", "hyperparameters"})
        names = expected | {"mean_jitter", "hyperparameters"}
        names |= state.keys() & {"scaling", "factor", "inducing", "precision", "counts_at", "counts_shape", "terms"}
        a = {name: state[name].detach().cpu().numpy().copy() for name in names}
        empty = self.featuriser([])
        # States of before have all terms.
        dense, *kinds = a["terms"].tolist() if "terms" in a else [1, *range(len(empty.kinds))]
        width = empty.dense.shape[1] if dense else 0
        if width and len(a["descriptor_mean"]) != width:
            raise ValueError(
                f"The state of a gaussian_process was made of {len(a['descriptor_mean'])} descriptors; this version "
                f"has {width}. Train again."
            )
        mean, jitter = a["mean_jitter"].tolist()
        location, scale = a["target"].tolist()
        h = Hyperparameters.of(a["hyperparameters"].tolist())
        # Division by length-scales is never clipped; such features have no mean taken off (`_relevant`).
        clip = math.inf if self._each and not a["descriptor_mean"].any() else self.options.clip
        standardiser = Standardiser(a["descriptor_mean"], a["descriptor_scale"], clip)
        widths = empty.part(bool(dense), kinds).widths
        counts = Features(a["z"], dense_counts(a), widths).kinds
        through = "inducing" in a
        if "factor" in a:  # states of before hold it
            factor = square(a["factor"])
        else:
            with one_blas_thread():
                own = self._pairs(a["z"], counts, a["z"], counts)
                factor, _ = prior_factor(own, h) if through else cholesky(noisy_covariance(own, h))
        post: Posterior | InducingPosterior = Posterior(factor, a["weights"], a["ones"], mean, h, jitter)
        if through:
            data, precision = square(a["inducing"]), float(a["precision"][0])
            post = InducingPosterior(factor, data, a["weights"], a["ones"], precision, mean, h, jitter)
        scaling = None
        if "scaling" in a:
            squares, labels, prior = a["scaling"].tolist()
            scaling = Scaling(squares, int(labels), prior)
        self._fitted = _Fitted(standardiser, a["z"], counts, location, scale, post, bool(dense), tuple(kinds), scaling)
