"""Modified detailed balance, for spaces in which every state may stop."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from models.gflownet.objectives.base import Objective
from models.gflownet.objectives.edges import edge_mean
from models.gflownet.objectives.residuals import BalanceOptions
from models.gflownet.training.trajectories import Trajectories


class ModifiedDetailedBalance(Objective):
    """Detailed balance without a flow to learn: F(s) = R(s) / P_F(stop | s) wherever a state may stop.

    Mean over the transitions s -> s' that do not stop of
    (log R(s) + log P_F(s' | s) + log P_F(stop | s') - log R(s') - log P_B(s | s') - log P_F(stop | s))^2.

    R(s) is the reward of stopping in s. Where a terminal state stands for one of several of the same object, it is
    taken times P_B of the stop, correction included. Trajectories that stop at once have nothing to balance. log Z does
    not enter: estimate it from samples.
    """

    kind: ClassVar[str] = "modified_detailed_balance"
    cites: ClassVar[tuple[str, ...]] = ("deleu2022bayesian",)
    needs: ClassVar[frozenset[str]] = frozenset({"log_stop", "log_state_reward"})
    learns_flow: ClassVar[bool] = False

    class Options(BalanceOptions):
        """Options of modified detailed balance."""

    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar loss.

        Raises:
            ValueError: the trajectories have no `log_stop` or no `log_state_reward`.
        """
        t = trajectories
        if t.log_stop is None or t.log_state_reward is None:
            raise ValueError(
                "modified_detailed_balance needs `log_stop` and `log_state_reward` of the trajectories; got None. Make "
                "both, as the objective's `needs` say."
            )
        log_flow = t.log_state_reward - t.log_stop
        inside = torch.cat([t.alive[1:], torch.zeros_like(t.alive[:1])])
        ahead = torch.cat([log_flow[1:], torch.zeros_like(log_flow[:1])])
        return edge_mean(log_flow + t.log_pf - ahead - t.log_pb, inside, self.options.residual)
