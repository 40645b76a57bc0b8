"""Rows of a user's table as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from models.featurisers.base import ColumnNames, Features, Featuriser, no_counts
from models.registry import Component
from models.spaces.table import Table


class Rows(Featuriser):
    """The described columns of a table: numbers standardised over the table, a column for each word.

    A column with missing cells has a second one that says where.
    """

    kind = "rows"
    objects = "rows"
    spaces = ("table",)

    class Options(Component.Options):
        """The table."""

        space: dict[str, Any] = Field(description="options of the space of rows")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._space = Table.from_config(self.options.space)

    def names(self) -> ColumnNames:
        """Return the column of the table that each column belongs to."""
        return ColumnNames(dense=self._space.rows.feature_names)

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return the features of n rows.

        Raises:
            ValueError: one of the texts names no row.
        """
        return Features(self._space.table(objects), no_counts(len(objects)))
