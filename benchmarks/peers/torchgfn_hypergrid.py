"""The HyperGrid task with torchgfn, as its tutorial for trajectory balance does it, without what only reports.

Kept from the tutorial: one network pass while sampling, whose log-probabilities serve the loss; a trunk shared by the
forward and the backward policy. Left out, because no other worker has it either: progress bar, store of visited
states, validation by sampling, checks for finite numbers. Checks of the library are off (`debug=False`).
"""

from __future__ import annotations

from importlib.metadata import version

import numpy.typing as npt
import torch
from common import HIDDEN, LAYERS, LEARNING_RATE, LOG_Z_LEARNING_RATE, R0, R1, R2, IntArray, Task, measure, report
from gfn.estimators import DiscretePolicyEstimator
from gfn.gflownet import TBGFlowNet
from gfn.gym import HyperGrid
from gfn.preprocessors import KHotPreprocessor
from gfn.samplers import Sampler
from gfn.utils.modules import MLP

WARM_UP = 3


class Torchgfn:
    """A training with torchgfn."""

    def __init__(self, task: Task) -> None:
        torch.manual_seed(task.seed)
        self.batch = task.batch
        self.env = HyperGrid(
            task.dims,
            task.height,
            reward_fn_str="original",
            reward_fn_kwargs={"R0": R0, "R1": R1, "R2": R2},
            debug=False,
        )
        preprocessor = KHotPreprocessor(height=task.height, ndim=task.dims)
        actions, inputs = self.env.n_actions, preprocessor.output_dim
        forward = MLP(inputs, actions, hidden_dim=HIDDEN, n_hidden_layers=LAYERS)
        backward = MLP(inputs, actions - 1, trunk=forward.trunk)
        self.forward = DiscretePolicyEstimator(forward, actions, preprocessor=preprocessor)
        self.backward = DiscretePolicyEstimator(backward, actions, preprocessor=preprocessor, is_backward=True)
        self.gflownet = TBGFlowNet(pf=self.forward, pb=self.backward, init_logZ=0.0, debug=False)
        self.sampler = Sampler(estimator=self.forward)
        self.optimizer = torch.optim.Adam(self.gflownet.pf_pb_parameters(), lr=LEARNING_RATE)
        self.optimizer.add_param_group({"params": self.gflownet.logz_parameters(), "lr": LOG_Z_LEARNING_RATE})
        self.lengths: list[torch.Tensor] = []

    def run(self, iterations: int) -> None:
        """Take gradient steps."""
        for _ in range(iterations):
            trajectories = self.sampler.sample_trajectories(
                self.env, n=self.batch, save_logprobs=True, save_estimator_outputs=False
            )
            self.optimizer.zero_grad()
            self.gflownet.loss(self.env, trajectories, recalculate_all_logprobs=False).backward()
            self.optimizer.step()
            self.lengths.append(trajectories.terminating_idx)

    def transitions(self) -> int:
        """Return the transitions sampled so far."""
        return int(torch.cat(self.lengths).sum())

    def parameters(self) -> int:
        """Return the size of the network."""
        return sum(value.numel() for value in self.gflownet.pf_pb_parameters())

    @torch.no_grad()
    def logits(self, states: IntArray) -> npt.NDArray:
        """Return the forward logits of states."""
        return self.forward(self.env.States(torch.as_tensor(states))).numpy()


def main() -> None:
    """Warm up on a training that is thrown away, then measure."""
    torch.set_num_threads(1)
    task = Task.parse()
    Torchgfn(task).run(WARM_UP)
    figures = measure(Torchgfn(task), task)
    report(figures, {name: version(name) for name in ("torchgfn", "torch", "numpy")})


if __name__ == "__main__":
    main()
