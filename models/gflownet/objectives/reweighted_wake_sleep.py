"""Reweighted wake-sleep."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from models.gflownet.objectives.variational import Variational
from models.gflownet.training.trajectories import Trajectories


class ReweightedWakeSleep(Variational):
    """KL(P_B^R || P_F) for the forward policy, KL(P_F || P_B^R) for the backward policy: likelihoods on both sides.

    sum of -w log P_F, w ~ P_B^R / q adding up to one, and mean of -v log P_B, v = P_F / q. No score-function gradient,
    so no baseline; with a fixed backward policy it is the forward divergence.
    """

    kind: ClassVar[str] = "reweighted_wake_sleep"
    cites: ClassVar[tuple[str, ...]] = ("bornschein2015rws", "malkin2023variational")

    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar whose gradient is that of the two divergences.

        Raises:
            ValueError: a `log_behaviour` is not known, or no two trajectories have the same condition.
        """
        t = trajectories
        forward = self.target_weights(t) * t.log_pf.sum(0)
        backward = self.policy_weights(t) * t.log_pb.sum(0)
        return -forward.sum() - backward.mean()
