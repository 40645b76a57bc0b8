"""What else was measured of objects: the values of all objectives, for a proxy that learns them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.records import FloatArray


@dataclass(frozen=True)
class Beside:
    """The K values of each object, of which one is to be predicted.

    Attributes:
        names: of the K objectives.
        target: the one that is predicted.
        rows: id -> K values, nan where one was not measured.
    """

    names: tuple[str, ...]
    target: str
    rows: Mapping[str, tuple[float, ...]]

    def of(self, ids: Sequence[str]) -> FloatArray:
        """Return the values of n objects, shape `(n, K)`."""
        return np.array([self.rows[key] for key in ids], dtype=np.float64).reshape(len(ids), len(self.names))

    def told(self) -> list[Any]:
        """Return all of it as JSON, numbers to the bit: equal data, equal values."""
        return [list(self.names), self.target, sorted([key, *map(float.hex, row)] for key, row in self.rows.items())]
