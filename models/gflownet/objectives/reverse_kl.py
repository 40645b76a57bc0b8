"""Reverse Kullback-Leibler divergence, from the policy to the target."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from models.gflownet.objectives.variational import BaselineOptions, Variational, advantage, baseline_loss
from models.gflownet.training.trajectories import Trajectories


class ReverseKL(Variational):
    """KL(P_F || P_B^R) over trajectories: mean of w (log P_F (sg[s] - b) - log P_B), w = P_F / q.

    The first term is the score-function gradient in the forward policy, the second the likelihood of the backward
    policy. In the forward policy, half the expected gradient of on-policy trajectory balance, whatever its log Z. The
    value is not the divergence; only the gradient means something.
    """

    kind: ClassVar[str] = "reverse_kl"
    cites: ClassVar[tuple[str, ...]] = ("malkin2023variational",)

    class Options(BaselineOptions):
        """Options of the reverse divergence."""

    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar whose gradient is that of the divergence.

        Raises:
            ValueError: a `log_behaviour` is not known, or a local baseline of a single trajectory.
        """
        t, baseline = trajectories, self.options.baseline
        terms = t.log_pf.sum(0) * advantage(t, baseline) - t.log_pb.sum(0)
        return (self.policy_weights(t) * terms).mean() + baseline_loss(t, baseline)
