"""Relative trajectory balance: the target is the law of a prior policy times the reward."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from models.gflownet.objectives.base import Objective
from models.gflownet.objectives.residuals import BalanceOptions, residual_loss
from models.gflownet.training.trajectories import Trajectories


class RelativeTrajectoryBalance(Objective):
    """Mean over trajectories of (log Z + sum log P_F - log R - sum log P_prior)^2.

    The prior is a policy that is not trained here: what the policy had learnt from a library, or was before its first
    step. At the optimum objects come with probability p_prior(x) R(x) / Z, whatever the number of ways to build one,
    so no backward policy has a part in it; and log Z = log E_prior[R] is of the size of log R, where that of trajectory
    balance grows with the space and its entropy decides what is sampled.
    """

    kind: ClassVar[str] = "relative_trajectory_balance"
    cites: ClassVar[tuple[str, ...]] = ("venkatraman2024rtb",)
    needs: ClassVar[frozenset[str]] = frozenset({"log_prior"})
    learns_flow: ClassVar[bool] = False

    class Options(BalanceOptions):
        """Options of relative trajectory balance."""

    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar loss; log Z is row 0 of `log_flow`.

        Raises:
            ValueError: the trajectories do not know what the prior says of them.
        """
        if trajectories.log_prior is None:
            raise ValueError(f"The objective {self.kind!r} needs what a prior policy says of each transition.")
        balance = (trajectories.log_pf - trajectories.log_prior).sum(0)
        residual = trajectories.log_flow[0] + balance - trajectories.log_reward
        return residual_loss(residual, self.options.residual).mean()
