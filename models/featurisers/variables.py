"""Named variables as numbers between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from models.featurisers.base import ColumnNames, Features, Featuriser, no_counts
from models.registry import Component
from models.spaces.vectors import Vectors


class Variables(Featuriser):
    """A column for each range, between 0 and 1 from its low to its high (of the logarithm where that was asked for).

    Words have a column each: two words are as far apart as the ends of a range. Fractions have a column each, scaled
    to their bounds. Columns are in the order of the names.
    """

    kind = "variables"
    objects = "vectors"
    spaces = ("vectors",)
    separate = True

    class Options(Component.Options):
        """The variables."""

        space: dict[str, Any] = Field(description="options of the space of vectors")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._space = Vectors.from_config(self.options.space)

    def names(self) -> ColumnNames:
        """Return the variable of each column."""
        return ColumnNames(dense=self._space.table_names())

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return the features of n vectors.

        Raises:
            ValueError: one of the texts is no vector of the space.
        """
        return Features(self._space.table(objects), no_counts(len(objects)))
