"""Learned energy decomposition: potentials that split log R over the transitions stand in for partial rewards."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from models.gflownet.objectives.base import Objective
from models.gflownet.objectives.detailed_balance import DetailedBalance
from models.gflownet.objectives.residuals import BalanceOptions
from models.gflownet.objectives.sub_trajectory_balance import SubTrajectoryBalance
from models.gflownet.training.trajectories import Trajectories


class LearnedEnergyDecomposition(Objective):
    """Detailed or sub-trajectory balance with log F = what the network says + the potentials on the way so far.

    A network of its own learns potentials phi(s -> s') whose sum over a trajectory is log R(x); how, and what stands in
    the flows, is told by `models.gflownet.training.decomposition`. `log_flow` is the whole log F, as in
    forward-looking objectives, and a terminal state has F(x) = R(x).

    * states: phi(s -> s') = psi(s') - psi(s). The flows so far depend on the state alone, so the optimum is the law
      of the reward for every psi, as for a forward-looking objective with the partial reward psi.
    * edges, the paper's: phi of pairs of states, and what a sum lacks of log R(x) is spread evenly over its
      trajectory. What is spread depends on the trajectory, so the optimum is the law of the reward only where the sums
      fit; until then the loss has a floor and the law a bias.
    """

    kind: ClassVar[str] = "learned_energy_decomposition"
    cites: ClassVar[tuple[str, ...]] = ("jang2024led", "pan2023forwardlooking", "madan2023subtb")
    learns_potentials: ClassVar[bool] = True

    class Options(BalanceOptions):
        """Options of the learned energy decomposition."""

        potentials: Literal["states", "edges"] = Field("states", description="What has one; edges is the paper's.")
        balance: Literal["detailed", "sub_trajectory"] = Field("detailed", description="The loss of the flows.")
        decay: float = Field(0.9, gt=0, description="Lambda of sub_trajectory.")
        dropout: float = Field(
            0.1, ge=0, lt=1, description="Share of a trajectory's potentials that a fit leaves out, at random."
        )
        fits: int = Field(3, ge=1, description="Steps of the potentials on each batch.")
        potential_rate: float = Field(1e-3, gt=0, description="Learning rate of the potentials.")

    def __init__(self, options: LearnedEnergyDecomposition.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        residual = self.options.residual
        self._balance: Objective = DetailedBalance(residual=residual)
        if self.options.balance == "sub_trajectory":
            self._balance = SubTrajectoryBalance(residual=residual, decay=self.options.decay)

    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar loss of the balance."""
        return self._balance.loss(trajectories)
