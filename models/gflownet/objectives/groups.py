"""Trajectories of the same condition: only they have one log Z, so only they can be compared with each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Groups:
    """Which trajectories of a batch have equal conditions.

    Attributes:
        index: (B,) int64, number of the group of each trajectory.
        sizes: (G,) int64, trajectories in each group.
    """

    index: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, condition: Tensor) -> Self:
        """Group the rows of conditions (B, C); C = 0 makes one group."""
        if not condition.shape[1]:
            index = torch.zeros(len(condition), dtype=torch.int64, device=condition.device)
            return cls(index, torch.full_like(index[:1], len(index)))
        _, index, sizes = torch.unique(condition, dim=0, return_inverse=True, return_counts=True)
        return cls(index, sizes)

    @property
    def size(self) -> Tensor:
        """(B,) int64, trajectories in the group of each trajectory, itself included."""
        return self.sizes[self.index]

    @property
    def shared(self) -> Tensor:
        """(B,) bool, whether another trajectory has the same condition."""
        return self.size > 1

    def total(self, values: Tensor) -> Tensor:
        """Return (B,): the sum of values (B,) over the group of each trajectory, differentiably."""
        return values.new_zeros(len(self.sizes)).index_add(0, self.index, values)[self.index]

    def mean(self, values: Tensor) -> Tensor:
        """Return (B,): the mean of values (B,) over the group of each trajectory, differentiably."""
        return self.total(values) / self.size

    def softmax(self, logits: Tensor) -> Tensor:
        """Return (B,): exp(logits), normalised within each group."""
        top = logits.new_full((len(self.sizes),), -torch.inf).scatter_reduce(0, self.index, logits, "amax")
        raised = (logits - top[self.index]).exp()
        return raised / self.total(raised)

    def require_shared(self, kind: str) -> Tensor:
        """Return `shared`.

        Raises:
            ValueError: no two trajectories have the same condition.
        """
        shared = self.shared
        if not bool(shared.any()):
            raise ValueError(
                f"The objective {kind!r} compares trajectories of the same condition; got {len(self.index)} with "
                f"{len(self.sizes)} different conditions, expected at least two with the same one. Draw several "
                "trajectories per condition, or use trajectory_balance, which learns log Z of a condition."
            )
        return shared
