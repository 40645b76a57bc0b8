"""Objectives whose network learns what a reward of the unfinished state leaves of the flow."""

from __future__ import annotations

from typing import ClassVar

from models.gflownet.objectives.detailed_balance import DetailedBalance
from models.gflownet.objectives.flow_matching import FlowMatching
from models.gflownet.objectives.sub_trajectory_balance import SubTrajectoryBalance


class ForwardLookingDetailedBalance(DetailedBalance):
    """Detailed balance with log F(s) = log R~(s) + what the network says, R~ any reward of unfinished states.

    Whoever makes the trajectories adds log R~(s) to the network's answer, so `log_flow` is log F(s) itself, and the
    loss is that of detailed balance. A terminal state has F(x) = R(x): the network is never asked about it. The
    optimum is the same for every R~; a good one leaves the network little to learn, and gives every transition a
    signal of its own.
    """

    kind: ClassVar[str] = "forward_looking_detailed_balance"
    cites: ClassVar[tuple[str, ...]] = ("pan2023forwardlooking",)
    forward_looking: ClassVar[bool] = True


class ForwardLookingSubTrajectoryBalance(SubTrajectoryBalance):
    """Sub-trajectory balance with log F(s) = log R~(s) + what the network says; see its detailed balance."""

    kind: ClassVar[str] = "forward_looking_sub_trajectory_balance"
    cites: ClassVar[tuple[str, ...]] = ("pan2023forwardlooking", "madan2023subtb")
    forward_looking: ClassVar[bool] = True


class ForwardLookingFlowMatching(FlowMatching):
    """Flow matching with log F(s) = log R~(s) + what the network says; see its detailed balance.

    `log_inflow` is made of the whole flows of the parents, their log R~ included.
    """

    kind: ClassVar[str] = "forward_looking_flow_matching"
    cites: ClassVar[tuple[str, ...]] = ("pan2023forwardlooking",)
    forward_looking: ClassVar[bool] = True
