"""What a condition promises: how it is drawn, what the network sees of it, and how the reward depends on it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from models.gflownet.environments.base import Environment
from models.gflownet.rewards.base import Judged
from models.registry import Component


class Conditioning(Component):
    """Something that the reward depends on besides the object; one policy is trained for all its values."""

    group: ClassVar[str] = "conditioning"
    width: int
    """Numbers in the encoded condition, C."""
    of_objects: ClassVar[bool] = False
    """Whether conditions are objects of the environment: then it has no other reward, and `of` comes first."""
    of_files: ClassVar[bool] = True
    """Whether a sampler file may name it; one that may not is made by a generator."""

    def of(self, env: Environment[Any]) -> Conditioning:
        """Return the conditioning for an environment."""
        del env
        return self

    def values(self, env: Environment[Any]) -> Callable[[Any], Judged] | None:
        """Return what is asked in place of the reward, None where the reward is."""
        del env
        return None

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n raw conditions (n, C0)."""

    @abstractmethod
    def encode(self, raw: Tensor) -> Tensor:
        """Return what the network sees, (n, C), of raw conditions (n, C0)."""

    @abstractmethod
    def log_reward(self, values: Tensor, raw: Tensor) -> Tensor:
        """Return the log-rewards (n,) under raw conditions (n, C0), of what the reward gave: (n,), or (n, K)."""

    def in_hindsight(self, values: Tensor, raw: Tensor, generator: torch.Generator) -> Tensor:
        """Return the raw conditions (n, C0) that n replayed objects are shown, of those that were drawn for them.

        Args:
            values: what the reward gave of the objects: (n,), or (n, K).
            raw: conditions drawn (n, C0), as they are shown where nothing else is known of them.
            generator: source of all randomness.
        """
        del values, generator
        return raw
