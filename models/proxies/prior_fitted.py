"""A transformer that was trained once, on draws of Gaussian processes, and reads labels instead of learning them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from data.records import FloatArray, Prediction
from models.component import ComponentError
from models.featurisers.base import Features
from models.proxies.base import FEATURES, BaseProxy
from models.proxies.checks import canonical_order, checked_labels, checked_state
from models.proxies.design import CLIP, Design
from models.proxies.prior_fitted_network import Bars, PriorFittedNetwork
from models.proxies.target import Target
from models.proxies.tensors import as_tensors
from models.threads import one_blas_thread, single_thread

WIDEST = 20
"""Most columns that the network was trained on."""

LABELS = 120
"""Most labels that the network was trained on."""

_DECIMALS = 7
_CHUNK = 1024


@dataclass(frozen=True)
class _Fitted:
    design: Design
    axes: FloatArray
    """From standardised columns to what the network reads, shape `(p, at most WIDEST)`."""
    rows: FloatArray
    """Of the labelled objects, shape `(n, WIDEST)`."""
    z: FloatArray
    target: Target


class PriorFitted(BaseProxy["PriorFitted.Options"]):
    """A prior-fitted network: labelled objects are its input, the density of another value its output.

    Nothing is trained from the labels. The network (`models.proxies.prior_fitted_network`) has learnt from draws of
    Gaussian processes of 1 to 20 variables, kernels and noise drawn too, what is likely beside 5 to 120 labels; it
    ships with this package, made by `benchmarks/prior_fitted.py`. Of more labels it reads 120, drawn at random. Mean
    and deviation are those of the density that it gives, which need not be normal: `log_density` tells it.

    Meant for few descriptors, such as conditions of a process: features of more than 20 columns are refused, unless
    `components` of them are to stand for all. It knows nothing of how the errors of two predictions go together: batch
    rules which ask for that cannot be had with it.

    Reference: Mueller et al., Transformers can do Bayesian inference, ICLR (2022).
    """

    kind = "prior_fitted"
    cites = ("muller2022transformers",)

    class Options(BaseProxy.Options):
        """Features, and what stands for them."""

        features: str | dict[str, Any] = Field("descriptors", description=FEATURES)
        components: int = Field(
            0,
            ge=0,
            le=WIDEST,
            description="principal components that stand for the columns of the features; 0: the columns themselves, "
            f"at most {WIDEST}",
        )

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._fitted: _Fitted | None = None

    def _ready(self) -> _Fitted:
        if self._fitted is None:
            raise self._untrained()
        return self._fitted

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Take the labels in.

        Args:
            objects: n >= 5 objects of the sort that the featuriser takes.
            values: shape `(n,)`, finite, in the unit of the target.
            seed: of the draw, where there are more than 120 labels.

        Raises:
            ValueError: fewer than 5 labels, lengths that differ, values that are not finite, an invalid object, or
                more than 20 columns of features.
        """
        values = checked_labels(self.kind, objects, values)
        found = self.featuriser(objects)
        self._check_columns(found)
        order = canonical_order(objects, values)
        target = Target.of(values[:, None])
        with one_blas_thread():
            design = Design.of(found[order])
            table = design(found[order])
            axes = _axes(table, self.options.components or WIDEST, bool(self.options.components))
            rows = _padded(table @ axes)
        z = target.standardised(values[order, None])[:, 0]
        if len(rows) > LABELS:
            kept = np.sort(np.random.default_rng(seed).choice(len(rows), LABELS, replace=False))
            rows, z = rows[kept], z[kept]
        self._fitted = _Fitted(design, axes, rows, z, target)

    def _check_columns(self, found: Features) -> None:
        columns = found.dense.shape[1] + found.counts.shape[1]
        if columns > WIDEST and not self.options.components:
            raise ValueError(
                f"A {self.kind} was trained on at most {WIDEST} columns of features; {self.featuriser.kind} has "
                f"{columns}. Name features with fewer, set `components: {WIDEST}` to take principal components of "
                "them, or use the proxy gaussian_process."
            )

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict n objects.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        fitted = self._ready()
        location, scale = float(fitted.target.location[0]), float(fitted.target.scale[0])
        mean, std = np.zeros(len(objects)), np.ones(len(objects))
        if fitted.z.any():  # equal labels are no draw of the prior
            for here, weights in self._weights(fitted, objects):
                centre, variance = shipped_network().bars.moments(weights)
                mean[here], std[here] = centre.numpy(), variance.sqrt().numpy()
        else:
            self.featuriser(objects)
        return Prediction(location + scale * mean.round(_DECIMALS), scale * std.round(_DECIMALS))

    def log_density(self, objects: Sequence[str], values: FloatArray) -> FloatArray:
        """Return the log density of n values, in the unit of the target, shape `(n,)`.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        fitted = self._ready()
        z = fitted.target.standardised(np.asarray(values, dtype=np.float64)[:, None])[:, 0]
        found = np.zeros(len(objects))
        for here, weights in self._weights(fitted, objects):
            found[here] = shipped_network().bars.log_density(weights, torch.from_numpy(z[here])).numpy()
        return np.asarray(found - np.log(fitted.target.scale[0]))

    def _weights(self, fitted: _Fitted, objects: Sequence[str]) -> list[tuple[slice, Tensor]]:
        """Return the logarithms of the buckets' weights for parts of the objects, each `(n, b)`."""
        network, told = shipped_network(), []
        labels, z = torch.from_numpy(fitted.rows), torch.from_numpy(fitted.z)[None]
        with single_thread(), torch.no_grad():
            for at in range(0, len(objects), _CHUNK):
                here = slice(at, at + _CHUNK)
                rows = _padded(fitted.design(self.featuriser(objects[here])) @ fitted.axes)
                told.append((here, network(torch.cat([labels, torch.from_numpy(rows)])[None], z)[0]))
        return told

    def state(self) -> dict[str, Any]:
        """Return what is read: tensors only, loadable with `torch.load(weights_only=True)`."""
        fitted = self._ready()
        arrays: dict[str, NDArray[Any]] = {
            "target": np.stack([fitted.target.location, fitted.target.scale]),
            "axes": fitted.axes,
            "rows": fitted.rows,
            "z": fitted.z,
            "network": np.frombuffer(bytes.fromhex(provenance()["sha256"]), dtype=np.uint8),
        }
        return {**as_tensors(arrays), **fitted.design.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; predictions are then the same.

        Raises:
            ValueError: the state lacks an entry, or was made with another network.
        """
        names = ("target", "axes", "rows", "z", "network")
        checked_state(self.kind, state, {*names, "design_mean", "design_scale", "design_columns"})
        a = {name: state[name].numpy().copy() for name in names}
        if a["network"].tobytes().hex() != provenance()["sha256"]:
            raise ValueError(f"The state of this {self.kind} was made with another shipped network. Train again.")
        self._fitted = _Fitted(Design.from_state(state), a["axes"], a["rows"], a["z"], Target(*a["target"]))


def _axes(table: FloatArray, most: int, principal: bool) -> FloatArray:
    """Return the matrix by which n standardised rows are multiplied, shape `(p, at most most)`.

    Principal components have a mean variance of 1, as columns have; the sign of each makes its largest entry positive.
    """
    if not principal:
        return np.eye(table.shape[1])
    _, size, axes = np.linalg.svd(table - table.mean(0), full_matrices=False)
    kept = min(most, int((size > 1e-9 * max(size.max(initial=0.0), 1e-300)).sum()))
    if kept == 0:
        return np.zeros((table.shape[1], 1))
    axes, size = axes[:kept], size[:kept]
    signs = np.sign(axes[np.arange(kept), np.abs(axes).argmax(1)])
    return np.asarray((axes * signs[:, None]).T / np.sqrt(np.square(size).sum() / (kept * len(table))))


def _padded(rows: FloatArray) -> FloatArray:
    out = np.zeros((len(rows), WIDEST))
    out[:, : rows.shape[1]] = rows.clip(-CLIP, CLIP).round(9)
    return out


@cache
def provenance() -> dict[str, Any]:
    """Return what is told of the shipped network: checksum, sizes, prior, training."""
    told: dict[str, Any] = json.loads((_folder() / "prior_fitted.json").read_text(encoding="utf-8"))
    return told


@cache
def shipped_network() -> PriorFittedNetwork:
    """Return the network, in double precision: its sums do not depend on what is asked together to 1e-12.

    Raises:
        ComponentError: the file is not the one that was shipped.
    """
    path = _folder() / "prior_fitted.npz"
    content = path.read_bytes() if path.is_file() else b""
    if sha256(content).hexdigest() != provenance()["sha256"]:
        raise ComponentError(
            f"{path}, the network of the proxy prior_fitted, is missing or is not the one that was shipped. Install "
            "the package again."
        )
    with np.load(path) as arrays:
        weights = {name: torch.from_numpy(arrays[name].astype(np.float64)) for name in arrays.files}
    sizes = provenance()["network"]
    network = PriorFittedNetwork(
        WIDEST, Bars(weights["bars.edges"]), sizes["width"], sizes["layers"], sizes["heads"]
    ).double()
    network.load_state_dict(weights)
    return network.eval()


def _folder() -> Path:
    return Path(str(files("data.resources")))
