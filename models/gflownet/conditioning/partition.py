"""Log Z: a number, or a function of the condition."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.gflownet.policies.base import initialise

_WIDTH = 64


class LogPartition(nn.Module):
    """Log of the total reward: one parameter, plus a small network of the encoded condition where there is one.

    A single number shared by all conditions would be wrong for each of them (Jain et al., Multi-objective GFlowNets,
    ICML 2023, arXiv:2210.12765).

    Args:
        conditions: numbers in the encoded condition; 0 without conditioning.
        generator: source of the initial weights; needed with conditions only.
    """

    def __init__(self, conditions: int = 0, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(()))
        self.network: nn.Sequential | None = None
        if conditions:
            with torch.device("meta"):
                self.network = nn.Sequential(nn.Linear(conditions, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, 1))
            self.network.to_empty(device="cpu")
            initialise(self.network, generator or torch.Generator())
            with torch.no_grad():
                self.network[-1].weight.zero_()  # type: ignore[operator]

    def forward(self, condition: Tensor | None, n: int) -> Tensor:
        """Return (n,) log Z for conditions (n, C), or the one number n times."""
        value = self.value.expand(n)
        return value if self.network is None or condition is None else value + self.network(condition)[:, 0]

    @torch.no_grad()
    def initialise(self, value: float | Tensor) -> None:
        """Set the part that all conditions share: before training that is log Z of every condition."""
        self.value.fill_(value)
