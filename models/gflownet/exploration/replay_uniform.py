"""Replay without preference."""

from __future__ import annotations

from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from models.gflownet.environments.base import States
from models.gflownet.exploration.replay import Replay

S = TypeVar("S", bound=States)


class UniformReplay(Replay[S]):
    """The latest distinct objects, each as likely to be drawn; the oldest goes when the buffer is full."""

    kind: ClassVar[str] = "uniform"
    cites: ClassVar[tuple[str, ...]] = ("lin1992reactive",)

    def place(self, worth: float, arrival: int) -> float:
        """Return minus the number of the arrival: the latest first."""
        del worth
        return -float(arrival)

    def choose(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n uniform places (n,)."""
        return torch.randint(len(self), (n,), generator=generator)
