"""Sub-trajectory balance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.objectives.base import Objective
from models.gflownet.objectives.residuals import BalanceOptions, residual_loss
from models.gflownet.training.trajectories import Trajectories

_AT_ONCE = 1_000_000
"""Twice the pieces of a batch that are treated in one operation."""
Weighting = Literal[
    "geometric",
    "geometric_within",
    "geometric_by_length",
    "equal",
    "equal_within",
    "detailed_balance",
    "detailed_balance_within",
    "trajectory_balance",
]


class SubTrajectoryBalance(Objective):
    """Weighted mean of d_ij^2 over all pieces s_i .. s_j of trajectories, i < j.

    d_ij = log F(s_i) - log F(s_j) + sum over i <= k < j of (log P_F - log P_B), F(x) = R(x), F(s_0) = Z.

    With u_i = log F(s_i) - sum over k < i of (log P_F - log P_B), d_ij = u_i - u_j: one subtraction per piece.

    Weights of a piece of k transitions; each set of weights adds up to one:

    * geometric: decay^k among all pieces of the batch. The paper's.
    * geometric_within: decay^k among the pieces of a trajectory; each trajectory weighs the same. The one that
      torchgfn calls the paper's.
    * geometric_by_length: decay^k for the mean over all pieces of that length in the batch, k from 1 to the longest
      trajectory. The one that torchgfn calls geometric: a length weighs the same however few pieces have it.
    * equal, equal_within: the same for all pieces of the batch, of the trajectory.
    * detailed_balance, detailed_balance_within: single transitions only, the same for all of the batch, of the
      trajectory (torchgfn calls the latter ModifiedDB).
    * trajectory_balance: whole trajectories only.

    As decay goes to 0 the first two go to the two kinds of detailed balance; as it grows, geometric_within goes to
    trajectory balance, and geometric to trajectory balance of the longest trajectories.
    """

    kind: ClassVar[str] = "sub_trajectory_balance"
    cites: ClassVar[tuple[str, ...]] = ("madan2023subtb",)

    class Options(BalanceOptions):
        """Options of sub-trajectory balance."""

        decay: float = Field(
            0.9,
            gt=0,
            description="Lambda of the paper: weight of a piece over that of one a transition shorter.",
        )
        weighting: Weighting = Field("geometric", description="How the pieces of trajectories are weighted.")

    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar loss; pieces of a length that has no weight are not made."""
        t = trajectories
        length = t.alive.sum(0)
        weights = piece_weights(length, len(t.alive), self.options.weighting, self.options.decay)
        potential = _potential(t, length)
        total = potential.new_zeros(())
        for first, last in _pieces(weights):
            exists = last[:, None] <= length
            residual = torch.where(exists, potential.index_select(0, first) - potential.index_select(0, last), 0.0)
            weight = weights.index_select(0, last - first - 1).to(residual.dtype)
            total = total + (residual_loss(residual, self.options.residual) * weight).sum()
        return total


def _pieces(weights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield first and last state (P,) of pieces with a weight (T, B): all at once, or one length after the other.

    One operation is fastest for small batches; for large ones it would take more memory and no less time.
    """
    state = torch.arange(len(weights) + 1, device=weights.device)
    if len(weights) * weights.numel() <= _AT_ONCE:
        heavy = torch.cat([torch.zeros_like(weights[:1, 0], dtype=torch.bool), (weights > 0).any(1)])
        gap = state - state[:, None]
        first, last = heavy[gap.clamp(min=0)].logical_and_(gap > 0).nonzero(as_tuple=True)
        yield first, last
        return
    for k in ((weights > 0).any(1).nonzero()[:, 0] + 1).tolist():
        yield state[:-k], state[k:]


def _potential(t: Trajectories, length: Tensor) -> Tensor:
    """Return u_i of the states of trajectories, (T + 1, B); only those up to the terminal state have a meaning."""
    ahead = torch.cat([t.log_flow, torch.zeros_like(t.log_flow[:1])])
    place = torch.arange(len(ahead), device=length.device)[:, None]
    ends = t.log_reward.to(ahead.dtype).expand_as(ahead)
    balance = (t.log_pf - t.log_pb).cumsum(0)
    return torch.where(place == length, ends, ahead) - torch.cat([torch.zeros_like(balance[:1]), balance])


def piece_weights(length: Tensor, longest: int, weighting: Weighting, decay: float) -> Tensor:
    """Return (T, B) float64: the weight of each piece of 1 .. T transitions of trajectories of lengths (B,).

    Times the number of such pieces, length - k + 1, they add up to one. T is `longest`.
    """
    k = torch.arange(1, longest + 1, device=length.device)[:, None]
    count = (length - k + 1).clamp(min=0).double()
    n = len(length)
    if weighting == "trajectory_balance":
        return (k == length).double() / n
    if weighting.startswith("detailed_balance"):
        count = torch.where(k == 1, count, 0.0)
    raw = (count > 0).double()
    if weighting.startswith("geometric"):
        # Relative to the heaviest piece that there is: no power overflows, however large the decay.
        reach = torch.where(count > 0, k.double() * math.log(decay), -torch.inf)
        top = reach.amax(0)
        raw = (reach - (top if weighting == "geometric_within" else top.max())).exp()
    if weighting == "geometric_by_length":
        per_length = count.sum(1, keepdim=True)
        return raw / raw.amax(1).sum() / per_length.clamp(min=1)
    if weighting.endswith("within"):
        return raw / (raw * count).sum(0) / n
    return raw / (raw * count).sum()
