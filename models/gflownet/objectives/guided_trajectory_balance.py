"""Guided trajectory balance: of the ways to build an object, those over parts of good objects get the flow."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from models.gflownet.objectives.base import Objective
from models.gflownet.objectives.residuals import BalanceOptions, residual_loss
from models.gflownet.training.trajectories import Trajectories


class GuidedTrajectoryBalance(Objective):
    """Mean of (log Z + sum log P_F - log R - w sum log P_B - (1 - w) sum log p_guide)^2.

    A backward policy that learns is fitted to the guide beside it, by (sum log P_B - sum log p_guide)^2; the forward
    policy's target has no gradient in it. With w = 0 every guide gives the law of the reward; with a larger w that
    holds where the backward policy follows the guide, so one with a network is needed. The reward has no part in the
    fit of the backward policy, as in the paper; in its code it has.

    Reference of the guide: `models.gflownet.training.guide`.
    """

    kind: ClassVar[str] = "guided_trajectory_balance"
    cites: ClassVar[tuple[str, ...]] = ("shen2023towards",)
    needs: ClassVar[frozenset[str]] = frozenset({"log_guide"})
    learns_flow: ClassVar[bool] = False

    class Options(BalanceOptions):
        """Options of guided trajectory balance."""

        backward_share: float = Field(
            0.0, ge=0, le=1, description="w, the part of the backward policy in the target; the guide has the rest."
        )
        sharpness: float = Field(1.0, gt=0, description="Power of the worth of a part in the guide.")

    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar loss; log Z is row 0 of `log_flow`.

        Raises:
            ValueError: the trajectories do not know what a guide says of them.
        """
        t, share = trajectories, self.options.backward_share
        if t.log_guide is None:
            raise ValueError(f"The objective {self.kind!r} needs what a guide says of each transition.")
        guide, backward = t.log_guide.sum(0), t.log_pb.sum(0)
        target = t.log_reward + share * backward.detach() + (1.0 - share) * guide
        loss = residual_loss(t.log_flow[0] + t.log_pf.sum(0) - target, self.options.residual).mean()
        if t.log_pb.requires_grad:
            loss = loss + residual_loss(backward - guide, self.options.residual).mean()
        return loss
