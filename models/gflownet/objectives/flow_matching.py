"""Flow matching."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.objectives.base import Objective
from models.gflownet.objectives.edges import edge_mean, last_edges
from models.gflownet.objectives.residuals import BalanceOptions
from models.gflownet.training.trajectories import Trajectories


class FlowMatching(Objective):
    """Mean over the visited states s' after the source of (log sum_s F(s) P_F(s' | s) - log F(s'))^2; F(x) = R(x).

    The paper has one number per edge, F(s -> s'), and asks that inflow = R(s) + outflow. Here that number is
    F(s) P_F(s' | s). Both say the same: any positive edge flows have this form, with F(s) their sum out of s and P_F
    their shares; P_F adds up to one, so the outflow of a state is F(s) by itself, and no equation is lost. Rewards
    only stand at terminal states of their own here, whose outflow is zero, so R(s) + outflow is F(s) inside and R(x)
    at the end. What changes is the gradient, and that no sum over children is needed.

    No backward policy enters; log Z is the flow of the source, which the first states have as their inflow. The
    paper's small constant inside both logarithms is not needed: nothing underflows in logs.
    """

    kind: ClassVar[str] = "flow_matching"
    cites: ClassVar[tuple[str, ...]] = ("bengio2021flow",)
    needs: ClassVar[frozenset[str]] = frozenset({"log_inflow"})

    class Options(BalanceOptions):
        """Options of flow matching."""

        leaf_weight: float = Field(
            1.0, gt=0, description="Weight of a terminal state beside the 1 of another; 10 to 25 are in use."
        )

    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar loss.

        Raises:
            ValueError: the trajectories have no `log_inflow`.
        """
        t = trajectories
        if t.log_inflow is None:
            raise ValueError(
                "flow_matching needs `log_inflow` of the trajectories; got None. Make it: the objective `needs` it."
            )
        weight = torch.where(last_edges(t.alive), self.options.leaf_weight, 1.0).to(t.log_flow.dtype)
        return edge_mean(t.log_inflow - t.next_flow, t.alive, self.options.residual, weight)
