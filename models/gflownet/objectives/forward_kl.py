"""Forward Kullback-Leibler divergence, from the target to the policy."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from models.gflownet.objectives.variational import BaselineOptions, Variational, advantage, baseline_loss
from models.gflownet.training.trajectories import Trajectories


class ForwardKL(Variational):
    """KL(P_B^R || P_F) over trajectories: sum of w (-log P_B (sg[s] - b) - log P_F), w ~ P_B^R / q adding up to one.

    The weights need no Z, at the price of a bias that goes down with the batch size.
    """

    kind: ClassVar[str] = "forward_kl"
    cites: ClassVar[tuple[str, ...]] = ("malkin2023variational",)

    class Options(BaselineOptions):
        """Options of the forward divergence."""

    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar whose gradient is that of the divergence.

        Raises:
            ValueError: a `log_behaviour` is not known, or no two trajectories have the same condition.
        """
        t, baseline = trajectories, self.options.baseline
        terms = -t.log_pb.sum(0) * advantage(t, baseline) - t.log_pf.sum(0)
        return (self.target_weights(t) * terms).sum() + baseline_loss(t, baseline)
