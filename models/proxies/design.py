"""From features to what a proxy calculates with: standardised rows, standardised targets, and distances to the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from data.records import FloatArray
from models.featurisers.base import Features
from models.proxies.tensors import as_tensors

if TYPE_CHECKING:
    from torch import Tensor

CLIP = 5.0
"""Standardised features are limited to this: a count that one training object in fifty has, or a size far outside
what was measured, must not buy a generator an unbounded prediction."""

_ROWS = 64
_PROJECTED = 64
_CHUNK = 1024


def check_width(table: FloatArray, mean: FloatArray) -> None:
    """Refuse a table `(n, p)` whose width is not that of the training, of which the columns' means are given.

    Raises:
        ValueError: it is another one.
    """
    if table.shape[1] != len(mean):
        raise ValueError(
            f"The proxy was trained on {len(mean)} dense features; got {table.shape[1]}. Use the features that it was "
            "trained with, or train again."
        )


@dataclass(frozen=True, slots=True)
class Standardiser:
    """Location and scale of the training columns; constant columns have scale 0 and are left out.

    Beyond `clip` scales a value is taken as the limit (see `CLIP`).
    """

    mean: FloatArray
    scale: FloatArray
    clip: float

    def __call__(self, table: FloatArray) -> FloatArray:
        """Return the columns that varied in training, standardised and clipped; shape `(n, at most p)`.

        Raises:
            ValueError: the table has another width than that of the training.
        """
        check_width(table, self.mean)
        keep = self.scale > 0
        z = (table[:, keep] - self.mean[keep]) / self.scale[keep]
        return np.ascontiguousarray(z.clip(-self.clip, self.clip))

    @staticmethod
    def of(table: FloatArray, clip: float) -> Standardiser:
        """Take location and scale from the training rows `(n, p)`."""
        mean, scale = table.mean(0), table.std(0)
        scale[scale <= 1e-9 * np.maximum(1.0, np.abs(mean))] = 0.0
        return Standardiser(mean, scale, clip)


@dataclass(frozen=True, slots=True)
class Design:
    """Features as rows of one matrix: standardised dense columns, then log(1 + count).

    Columns that did not vary in training have no part: nothing could be learnt of them.
    """

    dense: Standardiser
    columns: NDArray[np.int64]
    """Columns of counts that varied in training."""

    def __call__(self, features: Features) -> FloatArray:
        """Return shape `(n, width)`; a single column of zeros where nothing varied.

        Raises:
            ValueError: the features have another width than those of the training.
        """
        out = np.concatenate([self.dense(features.dense), np.log1p(features.counts[:, self.columns])], axis=1)
        return out if out.shape[1] else np.zeros((len(out), 1))

    @staticmethod
    def of(features: Features) -> Design:
        """Take the columns from the training rows."""
        counts = features.counts
        varied = np.flatnonzero(counts.max(0, initial=0) != counts.min(0, initial=1 << 30))
        return Design(Standardiser.of(features.dense, CLIP), varied.astype(np.int64))

    def state(self) -> dict[str, Tensor]:
        """Return tensors from which `from_state` makes an equal design."""
        mean, scale = self.dense.mean, self.dense.scale
        return as_tensors({"design_mean": mean, "design_scale": scale, "design_columns": self.columns})

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> Design:
        """Restore what `state` returned."""
        mean, scale, columns = (state[f"design_{name}"].numpy().copy() for name in ("mean", "scale", "columns"))
        return Design(Standardiser(mean, scale, CLIP), columns)


@dataclass(frozen=True, slots=True)
class DataDistance:
    """Euclidean distance to the nearest training row.

    Columns that never varied count too, with scale 1: what training never had is what makes a row new. Beyond 64
    columns the rows are projected at random, which keeps distances within some 10 % (Johnson and Lindenstrauss, 1984).

    Attributes:
        mean: of the dense columns, shape `(p,)`.
        scale: of the dense columns, shape `(p,)`.
        projection: shape `(p + q, k)`.
        points: distinct training rows, projected, shape `(r, k)`.
    """

    mean: FloatArray
    scale: FloatArray
    projection: FloatArray
    points: FloatArray

    @staticmethod
    def of(features: Features) -> DataDistance:
        """Take the training rows."""
        standardiser = Standardiser.of(features.dense, CLIP)
        scale = np.where(standardiser.scale > 0, standardiser.scale, 1.0)
        wide = features.dense.shape[1] + features.counts.shape[1]
        projection = np.eye(wide)
        if wide > _PROJECTED:
            projection = np.random.default_rng(0).normal(0.0, _PROJECTED**-0.5, (wide, _PROJECTED))
        empty = DataDistance(standardiser.mean, scale, projection, np.zeros((0, projection.shape[1])))
        return DataDistance(standardiser.mean, scale, projection, np.unique(empty.project(features), axis=0))

    def project(self, features: Features) -> FloatArray:
        """Return the rows in the space of the distance, shape `(n, k)`.

        Raises:
            ValueError: the features have another width than those of the training.
        """
        check_width(features.dense, self.mean)
        dense = ((features.dense - self.mean) / self.scale).clip(-CLIP, CLIP)
        rows = np.concatenate([dense, np.log1p(features.counts)], axis=1)
        out = np.empty((len(rows), self.projection.shape[1]))
        for at in range(0, len(rows), _ROWS):  # products of one shape: a row is projected alike in any company
            block = np.zeros((_ROWS, rows.shape[1]))
            part = rows[at : at + _ROWS]
            block[: len(part)] = part
            out[at : at + _ROWS] = (block @ self.projection)[: len(part)]
        return out.round(9)

    def __call__(self, rows: FloatArray) -> FloatArray:
        """Return the distance of projected rows `(n, k)` to the nearest training row, shape `(n,)`."""
        if not self.points.shape[1]:
            return np.zeros(len(rows))
        parts = [cdist(rows[at : at + _CHUNK], self.points).min(1) for at in range(0, len(rows), _CHUNK)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def left_out(self, rows: FloatArray) -> FloatArray:
        """Return the distance of projected training rows `(n, k)` to the nearest that is another, shape `(n,)`.

        All 0 where there is only one distinct row.
        """
        if len(self.points) < 2:
            return np.zeros(len(rows))
        out = np.empty(len(rows))
        for at in range(0, len(rows), _CHUNK):
            distance = cdist(rows[at : at + _CHUNK], self.points)
            distance[distance == 0] = np.inf
            out[at : at + _CHUNK] = distance.min(1)
        return out

    def state(self) -> dict[str, Tensor]:
        """Return tensors from which `from_state` makes an equal distance."""
        names = ("mean", "scale", "projection", "points")
        return as_tensors({f"distance_{name}": getattr(self, name) for name in names})

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> DataDistance:
        """Restore what `state` returned."""
        names = ("mean", "scale", "projection", "points")
        return DataDistance(*(state[f"distance_{name}"].numpy().copy() for name in names))
