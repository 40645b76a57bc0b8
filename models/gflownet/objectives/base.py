"""What an objective promises, and what it may ask for."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from models.gflownet.environments.base import Environment
from models.gflownet.training.trajectories import Trajectories
from models.registry import Component


class Objective(Component):
    """A training loss that is least exactly where the policy samples in proportion to the reward."""

    group: ClassVar[str] = "objective"
    needs: ClassVar[frozenset[str]] = frozenset()
    """Fields of `Trajectories` that are made on demand: "log_stop", "log_state_reward", "log_inflow", "log_prior" and
    "log_guide"."""
    forward_looking: ClassVar[bool] = False
    """Whether the network's flow is taken as log F(s) minus a log-reward of the unfinished state."""
    learns_potentials: ClassVar[bool] = False
    """Whether a network learns to split log-rewards over transitions; the options then say how."""
    on_policy: ClassVar[bool] = False
    """Whether the law that trajectories were drawn from must be known: refuses replay and local search."""
    zero_at_optimum: ClassVar[bool] = True
    """Whether the loss of every trajectory is zero at the optimum; if not, only its expected gradient is."""
    learns_flow: ClassVar[bool] = True
    """Whether the loss depends on the flows of states other than the source."""

    @property
    def relative(self) -> bool:
        """Whether the target is the law of a prior policy times the reward, and not the reward alone."""
        return "log_prior" in self.needs

    def refusal(self, env: Environment[Any]) -> str | None:
        """Return why the objective is not sound on an environment, in a sentence; None if it is."""
        if "log_stop" in self.needs and not env.every_state_stops:
            return (
                f"The objective {self.kind!r} needs an environment in which every state may stop; {env.kind!r} is not "
                "one. Use trajectory_balance, detailed_balance or sub_trajectory_balance."
            )
        if "log_inflow" in self.needs and env.continuous:
            return (
                f"The objective {self.kind!r} sums over all parents of a state, and {env.kind!r} has real variables "
                "here. Use detailed_balance, which on a tree says the same, or trajectory_balance."
            )
        if "log_guide" in self.needs and env.continuous:
            return (
                f"The objective {self.kind!r} is guided by parts that objects share, and {env.kind!r} has real "
                "variables here, of which no two objects share a value. Use trajectory_balance."
            )
        rules = getattr(env, "base", env)  # those of a table are its environment's
        if "log_guide" in self.needs and type(rules).log_correction is not Environment.log_correction:
            return (
                f"The objective {self.kind!r} needs an environment in which every object is one state; in {env.kind!r} "
                "several may be the same object. Use trajectory_balance."
            )
        return None

    @abstractmethod
    def loss(self, trajectories: Trajectories) -> Tensor:
        """Return the scalar loss, differentiable in `log_pf`, `log_pb` and `log_flow`."""
