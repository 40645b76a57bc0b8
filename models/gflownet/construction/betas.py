"""Vectors variable by variable: real numbers by mixtures of Betas, whole numbers and choices by logits."""

from __future__ import annotations

from typing import Any

from pydantic import Field, PositiveInt

from models.gflownet.construction.base import Construction
from models.gflownet.construction.plain import BoundFlat
from models.gflownet.environments.vectors import Vectors as VectorEnvironment
from models.gflownet.environments.vectors import VectorStates
from models.gflownet.policies.beta_mixture import BetaMixtureRecipe
from models.gflownet.policies.vectors import UniformVectors
from models.registry import Component
from models.spaces.base import BaseSpace
from models.spaces.variables import Choice, Integer
from models.spaces.vectors import Point, Vectors

_MOST_LEVELS = 64
"""Whole numbers of a wider range are drawn as reals and rounded."""


class Betas(Construction["Betas.Options"]):
    """Vectors variable by variable; a real number is drawn between its bounds and rounded to its digits.

    Densities are those of the numbers before rounding.
    """

    kind = "betas"
    cites = ("lahlou2023continuous",)
    spaces = ("vectors",)

    class Options(Component.Options):
        """Shape of the network."""

        hidden: tuple[PositiveInt, ...] = Field((128, 128), min_length=1, description="Widths of the hidden layers.")
        components: int = Field(4, ge=1, le=64, description="Betas of a real variable, beside the uniform law.")

    def bind(self, space: BaseSpace[Any]) -> BoundVectors:
        """Return the vectors of a space."""
        assert isinstance(space, Vectors)
        recipe = BetaMixtureRecipe(hidden=self.options.hidden, components=self.options.components)
        return BoundVectors(space, recipe)


class BoundVectors(BoundFlat[VectorStates]):
    """Vectors whose variables the environment knows between 0 and 1, or by number."""

    space: Vectors

    def __init__(self, space: Vectors, recipe: BetaMixtureRecipe) -> None:
        kinds: list[dict[str, Any]] = [
            {"kind": "levels", "n": int(one.count)} if _is_counted(one) else {"kind": "real"} for one in space.variables
        ]
        if space.mixture is not None:
            kinds.append({"kind": "fractions", "n": len(space.mixture.names)})
        env = VectorEnvironment(variables=tuple(kinds))
        super().__init__(env, space, recipe)
        self.uniform = UniformVectors(env)

    def text(self, item: tuple[float | int, ...]) -> str:
        """Return the text of the numbers of a vector."""
        values = []
        for one, number in zip(self.space.variables, item, strict=False):
            if isinstance(one, Choice):
                values.append(one.choices[int(number)])
            elif isinstance(one, Integer) and _is_counted(one):
                values.append(one.integer[0] + int(number))
            else:
                values.append(one.drawn(min(float(number), _BELOW_ONE)))
        mixture = self.space.mixture
        units = () if mixture is None else tuple(mixture.spread(item[len(values) :]))
        return self.space.written(Point(tuple(values), units))

    def item(self, obj: str) -> list[float]:
        """Return the numbers of a vector."""
        point = self.space.point(obj)
        row: list[float] = []
        for one, value in zip(self.space.variables, point.values, strict=True):
            if isinstance(one, Choice):
                row.append(one.choices.index(value))
            elif isinstance(one, Integer) and _is_counted(one):
                row.append(int(value) - one.integer[0])
            else:
                row.append(min(max(one.unit(value), 0.0), 1.0))
        mixture = self.space.mixture
        return row if mixture is None else [*row, *mixture.parts(point.units)]


_BELOW_ONE = 1.0 - 1e-12


def _is_counted(variable: object) -> bool:
    return isinstance(variable, Choice) or (isinstance(variable, Integer) and variable.count <= _MOST_LEVELS)
