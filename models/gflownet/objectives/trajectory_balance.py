"""Trajectory balance."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from models.gflownet.objectives.base import Objective
from models.gflownet.objectives.residuals import BalanceOptions, residual_loss
from models.gflownet.training.trajectories import Trajectories


class TrajectoryBalance(Objective):
    """Mean over trajectories of (log Z + sum log P_F - log R - sum log P_B)^2."""

    kind: ClassVar[str] = "trajectory_balance"
    cites: ClassVar[tuple[str, ...]] = ("malkin2022tb",)
    learns_flow: ClassVar[bool] = False

    class Options(BalanceOptions):
        """Options of trajectory balance."""

    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar loss; log Z is row 0 of `log_flow`."""
        balance = (trajectories.log_pf - trajectories.log_pb).sum(0)
        residual = trajectories.log_flow[0] + balance - trajectories.log_reward
        return residual_loss(residual, self.options.residual).mean()
