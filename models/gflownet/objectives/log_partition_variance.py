"""Log-partition variance, also called VarGrad."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from models.gflownet.objectives.base import Objective
from models.gflownet.objectives.groups import Groups
from models.gflownet.objectives.residuals import BalanceOptions, residual_loss
from models.gflownet.training.trajectories import Trajectories


class LogPartitionVariance(Objective):
    """Mean over trajectories of (c - mean c)^2, c = sum log P_F - sum log P_B - log R: no log Z to learn.

    Trajectory balance with the log Z that suits the batch best, -mean c. The mean is over trajectories of the same
    condition, since each condition has a log Z of its own; trajectories that are alone with theirs are left out. The
    mean is differentiated too: for the squared residual this makes no difference to the gradient.
    """

    kind: ClassVar[str] = "log_partition_variance"
    cites: ClassVar[tuple[str, ...]] = ("zhang2023robust", "richter2020vargrad")
    learns_flow: ClassVar[bool] = False

    class Options(BalanceOptions):
        """Options of the log-partition variance."""

    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar loss.

        Raises:
            ValueError: no two trajectories have the same condition.
        """
        t = trajectories
        groups = Groups.of(t.condition)
        shared = groups.require_shared(self.kind)
        c = (t.log_pf - t.log_pb).sum(0) - t.log_reward
        residual = torch.where(shared, c - groups.mean(c), 0.0)
        return residual_loss(residual, self.options.residual).sum() / shared.sum()
