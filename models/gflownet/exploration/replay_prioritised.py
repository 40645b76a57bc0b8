"""Prioritised replay training."""

from __future__ import annotations

from typing import ClassVar, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.environments.base import States
from models.gflownet.exploration.replay import Replay, ReplayOptions

S = TypeVar("S", bound=States)


class PrioritisedReplay(Replay[S]):
    """The best distinct objects; half of each draw comes from the top tenth, the other half from all of them.

    The paper draws its second half from below the top tenth; here it is from the whole buffer, so that a buffer of one
    object needs no rule of its own. The buffer of the paper is unbounded; this one keeps the best.
    """

    kind: ClassVar[str] = "prioritised"
    cites: ClassVar[tuple[str, ...]] = ("shen2023towards",)

    class Options(ReplayOptions):
        """Capacity and priority."""

        top_share: float = Field(0.1, gt=0, le=1, description="Share of the objects that are the top.")
        top_draws: float = Field(0.5, ge=0, le=1, description="Share of each draw that comes from the top.")

    def place(self, worth: float, arrival: int) -> float:
        """Return minus the log-reward: the best first."""
        del arrival
        return -worth

    def choose(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n places (n,), the ones from the top first."""
        best = int(n * self.options.top_draws)
        top = max(1, int(len(self) * self.options.top_share))
        first = torch.randint(top, (best,), generator=generator)
        return torch.cat([first, torch.randint(len(self), (n - best,), generator=generator)])
