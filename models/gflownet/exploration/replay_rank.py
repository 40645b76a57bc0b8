"""Rank-based replay."""

from __future__ import annotations

from typing import ClassVar, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.exploration.replay import Replay, ReplayOptions

S = TypeVar("S", bound=States)


class RankReplay(Replay[S]):
    """The best distinct objects; the one of rank r (0 is the best) of N is drawn with weight 1 / (k N + r).

    Weighted retraining of Tripp et al., used for GFlowNets by Kim et al. (Genetic-guided GFlowNets, 2024,
    arXiv:2402.05961). A small k draws almost only the best, a large one uniformly.
    """

    kind: ClassVar[str] = "rank"
    cites: ClassVar[tuple[str, ...]] = ("tripp2020weighted", "kim2024genetic")

    class Options(ReplayOptions):
        """Capacity and steepness."""

        k: float = Field(0.01, gt=0, description="Steepness: weight of rank r among N is 1 / (k N + r).")

    def _reset(self, env: Environment[S]) -> None:
        super()._reset(env)
        self._law = torch.zeros(0, dtype=torch.float64)

    def place(self, worth: float, arrival: int) -> float:
        """Return minus the log-reward: the best first."""
        del arrival
        return -worth

    def choose(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n ranks (n,) by inversion of the distribution function."""
        if len(self._law) != len(self):
            rank = torch.arange(len(self), dtype=torch.float64)
            self._law = (1.0 / (self.options.k * len(self) + rank)).cumsum(0)
        noise = torch.rand(n, generator=generator, dtype=torch.float64) * (1.0 - 1e-9)
        return torch.searchsorted(self._law, noise * self._law[-1], right=True)
