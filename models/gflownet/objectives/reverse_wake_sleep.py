"""Reverse wake-sleep: the divergences of reweighted wake-sleep with the sides changed."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from models.gflownet.objectives.variational import BaselineOptions, Variational, advantage, baseline_loss
from models.gflownet.training.trajectories import Trajectories


class ReverseWakeSleep(Variational):
    """KL(P_F || P_B^R) for the forward policy, KL(P_B^R || P_F) for the backward policy: score functions on both sides.

    mean of v log P_F (sg[s] - b), v = P_F / q, and sum of -w log P_B (sg[s] - b), w ~ P_B^R / q adding up to one. This
    is what on-policy trajectory balance does to the forward policy, and what it does to the backward policy on
    trajectories of the target.
    """

    kind: ClassVar[str] = "reverse_wake_sleep"
    cites: ClassVar[tuple[str, ...]] = ("malkin2023variational",)

    class Options(BaselineOptions):
        """Options of reverse wake-sleep."""

    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar whose gradient is that of the two divergences.

        Raises:
            ValueError: a `log_behaviour` is not known, or no two trajectories have the same condition.
        """
        t, baseline = trajectories, self.options.baseline
        gain = advantage(t, baseline)
        forward = self.policy_weights(t) * t.log_pf.sum(0) * gain
        backward = self.target_weights(t) * t.log_pb.sum(0) * gain
        return forward.mean() - backward.sum() + baseline_loss(t, baseline)
