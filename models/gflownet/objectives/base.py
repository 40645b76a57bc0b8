"""What an objective promises."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from models.gflownet.trajectories import Trajectories
from models.registry import Component


class Objective(Component):
    """A training loss that is zero exactly where the policy samples in proportion to the reward."""

    group: ClassVar[str] = "objective"

    @abstractmethod
    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar loss, differentiable in `log_pf`, `log_pb` and `log_flow`."""
