"""Boltzmann's law of conformers: in proportion to exp(-E / RT), with energies of a grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from data.records import FloatArray
from models.gflownet.construction.base import Bound
from models.gflownet.environments.base import Environment
from models.gflownet.environments.torus import Torus
from models.gflownet.rewards.base import Judged
from models.gflownet.rewards.recipes import RewardRecipe
from models.registry import Component
from models.spaces.torsions import GeometryError, Torsions

GAS_CONSTANT = 1.987204259e-3
"""Kcal/mol per kelvin (CODATA 2018)."""
MOST_CELLS = 20_000
"""Energies that a grid has at the most: minutes."""


class BoltzmannRecipe(RewardRecipe):
    """R = exp(-E / RT) of conformers, E in kcal/mol interpolated between the midpoints of the cells of a grid.

    Energies are those of the oracle `conformer_energy`, calculated once for the whole grid; between midpoints E is
    linear in each angle. A cell without a geometry has the energy `highest`, and so has one above it.
    """

    kind: ClassVar[str] = "boltzmann"
    cites: ClassVar[tuple[str, ...]] = ("halgren1996mmff94", "wang2020etkdg")
    _space: Torsions | None = None

    class Options(Component.Options):
        """How warm, and how fine the grid."""

        temperature: float = Field(298.15, gt=0, description="Kelvin.")
        cells: int = Field(36, ge=8, le=360, description="Cells of each angle.")
        starts: int = Field(1, ge=1, le=50, description="Geometries to relax each cell from; the lowest counts.")
        highest: float = Field(12.0, gt=0, description="Energies above it are taken for it, in kcal/mol.")

    def of(self, bound: Bound[Any]) -> Self:
        """Return the reward of a space's conformers.

        Raises:
            ValueError: the space has other objects, or too many angles for a grid.
        """
        made = type(self)(self.options)
        space = bound.space
        if not isinstance(space, Torsions):
            raise ValueError(f"The reward {self.kind!r} is for conformers; got a space of {space.nouns[1]}.")
        cells = self.options.cells ** len(space.names)
        if cells > MOST_CELLS:
            raise ValueError(
                f"The grid of the reward {self.kind!r} has {cells:,} cells for {len(space.names)} angles; expected at "
                f"most {MOST_CELLS:,}. Lower `cells`, or name fewer `bonds`."
            )
        made._space = space
        return made

    def build(self, env: Environment[Any], *, home: Path, base: Path) -> Callable[[Any], Judged]:
        """Return the reward; the grid is calculated at its first call.

        Raises:
            ValueError: the file has no space of conformers.
        """
        del home, base
        if self._space is None or not isinstance(env, Torus):
            raise ValueError(
                f"The reward {self.kind!r} is for conformers. Give the file `space: {{kind: torsions, smiles: ...}}` "
                "in place of an environment."
            )
        return BoltzmannReward(env, self._space, self.options)


class BoltzmannReward:
    """Log-rewards -E / RT of points of a torus.

    Args:
        env: the torus.
        space: its conformers.
        options: of the recipe.
    """

    def __init__(self, env: Torus, space: Torsions, options: BoltzmannRecipe.Options) -> None:
        self.env, self.space, self.options = env, space, options

    def table(self) -> Tensor:
        """Return the log-rewards of the midpoints, (cells, ...) float64, an axis for each angle from -pi to pi."""
        made = self.options
        energies = np.minimum(energies_of(self.space, made.cells, made.starts), made.highest)
        return torch.from_numpy(-energies / (GAS_CONSTANT * made.temperature))

    def log_partition(self) -> float:
        """Return the log of the sum of R over the cells times their size."""
        table = self.table()
        return float(table.logsumexp(tuple(range(table.dim())))) + table.dim() * math.log(
            2.0 * math.pi / self.options.cells
        )

    def __call__(self, states: Any) -> Judged:
        """Judge terminal states."""
        return interpolated(self.table(), self.env.theta(states)), self.env.decode(states)


def interpolated(table: Tensor, theta: Tensor) -> Tensor:
    """Return (S,) values at angles (S, m) between the midpoints of a periodic table (cells, ...), linear in each."""
    n, m = len(table), theta.shape[1]
    place = (theta + math.pi) * (n / (2.0 * math.pi)) - 0.5
    low = place.floor()
    share, first = place - low, low.long()
    out = torch.zeros(len(theta), dtype=table.dtype)
    for corner in product((0, 1), repeat=m):
        at = torch.tensor(corner)
        weight = torch.where(at.bool(), share, 1.0 - share).prod(1)
        out = out + weight * table[tuple(((first + at) % n).unbind(1))]
    return out


@lru_cache(maxsize=8)
def energies_of(space: Torsions, cells: int, starts: int) -> FloatArray:
    """Return the energies of the midpoints of a grid, (cells, ...) in kcal/mol; infinite where there is no geometry.

    Raises:
        ValueError: the molecule has no energies.
    """
    if not space.rotor.has_parameters:
        raise ValueError(f"MMFF94 has no parameters for an atom of {space.options.smiles}. Take another molecule.")
    midpoints = ((np.arange(cells) + 0.5) / cells * 2.0 - 1.0) * 180.0
    out = np.full((cells,) * len(space.names), np.inf)
    for place in np.ndindex(out.shape):
        try:
            out[place] = space.rotor.relaxed(midpoints[list(place)].tolist(), starts).energy
        except GeometryError:
            continue
    return out
