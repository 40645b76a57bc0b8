"""Subsets item by item."""

from __future__ import annotations

from typing import Any

from pydantic import Field, PositiveInt

from models.gflownet.construction.base import Construction
from models.gflownet.construction.plain import BoundFlat
from models.gflownet.environments.growing import SelectionStates
from models.gflownet.environments.selection import SelectionEnvironment
from models.gflownet.policies.recipes import MLPRecipe
from models.registry import Component
from models.spaces.base import BaseSpace


class Elements(Construction["Elements.Options"]):
    """Subsets item by item, in any order, by a perceptron; what would exclude a member is never added."""

    kind = "elements"
    cites = ("zhang2023combopt",)
    spaces = ("subsets",)

    class Options(Component.Options):
        """Shape of the network."""

        hidden: tuple[PositiveInt, ...] = Field((256, 256), min_length=1, description="Widths of the hidden layers.")

    def bind(self, space: BaseSpace[Any]) -> BoundElements:
        """Return the subsets of a space."""
        subsets: Any = space
        env = SelectionEnvironment(
            items=len(subsets.items),
            min_size=subsets.min_size,
            max_size=subsets.max_size,
            excluded=tuple(subsets.excluded()),
        )
        return BoundElements(env, space, MLPRecipe(hidden=self.options.hidden))


class BoundElements(BoundFlat[SelectionStates]):
    """Subsets whose members the environment knows by number."""

    def text(self, item: tuple[int, ...]) -> str:
        """Return the text of a set of numbers."""
        items: Any = self.space
        return self.space.text([items.items[number] for number in item])

    def item(self, obj: str) -> list[int]:
        """Return the numbers of a subset's members."""
        subsets: Any = self.space
        return [subsets.items.index(name) for name in self.space.value(obj)]
