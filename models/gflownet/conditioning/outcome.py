"""One policy that reaches any object that is asked for, trained without a reward."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.conditioning.base import Conditioning
from models.gflownet.environments.base import Environment, NotProvided
from models.gflownet.judging.exact import enumerate_graph
from models.gflownet.rewards.base import Judged
from models.registry import Component


class Outcome(Conditioning):
    """R(x | y) = 1 where x is the object y that was asked for, else `floor`; y is drawn evenly from all objects.

    The raw condition (n, 1) is the number of y among the objects of the environment, and the network sees the k-hot
    features of y. Values of the reward are numbers too: no other reward is asked. Where there are more objects than a
    replay holds it must be `{kind: uniform}`, as another one keeps those of the largest numbers. A replayed object is
    shown as the one that was asked for, so that the rest of a batch, which mostly misses, is its contrast. What is
    trained is turned into a sampler of any reward by `judging.outcomes.converted`.

    Reference: Pan et al., Pre-training and fine-tuning generative flow networks, ICLR 2024, arXiv:2310.03419. Its
    objective puts the reward on every edge ("outcome teleportation"). That holds where nothing but y is ever reached:
    an edge that leads to y and to others cannot balance for both. So it is not here; any objective of balance can be
    used with the reward above.
    """

    kind: ClassVar[str] = "outcome"
    cites: ClassVar[tuple[str, ...]] = ("pan2024pretraining",)
    of_objects: ClassVar[bool] = True
    _codes: Tensor | None = None
    _numbers: dict[Any, int]

    class Options(Component.Options):
        """What is missed, and the most objects."""

        floor: float = Field(1e-4, gt=0, lt=1, description="Reward of what was not asked for.")
        most: int = Field(20_000, ge=2, description="States of the largest environment, whose objects are listed.")

    def __init__(self, options: Outcome.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.width = 0

    def of(self, env: Environment[Any]) -> Self:
        """Return the conditioning on the objects of an environment.

        Raises:
            TooManyStates: there are more than `most` states.
            NotProvided: the environment has no k-hot features.
        """
        if not env.n_features:
            raise NotProvided(
                f"The conditioning 'outcome' shows objects by their k-hot features, and {env.kind!r} has none. Use "
                "hypergrid, sequence or another environment that has."
            )
        graph = enumerate_graph(env, limit=self.options.most)
        made = type(self)(self.options)
        first: dict[Any, int] = {}
        for state, obj in zip(graph.terminal.tolist(), graph.objects, strict=True):
            first.setdefault(obj, state)
        hot = env.k_hot(graph.states[torch.tensor(list(first.values()))])
        made._codes = torch.zeros(len(first), env.n_features + 1).scatter_(1, hot, 1.0)[:, :-1]
        made._numbers = {obj: number for number, obj in enumerate(first)}
        made.width = env.n_features
        return made

    def values(self, env: Environment[Any]) -> Callable[[Any], Judged]:
        """Return what stands for the reward: B terminal states -> their numbers (B,) float64 and their objects.

        Args:
            env: the environment, or a table of it.
        """

        def numbered(states: Any) -> Judged:
            objects = env.decode(states)
            return torch.tensor([self._numbers[obj] for obj in objects], dtype=torch.float64), objects

        return numbered

    def _known(self) -> Tensor:
        if self._codes is None:
            raise RuntimeError("The conditioning 'outcome' is of no environment yet; call `of` first.")
        return self._codes

    def numbers(self, objects: list[Any]) -> Tensor:
        """Return the raw conditions (n, 1) of n objects."""
        return torch.tensor([[self._numbers[obj]] for obj in objects], dtype=torch.float64)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return the numbers (n, 1) of n objects, float64."""
        return torch.randint(len(self._known()), (n, 1), generator=generator).double()

    def encode(self, raw: Tensor) -> Tensor:
        """Return the features (n, n_features) of the objects of n numbers (n, 1)."""
        return self._known()[raw[:, 0].long()]

    def log_reward(self, values: Tensor, raw: Tensor) -> Tensor:
        """Return 0 where the numbers (n,) are those asked for (n, 1), log floor elsewhere."""
        return torch.where(values == raw[:, 0].to(values), 0.0, math.log(self.options.floor)).double()

    def in_hindsight(self, values: Tensor, raw: Tensor, generator: torch.Generator) -> Tensor:
        """Return the numbers of the replayed objects: each was what was asked for."""
        del raw, generator
        return values.double()[:, None]
