"""The HyperGrid task with our trainer, set as the task says: constant rates, no exploration, no replay, no clipping.

The grid is tabulated before the clock starts; that is part of the set-up. What stays our own: initial weights, log Z
started at the batch's estimate, a head for state flows that trajectory balance does not use, one output for the stop.
"""

from __future__ import annotations

from importlib.metadata import version

import numpy.typing as npt
import torch
from common import HIDDEN, LAYERS, LEARNING_RATE, LOG_Z_LEARNING_RATE, R0, R1, R2, IntArray, Task, measure, report

from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.environments.tabulated import IndexStates, Tabulated
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance
from models.gflownet.policies.backward import TiedBackward
from models.gflownet.policies.mlp import MLP
from models.gflownet.rewards.base import EnvironmentReward, RememberedReward
from models.gflownet.training.trainer import Trainer, TrainerOptions

WARM_UP = 3
NO_CLIPPING = 1e9


class Ours:
    """A training with our trainer."""

    def __init__(self, task: Task, env: Tabulated) -> None:
        self.task, self.env = task, env
        generator = torch.Generator().manual_seed(task.seed)
        self.policy = MLP(env, generator=generator, hidden=(HIDDEN,) * LAYERS)
        self.trainer = Trainer(
            env,
            self.policy,
            RememberedReward(env, EnvironmentReward(env)),
            objective=TrajectoryBalance(),
            backward=TiedBackward(),
            options=TrainerOptions(
                steps=task.iterations,
                batch_size=task.batch,
                learning_rate=LEARNING_RATE,
                log_z_learning_rate=LOG_Z_LEARNING_RATE,
                final_rate=1.0,
                clip_norm=NO_CLIPPING,
                epsilon=0.0,
                replay_share=0.0,
            ),
            generator=generator,
        )

    def run(self, iterations: int) -> None:
        """Take gradient steps."""
        for _ in range(iterations):
            self.trainer.step()

    def transitions(self) -> int:
        """Return the transitions sampled so far."""
        return round(sum(step["length"] for step in self.trainer.history) * self.task.batch)

    def parameters(self) -> int:
        """Return the size of the network."""
        return sum(value.numel() for value in self.policy.parameters())

    @torch.no_grad()
    def logits(self, states: IntArray) -> npt.NDArray:
        """Return the forward logits of states, found in the table by their number in the base of the height."""
        stride = self.task.height ** torch.arange(self.task.dims - 1, -1, -1)
        known = self.env.graph.states
        going = (~known.done).nonzero()[:, 0]
        row = torch.empty(len(going), dtype=torch.int64)
        row[(known.place[going, : self.task.dims] * stride).sum(1)] = going
        index = row[(torch.as_tensor(states) * stride).sum(1)]
        return self.policy.network(IndexStates(torch.zeros_like(index, dtype=torch.bool), index)).forward.numpy()


def main() -> None:
    """Tabulate, warm up on a training that is thrown away, then measure."""
    torch.set_num_threads(1)
    task = Task.parse()
    env = Tabulated(HyperGrid(dimensions=task.dims, height=task.height, reward="original", r0=R0, r1=R1, r2=R2))
    Ours(task, env).run(WARM_UP)
    figures = measure(Ours(task, env), task)
    report(figures, {name: version(name) for name in ("discovery-flows", "torch", "numpy")})


if __name__ == "__main__":
    main()
