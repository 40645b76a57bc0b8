"""Reward-prioritised replay of terminal states."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from models.gflownet.environments.base import States

S = TypeVar("S", bound=States)
TOP_SHARE = 0.1


class Replay(Generic[S]):
    """The best distinct objects seen, up to a capacity; half of each draw comes from the top tenth.

    A trajectory to a drawn terminal state is sampled backwards anew each time.
    Prioritised replay training: Shen et al., Towards understanding and improving GFlowNet training, ICML 2023.
    """

    def __init__(self, capacity: int, empty: S) -> None:
        self.capacity = capacity
        self.terminal: S = empty
        self.log_reward = torch.zeros(0)
        self.keys: list[Hashable] = []

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, terminal: S, log_reward: Tensor, keys: Sequence[Hashable]) -> None:
        """Add terminal states with log-rewards (B,) and the objects they are; known objects are passed over."""
        known = set(self.keys)
        fresh = []
        for place, key in enumerate(keys):
            if key not in known:
                known.add(key)
                fresh.append(place)
        if not fresh:
            return
        index = torch.tensor(fresh)
        states = type(terminal).cat([self.terminal, terminal[index]])
        rewards = torch.cat([self.log_reward, log_reward[index].to(self.log_reward.dtype)])
        names = [*self.keys, *(keys[place] for place in fresh)]
        order = rewards.argsort(descending=True, stable=True)[: self.capacity]
        self.terminal, self.log_reward = states[order], rewards[order]
        self.keys = [names[place] for place in order.tolist()]

    def sample(self, n: int, generator: torch.Generator) -> tuple[S, Tensor]:
        """Draw n terminal states with their log-rewards (n,), with replacement.

        Raises:
            ValueError: the replay is empty.
        """
        if not len(self):
            raise ValueError("The replay is empty: nothing can be drawn. Add terminal states first.")
        top = max(1, int(len(self) * TOP_SHARE))
        best = torch.randint(top, (n // 2,), generator=generator)
        index = torch.cat([best, torch.randint(len(self), (n - n // 2,), generator=generator)])
        return self.terminal[index], self.log_reward[index]

    def state(self) -> dict[str, Any]:
        """Return tensors and strings from which `load_state` restores the replay; keys must be strings."""
        return {"terminal": self.terminal.tensors(), "log_reward": self.log_reward, "keys": list(self.keys)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.terminal = type(self.terminal)(**state["terminal"])
        self.log_reward, self.keys = state["log_reward"], list(state["keys"])
