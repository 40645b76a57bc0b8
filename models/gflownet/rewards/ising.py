"""The Ising model on a torus: spins that like to agree with their neighbours, and lean to one side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.environments.base import Environment
from models.gflownet.environments.masked import Masked
from models.gflownet.environments.tabulated import Tabulated
from models.gflownet.rewards.base import Judged
from models.gflownet.rewards.recipes import RewardRecipe
from models.registry import Component


class IsingReward(RewardRecipe):
    """log R(x) = x^T (sigma G) x + b sum_i x_i for spins x in {-1, 1}^L on a torus, whose adjacency is G.

    The quadratic form counts each bond twice, as the paper's code does: a bond is worth 2 sigma. Value 0 of a variable
    is spin -1, value 1 is spin 1; variables are numbered row by row.
    """

    kind: ClassVar[str] = "ising"
    cites: ClassVar[tuple[str, ...]] = ("liu2024marginalization",)

    class Options(Component.Options):
        """The size, and how strong the bonds and the field are."""

        rows: int = Field(3, ge=3, description="Spins of a column.")
        columns: int = Field(3, ge=3, description="Spins of a row.")
        coupling: float = Field(0.1, description="sigma: half of what a bond is worth.")
        field: float = Field(0.2, description="b: what a spin of 1 is worth.")

    def build(self, env: Environment[Any], *, home: Path, base: Path) -> Callable[[Any], Judged]:
        """Return the reward.

        Raises:
            ValueError: the environment has other variables.
        """
        del home, base
        own, options = env.base if isinstance(env, Tabulated) else env, self.options
        spins = options.rows * options.columns
        if not isinstance(own, Masked) or (own.variables, own.values) != (spins, 2):
            raise ValueError(
                f"The reward 'ising' of {options.rows} x {options.columns} spins is for {spins} variables of two "
                f"values; got the environment {own.config()}. Use {{kind: masked, variables: {spins}, values: 2}}."
            )

        def judged(states: Any) -> Judged:
            objects = env.decode(states)
            value = torch.tensor([list(one) for one in objects], dtype=torch.int64).reshape(-1, spins)
            return self.log_reward(value), objects

        return judged

    def log_reward(self, value: Tensor) -> Tensor:
        """Return (S,) float64 of values (S, L), 0 or 1."""
        options = self.options
        spin = (2.0 * value.double() - 1.0).reshape(-1, options.rows, options.columns)
        bonds = sum((spin * spin.roll(1, axis)).sum((1, 2)) for axis in (1, 2))
        out: Tensor = 2.0 * options.coupling * bonds + options.field * spin.sum((1, 2))
        return out
