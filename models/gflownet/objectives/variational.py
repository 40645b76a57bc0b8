"""What the objectives of hierarchical variational inference share: the score, importance weights and baselines.

A trajectory tau has the score s = sum log P_F - sum log P_B - log R. The law of the policy is P_F(tau), the target is
P_B^R(tau) = R(x) P_B(tau | x) / Z; at the optimum they are equal, and s = -log Z everywhere.

All formulas are expectations under one of the two laws, while trajectories come from a third that may explore, q. So:

* an expectation under P_F is the mean over the batch with weights P_F / q, no gradient through them. They are not
  normalised, so the estimate has no bias; on-policy they are one.
* an expectation under P_B^R is a sum with weights P_B^R / q adding up to one within each condition: Z is not known.

Where the published code differs: it takes the mean, not the sum, of terms whose weights add up to one already, so these
are too small by the batch size against the others; and off-policy it multiplies the normalised on-policy weights
R P_B / P_F by P_F / q without normalising again. With an optimiser that does not mind the scale the first is seen only
where both kinds of terms meet in one network.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.objectives.base import Objective
from models.gflownet.objectives.groups import Groups
from models.gflownet.training.trajectories import Trajectories
from models.registry import Component

Baseline = Literal["none", "local", "global"]


class BaselineOptions(Component.Options):
    """Options of objectives with a score-function gradient."""

    baseline: Baseline = Field(
        "local",
        description="What is subtracted from the score: nothing; the mean of the other trajectories of the batch with "
        "the same condition; or -log Z, learned beside.",
    )


class Variational(Objective):
    """An objective that needs the probability with which each trajectory was drawn."""

    on_policy: ClassVar[bool] = True
    zero_at_optimum: ClassVar[bool] = False
    learns_flow: ClassVar[bool] = False

    def policy_weights(self, t: Trajectories) -> Tensor:
        """Return P_F / q of each trajectory, (B,), no gradient: their mean estimates one.

        Raises:
            ValueError: q is not known.
        """
        return (t.log_pf.detach().sum(0) - self._log_behaviour(t)).exp().to(t.log_pf.dtype)

    def target_weights(self, t: Trajectories) -> Tensor:
        """Return P_B^R / q of each trajectory, (B,), no gradient, adding up to one.

        Conditions weigh by their number of trajectories; those that only one trajectory has weigh nothing, as there is
        nothing to tell its weight from.

        Raises:
            ValueError: q is not known, or no two trajectories have the same condition.
        """
        groups = Groups.of(t.condition)
        shared = groups.require_shared(self.kind)
        within = groups.softmax((t.log_pb.detach().sum(0) + t.log_reward).double() - self._log_behaviour(t))
        return (within * groups.size * shared / shared.sum()).to(t.log_pf.dtype)

    def _log_behaviour(self, t: Trajectories) -> Tensor:
        unknown = int((~t.log_behaviour.isfinite()).sum())
        if unknown:
            raise ValueError(
                f"The objective {self.kind!r} needs `log_behaviour`, the log-probability with which each trajectory "
                f"was drawn; got {unknown} of {len(t)} without it. Train without replay and local search, or use "
                "trajectory_balance, which learns from trajectories of any origin."
            )
        return t.log_behaviour


def score(t: Trajectories) -> Tensor:
    """Return sg[s] of each trajectory, (B,)."""
    return (t.log_pf - t.log_pb).detach().sum(0) - t.log_reward


def advantage(t: Trajectories, baseline: Baseline) -> Tensor:
    """Return sg[s] - b of each trajectory, (B,).

    local: b is the mean of s over the other trajectories of the same condition, or over all others if there is none.
    The paper takes the mean over all, itself included, which makes the expected gradient too small by (B - 1) / B;
    leaving it out gives the same direction times B / (B - 1), and no bias. global: b = -log Z.

    Raises:
        ValueError: a local baseline of a single trajectory.
    """
    s = score(t)
    if baseline == "none":
        return s
    if baseline == "global":
        return s + t.log_flow[0].detach()
    n = len(t)
    if n < 2:
        raise ValueError("The local baseline is a mean over other trajectories; got a batch of one, expected two.")
    groups = Groups.of(t.condition)
    size = groups.size
    inside = (s - groups.mean(s)) * size / (size - 1).clamp(min=1)
    return torch.where(groups.shared, inside, (s - s.mean()) * n / (n - 1))


def baseline_loss(t: Trajectories, baseline: Baseline) -> Tensor:
    """Return the mean of (log Z + sg[s])^2, which trains a global baseline; zero for the others."""
    if baseline != "global":
        return t.log_flow.new_zeros(())
    return (t.log_flow[0] + score(t)).square().mean()
