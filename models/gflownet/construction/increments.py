"""Conformers by increments of all angles: a walk on a torus from the angles 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydantic import Field, PositiveInt

from models.gflownet.construction.base import Construction
from models.gflownet.construction.plain import BoundFlat
from models.gflownet.environments.torus import Torus, TorusStates
from models.gflownet.policies.von_mises_mixture import UniformTorus, VonMisesMixtureRecipe
from models.registry import Component
from models.spaces.base import BaseSpace
from models.spaces.torsions import Torsions


class Increments(Construction["Increments.Options"]):
    """Conformers by steps that turn all angles at once; at the end each angle is rounded to the step of the space.

    Densities are those of the angles before rounding. The backward policy should be `tied` or `learned`, with a replay:
    with `uniform`, which the generator has where it is not told another, increments stay uniform in training, and
    without walks back from good conformers a learned way back hides them.
    """

    kind = "increments"
    cites = ("lahlou2023continuous",)
    spaces = ("torsions",)

    class Options(Component.Options):
        """Length of the walk, and shape of the network."""

        steps: int = Field(5, ge=1, le=100, description="Increments from the angles 0 to a conformer.")
        hidden: tuple[PositiveInt, ...] = Field((128, 128), min_length=1, description="Widths of the hidden layers.")
        components: int = Field(10, ge=1, le=64, description="Laws of an increment, beside the uniform one.")
        waves: int = Field(3, ge=1, le=64, description="Cosines and sines of an angle that the network sees.")

    def bind(self, space: BaseSpace[Any]) -> BoundConformers:
        """Return the conformers of a space."""
        assert isinstance(space, Torsions)
        shape = self.options.model_dump(exclude={"steps"})
        return BoundConformers(space, self.options.steps, VonMisesMixtureRecipe(**shape))


class BoundConformers(BoundFlat[TorusStates]):
    """Conformers whose angles the environment has in radians."""

    space: Torsions

    def __init__(self, space: Torsions, steps: int, recipe: VonMisesMixtureRecipe) -> None:
        env = Torus(angles=len(space.names), steps=steps)
        super().__init__(env, space, recipe)
        self.uniform = UniformTorus(env)

    def text(self, item: Sequence[float]) -> str:
        """Return the text of angles in radians."""
        return self.space.written([math.degrees(angle) for angle in item])

    def item(self, obj: str) -> list[float]:
        """Return the angles of a conformer in radians."""
        return [math.radians(angle) for angle in self.space.degrees(obj)]
