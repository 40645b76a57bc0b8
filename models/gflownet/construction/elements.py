"""Subsets item by item."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, PositiveInt

from data.config import Spec
from models.gflownet.construction.base import Construction, hash_of
from models.gflownet.construction.plain import BoundFlat
from models.gflownet.environments.growing import SelectionStates
from models.gflownet.environments.selection import SelectionEnvironment
from models.gflownet.policies.recipes import MLPRecipe, PolicyRecipe
from models.registry import Component, build
from models.spaces.base import BaseSpace


class Elements(Construction["Elements.Options"]):
    """Subsets item by item, in any order; what would exclude a member is never added.

    The network is a perceptron over the members; `{kind: gin, numbered: true}` reads the graph of what excludes what.
    """

    kind = "elements"
    cites = ("zhang2023combopt",)
    spaces = ("subsets",)

    class Options(Component.Options):
        """Shape of the network."""

        hidden: tuple[PositiveInt, ...] = Field((256, 256), min_length=1, description="Widths of the perceptron.")
        policy: Spec | None = Field(None, description="{kind, option...} of the network; null: a perceptron.")
        maximal: bool = Field(False, description="Whether only subsets are built to which nothing can be added.")

    def bind(self, space: BaseSpace[Any]) -> BoundElements:
        """Return the subsets of a space."""
        subsets: Any = space
        env = SelectionEnvironment(
            items=len(subsets.items),
            min_size=subsets.min_size,
            max_size=subsets.max_size,
            excluded=tuple(subsets.excluded()),
            maximal=self.options.maximal,
        )
        chosen = self.options.policy
        recipe: PolicyRecipe = MLPRecipe(hidden=self.options.hidden) if chosen is None else build("policy", chosen)
        recipe.build(env, torch.Generator())  # refuses what does not fit
        return BoundElements(env, space, recipe)


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

    def digest(self) -> str:
        """Return a hash of the environment's options; the same as before there was `maximal` where that is off."""
        config = self.env.config()
        return hash_of([str({key: value for key, value in config.items() if key != "maximal" or value})])
