"""Objects as conditions where there are too many to list: each is known by its features."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.conditioning.base import Conditioning
from models.gflownet.environments.base import Environment, NotProvided
from models.gflownet.policies.uniform import UniformFlat
from models.gflownet.rewards.base import Judged
from models.gflownet.training.trajectories import sample_forward
from models.registry import Component


class DrawnOutcome(Conditioning):
    """R(x | y) = 1 where x has the features of the object y that was asked for, else `floor`; y ends a random way.

    The raw condition (n, H) has the places of the k-hot features of y, and the network sees the features themselves.
    What stands for the reward of an object are these places too, so that nothing is listed and nothing is remembered: a
    space may be of any size. Objects of equal features are one. Of random ways (uniform over what is legal) some
    objects are the ends more often than others.

    The generator 'outcome_conditioned' pre-trains with it. What stands for rewards are no numbers by which a sampler
    file could judge, or a replay prefer: that must be `{kind: uniform}`.

    Reference: Pan et al., Pre-training and fine-tuning generative flow networks, ICLR 2024, arXiv:2310.03419.
    """

    kind: ClassVar[str] = "drawn_outcome"
    cites: ClassVar[tuple[str, ...]] = ("pan2024pretraining",)
    of_objects: ClassVar[bool] = True
    of_files: ClassVar[bool] = False
    _env: Environment[Any] | None = None

    class Options(Component.Options):
        """What is missed."""

        floor: float = Field(1e-4, gt=0, lt=1, description="Reward of what was not asked for.")

    def __init__(self, options: DrawnOutcome.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.width = 0

    def of(self, env: Environment[Any]) -> Self:
        """Return the conditioning on the objects of an environment.

        Raises:
            NotProvided: the environment has no k-hot features.
        """
        if not env.n_features:
            raise NotProvided(
                f"The conditioning 'drawn_outcome' shows objects by their k-hot features, and {env.kind!r} has none. "
                "Use hypergrid, sequence or another environment that has."
            )
        made = type(self)(self.options)
        made._env, made._uniform, made.width = env, UniformFlat(env), env.n_features
        return made

    _uniform: UniformFlat[Any]

    def _known(self) -> Environment[Any]:
        if self._env is None:
            raise RuntimeError("The conditioning 'drawn_outcome' is of no environment yet; call `of` first.")
        return self._env

    def values(self, env: Environment[Any]) -> Callable[[Any], Judged]:
        """Return what stands for the reward: B terminal states -> their features' places (B, H) and their objects.

        Args:
            env: the environment, or a table of it.
        """
        return lambda states: (env.k_hot(states).double(), env.decode(states))

    def raw(self, states: Any) -> Tensor:
        """Return the raw conditions (n, H), float64, that ask for the objects of n terminal states."""
        return self._known().k_hot(states).double()

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return the raw conditions (n, H) of n objects that random ways end at."""
        return self.raw(sample_forward(self._known(), self._uniform, n, generator).terminal)

    def encode(self, raw: Tensor) -> Tensor:
        """Return the features (n, n_features) of n objects, of their places (n, H)."""
        return torch.zeros(len(raw), self.width + 1).scatter_(1, raw.long(), 1.0)[:, :-1]

    def log_reward(self, values: Tensor, raw: Tensor) -> Tensor:
        """Return 0 where the places (n, H) are those asked for (n, H), log floor elsewhere."""
        same = (values.reshape(len(values), -1) == raw.to(values)).all(1)
        return torch.zeros(len(same), dtype=torch.float64).masked_fill(~same, math.log(self.options.floor))

    def in_hindsight(self, values: Tensor, raw: Tensor, generator: torch.Generator) -> Tensor:
        """Return the places of the features of the replayed objects: each was what was asked for."""
        del raw, generator
        return values.double()
