"""What a condition promises: how it is drawn, what the network sees of it, and how the reward depends on it."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from models.registry import Component


class Conditioning(Component):
    """Something that the reward depends on besides the object; one policy is trained for all its values."""

    group: ClassVar[str] = "conditioning"
    width: int
    """Numbers in the encoded condition, C."""

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
