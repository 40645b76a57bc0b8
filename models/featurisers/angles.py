"""Named angles as points of circles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from data.objects import NotStandardError, split
from models.featurisers.base import ColumnNames, Features, Featuriser, no_counts
from models.registry import Component


class Angles(Featuriser):
    """The cosine and the sine of each angle: a turn makes no difference, and opposite angles have the distance 2."""

    kind = "angles"
    objects = "conformers"
    spaces = ("torsions",)

    class Options(Component.Options):
        """The angles."""

        names: tuple[str, ...] = Field(min_length=1, description="names of the angles")

    def names(self) -> ColumnNames:
        """Return the angle of each column."""
        return ColumnNames(dense=tuple(name for name in self.options.names for _ in range(2)))

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return the features of n conformers.

        Raises:
            ValueError: one of the texts does not have these angles.
        """
        rows = [[turn(x) for x in self._turns(obj) for turn in (math.cos, math.sin)] for obj in objects]
        table = np.array(rows, dtype=np.float64).reshape(len(objects), 2 * len(self.options.names))
        return Features(table, no_counts(len(objects)))

    def _turns(self, obj: Any) -> list[float]:
        try:
            cells = split(obj)
            turns = [math.radians(float(cells[name])) for name in self.options.names]
        except (NotStandardError, KeyError, ValueError, TypeError, AttributeError):
            turns = []
        if not turns or not all(map(math.isfinite, turns)):
            raise ValueError(
                f"{obj!r} is no conformer; expected degrees of {', '.join(self.options.names)}, such as "
                f"{', '.join(f'{name}=60' for name in self.options.names)}."
            )
        return turns
