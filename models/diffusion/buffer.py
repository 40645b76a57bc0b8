"""Ends of chains to come back to, drawn by the rank of their reward."""

from __future__ import annotations

import torch
from torch import Tensor

_FLATNESS = 0.01


class Buffer:
    """The last `capacity` positions with their log-rewards; position of rank r is drawn with weight 1 / (0.01 N + r).

    Tripp et al., Sample-efficient optimization in the latent space, NeurIPS 2020, arXiv:2006.09191, for the weights.
    """

    def __init__(self, dimensions: int, capacity: int) -> None:
        self.x, self.log_reward = torch.zeros((0, dimensions)), torch.zeros(0)
        self.capacity = capacity

    def __len__(self) -> int:
        return len(self.x)

    def add(self, x: Tensor, log_reward: Tensor) -> None:
        """Take in positions (n, d) with log-rewards (n,); the oldest go."""
        self.x = torch.cat([self.x, x])[-self.capacity :]
        self.log_reward = torch.cat([self.log_reward, log_reward.float()])[-self.capacity :]

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return n positions (n, d), with repetition, and their log-rewards (n,)."""
        rank = self.log_reward.argsort(descending=True, stable=True).argsort(stable=True)
        law = (1.0 / (_FLATNESS * len(self) + rank)).double().cumsum(0)
        u = torch.rand(n, generator=generator, dtype=torch.float64) * law[-1]
        place = torch.searchsorted(law, u).clamp(max=len(self) - 1)
        return self.x[place], self.log_reward[place]

    def state(self) -> dict[str, Tensor]:
        """Return what is held."""
        return {"x": self.x, "log_reward": self.log_reward}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` returned."""
        self.x, self.log_reward = state["x"], state["log_reward"]
