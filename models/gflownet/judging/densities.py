"""Figures of a policy over objects with densities, which are exact where one trajectory leads to each object.

Where many do, they are estimates: an object's density is the mean of P_F / P_B over trajectories drawn back from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from models.gflownet.judging.metrics import log_probability
from models.gflownet.rewards.base import EnvironmentReward, Judged
from models.gflownet.training.trainer import Trainer
from models.gflownet.training.trajectories import Paths

CELLS = 5184
"""Most cells of the grid on which two laws are compared: 72 x 72 for two reals or angles."""
DRAWS = 16
"""Trajectories back from each cell where many lead to it; their noise adds to the total variation, never takes off."""


class DensityFigures:
    """What samples and a grid tell of a law with densities.

    * `log_z_sampled`: log of the mean of R P_B / P_F over fresh trajectories, whose expectation is Z exactly; where one
      trajectory leads to each object this is R / q;
    * `effective_share`: (sum w)^2 / (n sum w^2) of these weights, 1 where the policy is the target;
    * `log_z_error`: of the log Z that was learnt, where log Z is known;
    * `grid_tv`: total variation of q and R / Z by the midpoint rule, where `CELLS` are at least 16 midpoints of each
      real or angle for each combination of levels, and there are no fractions.

    Args:
        trainer: what is judged; its environment is continuous.
        reward: of terminal states; asked for the cells of the grid once.
    """

    def __init__(self, trainer: Trainer[Any], reward: Callable[[Any], Judged]) -> None:
        self.trainer, self.reward = trainer, reward
        self.known = trainer.env.log_partition if isinstance(reward, EnvironmentReward) else None
        self._grid = trainer.env.grid(CELLS)
        self._values: Tensor | None = None

    def of_samples(self, paths: Paths[Any], log_reward: Tensor) -> dict[str, float]:
        """Return the figures of trajectories that were drawn from the policy, with their log-rewards (n,)."""
        weights = log_reward.double() - paths.log_behaviour + self._log_backward(paths)
        total = weights.logsumexp(0)
        share = (2.0 * total - (2.0 * weights).logsumexp(0)).exp() / len(weights)
        return {"log_z_sampled": float(total) - math.log(len(weights)), "effective_share": float(share)}

    @torch.no_grad()
    def _log_backward(self, paths: Paths[Any]) -> Tensor | float:
        """Return (n,) log P_B of trajectories; nothing where there is one way back."""
        if not self.trainer.env.continuous_backward:
            return 0.0
        log_pb = self.trainer.walk.chosen(paths.after, paths.backward, paths.conditions)
        return log_pb.new_zeros(len(paths)).index_add(0, paths.row, log_pb)

    def of_grid(
        self, log_reward: Callable[[Tensor], Tensor], condition: Tensor | None, generator: torch.Generator
    ) -> dict[str, float]:
        """Return the figures of the grid.

        Args:
            log_reward: what the reward says (n,) -> log-rewards (n,) under the condition.
            condition: (1, C) encoded, or None.
            generator: source of the backward walks.
        """
        if self._grid is None:
            return {}
        if self._values is None:
            self._values = self.reward(self._grid)[0].double()
        trainer, n = self.trainer, len(self._grid)
        given = None if condition is None else condition.expand(n, -1)
        draws = DRAWS if trainer.env.continuous_backward else 1
        log_q = log_probability(
            trainer.env, trainer.policy, trainer.walk, self._grid, generator, draws=draws, condition=given
        )
        law, target = torch.from_numpy(log_q).softmax(0), log_reward(self._values).softmax(0)
        return {"grid_tv": 0.5 * float((law - target).abs().sum())}

    def of_log_z(self, log_z: float | None) -> dict[str, float]:
        """Return the error of a log Z that was learnt for the reward as it is."""
        return {} if log_z is None or self.known is None else {"log_z_error": abs(log_z - self.known)}
