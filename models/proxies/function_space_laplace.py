"""A perceptron with a Laplace approximation in function space, which learns more labels without being trained again."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from data.records import FloatArray, Prediction
from models.proxies.base import FEATURES, BaseProxy
from models.proxies.checks import FEWEST_LABELS, canonical_order, checked_labels, checked_state, digests
from models.proxies.design import Design
from models.proxies.dual import Duals, HeldOut, scale_and_noise
from models.proxies.networks import (
    BatchedMlp,
    gradient_sketch,
    last_layer,
    layer_derivatives,
    minibatches,
    train,
    weighted_error,
)
from models.proxies.packing import square, triangle
from models.proxies.target import Target
from models.proxies.tensors import as_tensors
from models.threads import one_blas_thread, single_thread

logger = logging.getLogger(__name__)

_DECIMALS = 7
_CHUNK = 1024


@dataclass(frozen=True)
class _Fitted:
    network: BatchedMlp
    design: Design
    points: FloatArray
    """Rows of the inducing points, shape `(m, width)`."""
    duals: Duals
    target: Target
    trained_on: int
    """Labels that the network was trained on."""


class FunctionSpaceLaplace(BaseProxy["FunctionSpaceLaplace.Options"]):
    """A perceptron whose derivatives by its weights are the features of a Gaussian process.

    The network is trained with a penalty on its weights. Linearised there, with a normal prior of the weights, it is a
    Gaussian process of kernel `k(x, x') = s J(x) J(x')'`, J being the derivatives of the output by all weights: its
    mean and variance are the predictions, the standardised labels counting through the sums of `models.proxies.dual`.
    The derivatives are never written out (see `models.proxies.networks.layer_derivatives`). s and the noise are those
    by which labels are most likely that were held out of `folds` other trainings: the labels themselves, from which the
    kernel has been learnt, would leave it far too sure.

    `condition` takes labels in without training, as if they had been there: their objects become inducing points too
    while there is room for more. With `refit: condition` a campaign
    does so from round to round, and trains a network anew once there are `growth` times the labels it was trained on.

    Reference: Scannell et al., Function-space parameterization of neural networks for sequential learning, ICLR (2024).
    """

    kind = "function_space_laplace"
    cites = ("scannell2024function",)

    class Options(BaseProxy.Options):
        """Options of the perceptron and of its approximation."""

        features: str | dict[str, Any] = Field("descriptors", description=FEATURES)
        width: int = Field(128, ge=1, description="units of a hidden layer")
        depth: int = Field(2, ge=0, le=8, description="hidden layers; 0: linear regression")
        steps: int = Field(600, ge=1, description="minibatches of a training")
        batch: int = Field(64, ge=2, description="objects of a minibatch")
        learning_rate: float = Field(2e-3, gt=0, le=1, description="largest rate of Adam")
        penalty: float = Field(
            1e-3,
            ge=0,
            description="of the sum of squared weights, beside the mean squared error of standardised labels",
        )
        folds: int = Field(3, ge=2, le=20, description="trainings without a part of the labels, which tell the noise")
        inducing_points: int = Field(
            500, ge=FEWEST_LABELS, description="training objects that stand for all when there are more"
        )
        min_noise: float = Field(1e-4, gt=0, le=1, description="least noise variance, in variances of the target")
        refit: Literal["scratch", "condition"] = Field(
            "scratch", description="train each round from nothing, or take the new labels in without training"
        )
        growth: float = Field(
            2.0, ge=1, description="with refit: condition, times the labels at which a network is trained anew"
        )

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._fitted: _Fitted | None = None

    @property
    def noise(self) -> float:
        """Noise variance of the standardised target; raises RuntimeError before `fit`."""
        return self._ready().duals.noise * self._ready().duals.scale

    @property
    def trained_on(self) -> int:
        """Labels that the network was trained on; those that it was conditioned on since are not among them."""
        return self._ready().trained_on

    def _ready(self) -> _Fitted:
        if self._fitted is None:
            raise self._untrained()
        return self._fitted

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train from nothing.

        Args:
            objects: n >= 5 objects of the sort that the featuriser takes.
            values: shape `(n,)`, finite, in the unit of the target.
            seed: of the initial weights, the minibatches and the inducing points.

        Raises:
            ValueError: fewer than 5 labels, lengths that differ, values that are not finite, or an invalid object.
        """
        values = checked_labels(self.kind, objects, values)
        found = self.featuriser(objects)  # before they are put in order: an error names the caller's row
        order = canonical_order(objects, values)
        with one_blas_thread(), single_thread():
            target = Target.of(values[:, None])
            z = target.standardised(values[order, None])
            design = Design.of(found[order])
            rows = design(found[order])
            spread, noise = 1.0, self.options.min_noise
            if z.any():
                held = self._held_out(rows, z, [objects[i] for i in order.tolist()], seed)
                spread, noise = scale_and_noise(held, min_noise=noise)
            network = self._trained(rows, z, seed)
            points, duals, typical = self._duals(network, rows, z, seed)
            scale = spread / typical
            duals = replace(duals, scale=scale, noise=noise / scale)
        self._fitted = _Fitted(network, design, points, duals, target, len(rows))

    def _held_out(self, rows: FloatArray, z: FloatArray, objects: Sequence[Any], seed: int) -> list[HeldOut]:
        """Return what networks that were trained without a fold say of it; measurements of one object share a fold."""
        keys = digests(objects)
        distinct = sorted(set(keys))
        place = dict(zip(distinct, np.random.default_rng([seed, 1]).permutation(len(distinct)).tolist(), strict=True))
        fold = np.array([place[key] % self.options.folds for key in keys])
        found = []
        for k in np.unique(fold).tolist():
            seen, out = fold != k, fold == k
            if not seen.any():  # all measurements are of one object: nothing can be held out
                seen = out
            network = self._trained(rows[seen], z[seen], seed)
            points, duals, typical = self._duals(network, rows[seen], z[seen], seed)
            cross, own = kernel(network, rows[out], points), own_kernel(network, rows[out])
            found.append(HeldOut.of(duals, typical, cross, own, z[out, 0]))
        return found

    def _duals(
        self, network: BatchedMlp, rows: FloatArray, z: FloatArray, seed: int
    ) -> tuple[FloatArray, Duals, float]:
        """Return inducing points, what n labels say through them, and the mean kernel of a point with itself."""
        points = rows
        if len(rows) > self.options.inducing_points:
            rng = np.random.default_rng(seed)
            points = rows[np.sort(rng.choice(len(rows), self.options.inducing_points, replace=False))]
        own = kernel(network, points, points)
        duals = Duals.of(own, scale=1.0, noise=1.0).given(kernel(network, rows, points), z[:, 0])
        return points, duals, float(own.diagonal().mean())

    def _trained(self, rows: FloatArray, z: FloatArray, seed: int) -> BatchedMlp:
        options = self.options
        generator = torch.Generator().manual_seed(seed + 1)
        network = BatchedMlp(1, [rows.shape[1], *[options.width] * options.depth, 1], generator)
        x, y = torch.from_numpy(rows).float(), torch.from_numpy(z).float()
        ones = torch.ones(1, len(rows))

        def loss(chosen: Tensor) -> Tensor:
            size = torch.stack([weight.square().sum() for weight in network.parameters()]).sum()
            return weighted_error(network(x[chosen]), y[chosen], ones[:, chosen]) + options.penalty * size

        batches = minibatches(len(rows), options.batch, options.steps, torch.Generator().manual_seed(seed))
        train(network, loss, batches, options.steps, learning_rate=options.learning_rate, weight_decay=0.0)
        return network.double()

    def condition(self, objects: Sequence[str], values: FloatArray) -> None:
        """Take n more labels in, without training: the predictions are then those of all labels with this network.

        Args:
            objects: n objects.
            values: shape `(n,)`, finite, in the unit of the target.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: lengths that differ, values that are not finite, or an invalid object.
        """
        fitted = self._ready()
        values = np.asarray(values, dtype=np.float64)
        if values.shape != (len(objects),) or not np.isfinite(values).all():
            raise ValueError(
                f"A {self.kind} is conditioned on one finite value per object; got {len(objects)} objects and values "
                f"{values!r}. Leave failed measurements out."
            )
        if not len(objects):
            return
        with one_blas_thread(), single_thread():
            fitted = self._widened(fitted, objects)
            z = fitted.target.standardised(values[:, None])[:, 0]
            duals = fitted.duals.given(self._cross(fitted, objects)[1], z)
        self._fitted = replace(fitted, duals=duals)

    def _widened(self, fitted: _Fitted, objects: Sequence[str]) -> _Fitted:
        """Return the same with objects among the inducing points, as many as there is room for."""
        rows, cross = self._cross(fitted, objects[: max(self.options.inducing_points - len(fitted.points), 0)])
        if not len(rows):
            return fitted
        duals = fitted.duals.extended(cross, kernel(fitted.network, rows, rows))
        return replace(fitted, points=np.concatenate([fitted.points, rows]), duals=duals)

    def refit(
        self,
        previous_state: Mapping[str, Any],
        objects: Sequence[str],
        values: FloatArray,
        new_mask: NDArray[np.bool_],
        *,
        seed: int,
    ) -> None:
        """Learn old and new labels, with the network of before where the option `refit` says so.

        Args:
            previous_state: what `state` returned in the last round.
            objects: n >= 5, old and new.
            values: shape `(n,)`, finite.
            new_mask: shape `(n,)`; of their objects inducing points are made, while there is room.
            seed: of a training from nothing.

        Raises:
            ValueError: as `fit`; a mask of another length; a state of another kind or size of proxy.
        """
        values = checked_labels(self.kind, objects, values)
        new_mask = np.asarray(new_mask, dtype=bool)
        if new_mask.shape != (len(objects),):
            raise ValueError(
                f"The mask of new objects has one entry per object; got shape {new_mask.shape} for "
                f"{len(objects)} objects."
            )
        if self.options.refit == "condition":
            self.load_state(previous_state)
            fitted = self._ready()
            if len(objects) < self.options.growth * fitted.trained_on:
                order = canonical_order(objects, values).tolist()
                with one_blas_thread(), single_thread():
                    fitted = self._widened(fitted, [objects[i] for i in order if new_mask[i]])
                    z = fitted.target.standardised(values[order, None])[:, 0]
                    cross = self._cross(fitted, [objects[i] for i in order])[1]
                    self._fitted = replace(fitted, duals=fitted.duals.forgotten().given(cross, z))
                return
            logger.info(
                "This %s has %d labels, its network was trained on %d: it is trained anew.",
                *(self.kind, len(objects), fitted.trained_on),
            )
        self.fit(objects, values, seed=seed)

    def _cross(self, fitted: _Fitted, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return the rows of n objects and their kernel with the inducing points, `(n, m)`."""
        rows = fitted.design(self.featuriser(objects))
        return rows, kernel(fitted.network, rows, fitted.points)

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict n objects.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        fitted = self._ready()
        mean, variance = np.zeros(len(objects)), np.zeros(len(objects))
        with one_blas_thread(), single_thread():
            for at in range(0, len(objects), _CHUNK):
                here = slice(at, at + _CHUNK)
                rows, cross = self._cross(fitted, objects[here])
                mean[here], variance[here] = fitted.duals.predict(cross, own_kernel(fitted.network, rows))
        location, scale = float(fitted.target.location[0]), float(fitted.target.scale[0])
        std = np.sqrt(variance + self.noise).round(_DECIMALS)
        return Prediction(location + scale * mean.round(_DECIMALS), scale * std)

    def joint(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return mean `(n,)` and covariance `(n, n)` of the noise-free function, in the unit of the target.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        fitted = self._ready()
        if not len(objects):
            return np.zeros(0), np.zeros((0, 0))
        with one_blas_thread(), single_thread():
            rows, cross = self._cross(fitted, objects)
            mean, covariance = fitted.duals.joint(cross, kernel(fitted.network, rows, rows))
        location, scale = float(fitted.target.location[0]), float(fitted.target.scale[0])
        return location + scale * mean.round(_DECIMALS), scale**2 * covariance

    def embed(self, objects: Sequence[str], kind: Literal["last_layer", "gradient"] = "last_layer") -> FloatArray:
        """Return `(n, d)` coordinates, d at most 512; see `models.proxies.networks` for both kinds.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: another kind, or an invalid object.
        """
        if kind not in ("last_layer", "gradient"):
            raise ValueError(f"An embedding is of kind 'last_layer' or 'gradient'; got {kind!r}.")
        fitted = self._ready()
        function = last_layer if kind == "last_layer" else gradient_sketch
        parts = [np.zeros((0, 1))]
        with single_thread(), torch.no_grad():
            for at in range(0, len(objects), _CHUNK):
                rows = fitted.design(self.featuriser(objects[at : at + _CHUNK]))
                parts.append(function(fitted.network, torch.from_numpy(rows)).numpy())
        return np.concatenate(parts[1:] or parts)

    def state(self) -> dict[str, Any]:
        """Return the fitted state: tensors only, loadable with `torch.load(weights_only=True)`."""
        fitted = self._ready()
        duals = fitted.duals
        arrays = {
            "target": np.stack([fitted.target.location, fitted.target.scale]),
            "points": fitted.points,
            "basis": duals.basis,
            "data": triangle(duals.data),
            "sums": duals.sums,
            "scale_noise": np.array([duals.scale, duals.noise]),
            "trained_on": np.array(fitted.trained_on),
        }
        weights = {f"network_{name}": one.float().clone() for name, one in fitted.network.state_dict().items()}
        return {**as_tensors(arrays), **fitted.design.state(), **weights}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; predictions are then the same.

        Raises:
            ValueError: the state lacks an entry, or belongs to other features or another size of network.
        """
        layers = range(self.options.depth + 1)
        names = [f"network_layers.{i}.{part}" for i in layers for part in ("weight", "bias")]
        arrays = {"target", "points", "basis", "data", "sums", "scale_noise", "trained_on"}
        checked_state(self.kind, state, {*names, *arrays, "design_mean", "design_scale", "design_columns"})
        shapes = [tuple(state[f"network_layers.{i}.weight"].shape) for i in layers]
        widths = [shapes[0][1], *(shape[2] for shape in shapes)]
        if any(one != self.options.width for one in widths[1:-1]):
            raise ValueError(
                f"The state is of a network of widths {widths}; this {self.kind} has width {self.options.width}. Build "
                "it with the options that it was saved with."
            )
        width = self.featuriser([]).dense.shape[1]
        if width and len(state["design_mean"]) != width:
            raise ValueError(
                f"The state of a {self.kind} was made of {len(state['design_mean'])} dense features; the featuriser "
                f"{self.featuriser.kind} makes {width}. Use the features that it was trained with, or train again."
            )
        network = BatchedMlp(1, widths, torch.Generator())
        network.load_state_dict({name[len("network_") :]: state[name] for name in names})
        a = {name: state[name].numpy().copy() for name in arrays}
        lower = square(a["data"])
        data = lower + np.tril(lower, -1).T
        duals = Duals(a["basis"], data, a["sums"], *a["scale_noise"].tolist())
        target = Target(*a["target"])
        design = Design.from_state(state)
        self._fitted = _Fitted(network.double(), design, a["points"], duals, target, int(a["trained_on"]))


def kernel(network: BatchedMlp, left: FloatArray, right: FloatArray) -> FloatArray:
    """Return inner products of the output's derivatives by all weights, of n and m rows of features, `(n, m)`."""
    out = np.zeros((len(left), len(right)))
    with torch.no_grad():
        pairs = zip(
            layer_derivatives(network, torch.from_numpy(left)),
            layer_derivatives(network, torch.from_numpy(right)),
            strict=True,
        )
        for (_, a, da), (_, b, db) in pairs:
            out += ((a[0] @ b[0].T) * (da[0] @ db[0].T)).numpy()
    return out


def own_kernel(network: BatchedMlp, rows: FloatArray) -> FloatArray:
    """Return the diagonal of `kernel` of n rows with themselves, shape `(n,)`."""
    out = np.zeros(len(rows))
    with torch.no_grad():
        for _, a, da in layer_derivatives(network, torch.from_numpy(rows)):
            out += (a[0].square().sum(1) * da[0].square().sum(1)).numpy()
    return out
