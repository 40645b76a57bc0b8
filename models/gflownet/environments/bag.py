"""Multisets of letters, where the reward is in how often one letter occurs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.environments.counting import CountingEnvironment, CountStates
from models.registry import Component

_PRIME = 2**31 - 1
_GENERATOR = 48271
"""A primitive root of the prime (Park, Miller and Stockmeyer, 1993)."""


class BagEnvironment(CountingEnvironment):
    """Bags of a given size; adding the last letter ends a trajectory.

    R is 0.01; 10 where a letter occurs `threshold` times or more; 30 where such a bag is a mode besides. The published
    modes are orders of letters while the states are multisets, so its target law is not that of its own state graph.
    Here a mode is a rule on multisets: with coefficients a_i and h = (sum_i a_i count_i)^2, both modulo 2^31 - 1, a bag
    that has the frequent letter is a mode where h modulo `mode_every` is 0.
    """

    kind: ClassVar[str] = "bag"
    cites: ClassVar[tuple[str, ...]] = ("shen2023towards",)
    small: ClassVar[Mapping[str, Any]] = {"letters": 4, "size": 5, "threshold": 3}

    class Options(Component.Options):
        """Options of the bag environment."""

        letters: int = Field(7, ge=2)
        size: int = Field(13, ge=1, description="Letters of a full bag.")
        threshold: int = Field(7, ge=1, description="Occurrences of one letter that are rewarded.")
        mode_every: int = Field(4, ge=1, description="One in so many of the rewarded bags is a mode, on average.")
        base_reward: float = Field(0.01, gt=0)
        frequent_reward: float = Field(10.0, gt=0, description="Where a letter reaches the threshold.")
        mode_reward: float = Field(30.0, gt=0)
        seed: int = Field(0, ge=0, description="Other seeds have other modes.")

    def __init__(self, options: BagEnvironment.Options | None = None, /, **values: Any) -> None:
        chosen = BagEnvironment.Options(**values) if options is None else options
        super().__init__(chosen.letters, chosen.size, chosen.size, chosen)
        self.n_features = chosen.letters * (chosen.size + 1)
        self._offset = torch.arange(chosen.letters) * (chosen.size + 1)
        powers = [chosen.seed * chosen.letters + i + 1 for i in range(chosen.letters)]
        self._coefficient = torch.tensor([pow(_GENERATOR, power, _PRIME) for power in powers])
        rewards = [chosen.base_reward, chosen.frequent_reward, chosen.mode_reward]
        self._log_reward = torch.tensor(rewards, dtype=torch.float64).log()

    def decode(self, states: CountStates) -> list[tuple[int, ...]]:
        """Return the count of each letter."""
        return [tuple(row) for row in states.count.tolist()]

    def k_hot(self, states: CountStates) -> Tensor:
        """Return (S, L) int64: i (size + 1) + count_i of each letter i."""
        return states.count + self._offset

    def frequent(self, states: CountStates) -> Tensor:
        """Return (S,) bool: whether some letter occurs as often as the threshold."""
        often: Tensor = states.count.amax(1) >= self.options.threshold
        return often

    def mode(self, states: CountStates) -> Tensor:
        """Return (S,) bool: whether the bag is a mode, for full bags."""
        mixed = (states.count * self._coefficient).sum(1) % _PRIME
        modes: Tensor = self.frequent(states) & (mixed * mixed % _PRIME % self.options.mode_every == 0)
        return modes

    def log_reward(self, states: CountStates) -> Tensor:
        """Return (S,) float64."""
        return self._log_reward[self.frequent(states).long() + self.mode(states).long()]

    def log_partial(self, states: CountStates) -> Tensor:
        """Return (S,) float64: the log-reward of letters so far, modes left out."""
        return self._log_reward[self.frequent(states).long()]
