"""Detailed balance."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from models.gflownet.objectives.base import Objective
from models.gflownet.objectives.edges import edge_mean
from models.gflownet.objectives.residuals import BalanceOptions
from models.gflownet.training.trajectories import Trajectories


class DetailedBalance(Objective):
    """Mean over all transitions of (log F(s) + log P_F(s' | s) - log F(s') - log P_B(s | s'))^2; F(x) = R(x)."""

    kind: ClassVar[str] = "detailed_balance"
    cites: ClassVar[tuple[str, ...]] = ("bengio2023foundations",)

    class Options(BalanceOptions):
        """Options of detailed balance."""

    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar loss; a transition counts the same in a short and in a long trajectory."""
        t = trajectories
        residual = t.log_flow + t.log_pf - t.next_flow - t.log_pb
        return edge_mean(residual, t.alive, self.options.residual)
