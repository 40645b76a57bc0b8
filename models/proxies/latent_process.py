"""A neural process as a proxy: it has read tables of earlier assays, and reads a campaign's labels."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from data.records import FloatArray, Prediction
from models.component import ComponentError, FolderPath
from models.proxies.base import FEATURES, BaseProxy
from models.proxies.checks import canonical_order, checked_labels, checked_state
from models.proxies.design import Design
from models.proxies.earlier_assays import MOST_SHOWN, EarlierAssays, EarlierTasks, read_earlier, seed_of, table_sha256
from models.proxies.neural_process import NeuralProcess, trained_process
from models.proxies.target import Target
from models.proxies.tensors import as_tensors
from models.threads import one_blas_thread, single_thread

log = logging.getLogger(__name__)

WIDEST = 512
"""Most columns of features: the network has a weight for each, and learns them from the tables alone."""
_DECIMALS = 5
_CHUNK = 1024
_NETWORK = "network."


@dataclass(frozen=True)
class _Read:
    """What a network has learnt from a table."""

    design: Design
    network: NeuralProcess


@dataclass(frozen=True)
class _Fitted:
    design: Design
    network: NeuralProcess
    rows: FloatArray
    """Of the labelled objects, shape `(n, features)`."""
    z: FloatArray
    target: Target


class LatentProcess(BaseProxy["LatentProcess.Options"]):
    """A latent bottlenecked neural process over earlier assays of the same kind of objects.

    It learns from a table how labels of an assay tell its other values (`models.proxies.neural_process`): each column
    is an assay, scaled by the labels that are shown. A campaign's labels are then read, not learnt from; of more than
    64, 64 drawn at random. What it learns depends on the table and the options alone, so that folds, rounds and
    campaigns share it. Where the earlier assays are like the new one it predicts well from few labels; where they are
    not, no number of labels mends that: compare with `gaussian_process`.

    Mean and deviation are those of a normal density. It knows nothing of how the errors of two predictions go together.

    Reference: Feng et al., Latent bottlenecked attentive neural processes, ICLR (2023).
    """

    kind = "neural_process"
    cites = ("feng2023latent",)

    class Options(BaseProxy.Options):
        """The table, and the network that reads it."""

        features: str | dict[str, Any] = Field("descriptors", description=FEATURES)
        table: FolderPath = Field(
            description="CSV file of earlier measurements: a column of objects, and a column for each assay; cells may "
            "be empty"
        )
        column: str = Field("object", description="column of the table that has the objects")
        steps: int = Field(1000, ge=1, description="draws that the network learns from: some 40 s for a thousand")
        latents: int = Field(8, ge=1, le=64, description="latent vectors through which the labels are read")
        width: int = Field(64, ge=8, le=256, multiple_of=4, description="of the network")
        layers: int = Field(4, ge=1, le=8, description="of the network")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        if not self.options.table.is_absolute():
            raise ComponentError(
                f"The table of earlier measurements {str(self.options.table)!r} has a path that starts nowhere here: "
                "only the campaign's own `proxy` starts at its folder. Give an absolute path."
            )
        self._fitted: _Fitted | None = None

    def content(self) -> str:
        """Return what stands for the table where equal proxies are to have equal keys: its content, not its place.

        Raises:
            ComponentError: it cannot be read.
        """
        return table_sha256(self.options.table)

    def check_space(self, space: Any) -> None:
        """Refuse a table of other objects.

        Raises:
            ComponentError: an object of the table is none of the space's kind, or the table cannot be used.
        """
        earlier = read_earlier(self.options.table, self.options.column)
        for line, text in zip(earlier.lines, earlier.objects, strict=True):
            try:
                space.standard(text)
            except ValueError as error:
                raise ComponentError(
                    f"The table of earlier measurements {self.options.table}, line {line}, has {text!r}, which the "
                    f"space {space.kind!r} cannot read: {error} Mend or remove the line."
                ) from error

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Take the labels in.

        Args:
            objects: n >= 5 objects of the sort that the featuriser takes.
            values: shape `(n,)`, finite, in the unit of the target.
            seed: of the draw, where there are more than 64 labels.

        Raises:
            ComponentError: the table cannot be used.
            ValueError: fewer than 5 labels, lengths that differ, values that are not finite, or an invalid object.
        """
        values = checked_labels(self.kind, objects, values)
        options = self.options
        shape = (options.steps, options.latents, options.width, options.layers)
        features = repr(self.featuriser.config())
        read = _trained(options.table, options.column, self.content(), features, shape, _Featurised(self.featuriser))
        order = canonical_order(objects, values)
        with one_blas_thread():
            rows = read.design(self.featuriser([objects[i] for i in order]))
        target = Target.of(values[:, None])
        z = target.standardised(values[order, None])[:, 0]
        if len(rows) > MOST_SHOWN:
            kept = np.sort(np.random.default_rng(seed).choice(len(rows), MOST_SHOWN, replace=False))
            rows, z = rows[kept], z[kept]
        self._fitted = _Fitted(read.design, read.network, rows, z, target)

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict n objects.

        Raises:
            RuntimeError: the proxy was not trained.
            ValueError: one of the texts is no valid object.
        """
        if self._fitted is None:
            raise self._untrained()
        fitted, told = self._fitted, []
        x = torch.from_numpy(fitted.rows)[None]
        y = torch.from_numpy(fitted.z)[None]
        with single_thread(), torch.no_grad():
            for at in range(0, len(objects), _CHUNK):
                asked = torch.from_numpy(fitted.design(self.featuriser(objects[at : at + _CHUNK])))[None]
                mean, std = fitted.network(x, y, asked)
                told.append((mean[0].numpy(), std[0].numpy()))
        mean, std = (np.concatenate([np.zeros(0), *(pair[k] for pair in told)]).round(_DECIMALS) for k in (0, 1))
        location, scale = float(fitted.target.location[0]), float(fitted.target.scale[0])
        return Prediction(location + scale * mean, scale * std)

    def state(self) -> dict[str, Any]:
        """Return what is read and what reads it: tensors only, loadable with `torch.load(weights_only=True)`."""
        if self._fitted is None:
            raise self._untrained()
        fitted = self._fitted
        arrays = {"target": np.stack([fitted.target.location, fitted.target.scale]), "rows": fitted.rows, "z": fitted.z}
        weights = {f"{_NETWORK}{name}": tensor for name, tensor in fitted.network.state_dict().items()}
        return {**as_tensors(arrays), **fitted.design.state(), **weights}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; predictions are then the same. The table need not be there any more.

        Raises:
            ValueError: the state lacks an entry, or is of a network of another shape.
        """
        names = ("target", "rows", "z")
        checked_state(self.kind, state, {*names, "design_mean", "design_scale", "design_columns", f"{_NETWORK}latents"})
        a = {name: state[name].numpy().copy() for name in names}
        options = self.options
        network = NeuralProcess(a["rows"].shape[1], options.latents, options.width, options.layers).double()
        try:
            network.load_state_dict(
                {name.removeprefix(_NETWORK): one for name, one in state.items() if name.startswith(_NETWORK)}
            )
        except RuntimeError as error:
            raise ValueError(
                f"The state of this {self.kind} is of a network of another shape. Give the options that it was trained "
                "with, or train again."
            ) from error
        self._fitted = _Fitted(Design.from_state(state), network.eval(), a["rows"], a["z"], Target(*a["target"]))


class _Featurised:
    """A featuriser that all with an equal description may share as a key."""

    def __init__(self, featuriser: Any) -> None:
        self.featuriser = featuriser

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Featurised)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=2)
def _trained(
    table: Path, column: str, sha256: str, features: str, shape: tuple[int, ...], featurised: _Featurised
) -> _Read:
    """Return what a network of a shape (steps, latents, width, layers) learns from a table of this content."""
    earlier: EarlierAssays = read_earlier(table, column)
    for sentence in earlier.told:
        log.warning("Earlier measurements %s: %s.", table.name, sentence)
    with one_blas_thread():
        found = featurised.featuriser(list(earlier.objects))
        design = Design.of(found)
        rows = design(found)
    if rows.shape[1] > WIDEST:
        raise ComponentError(
            f"A neural process learns from tables with at most {WIDEST} columns of features; these have "
            f"{rows.shape[1]}. Name `features` with fewer, such as descriptors, or use the proxy gaussian_process."
        )
    steps, latents, width, layers = shape
    with single_thread():
        network = trained_process(
            EarlierTasks.of(rows, earlier.values),
            seed=seed_of(sha256, column, features, shape),
            steps=steps,
            latents=latents,
            width=width,
            layers=layers,
        )
    # In double precision sums do not depend on what is asked together, to the digits that are kept.
    return _Read(design, network.double())
