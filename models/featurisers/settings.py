"""What an experiment sets, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from models.featurisers.base import ColumnNames, Features, Featuriser, no_counts
from models.registry import Component
from models.spaces.interventions import Interventions


class Settings(Featuriser):
    """Two columns for each variable: whether it is set, and how far from its mean, in its standard deviations."""

    kind = "settings"
    objects = "experiments"
    spaces = ("interventions",)

    class Options(Component.Options):
        """The system."""

        space: dict[str, Any] = Field(description="options of the space of experiments")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.space = Interventions.from_config(self.options.space)
        """The experiments that it reads."""

    def names(self) -> ColumnNames:
        """Return the variable of each column."""
        return ColumnNames(dense=self.space.variables * 2)

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return the features of n experiments.

        Raises:
            ValueError: one of the texts is no experiment.
        """
        return Features(self.space.table(objects), no_counts(len(objects)))
