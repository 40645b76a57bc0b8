"""One policy trained for all conditions has the target law of each of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.gflownet.conditioning.logit_scale import LogitScale, LogitScaledPolicy
from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.judging.exact import enumerate_graph, forward_log_probs, terminal_law
from models.gflownet.judging.metrics import exact_metrics
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.mlp import MLP
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.registry import build

ENV = HyperGrid(dimensions=2, height=6)
OPTIONS = TrainerOptions(steps=600, batch_size=64, learning_rate=3e-3, replay_share=0.25)


def second_objective(states):
    """Higher towards the corner (5, 5)."""
    return 0.4 * states.place[:, :2].sum(1).double() - 2.0


def trained(policy, conditioning, reward, generator):
    trainer = Trainer(
        ENV,
        policy,
        lambda terminal: (reward(terminal), ENV.decode(terminal)),
        objective=TrajectoryBalance(),
        backward=UniformBackward(),
        options=OPTIONS,
        generator=generator,
        conditioning=conditioning,
    )
    trainer.train()
    return trainer


@torch.no_grad()
def judged(trainer, raw, reward):
    graph = enumerate_graph(ENV)
    terminal = graph.states[graph.terminal]
    encoded = trainer.conditioning.encode(raw)
    law = terminal_law(graph, forward_log_probs(graph, trainer.policy, encoded.expand(len(graph.origin), -1)))
    target = trainer.conditioning.log_reward(reward(terminal), raw.expand(len(terminal), -1)).numpy()
    return exact_metrics(law, target, graph.objects, float(trainer.partition(encoded, 1)))


@pytest.mark.slow
@pytest.mark.parametrize(("scaled", "bound"), [(False, 0.06), (True, 0.25)], ids=["given", "scaled"])
def test_one_policy_has_the_law_of_every_inverse_temperature(scaled, bound):
    generator = torch.Generator().manual_seed(0)
    conditioning = build("conditioning", {"kind": "inverse_temperature", "low": 0.5, "high": 2.0, "bins": 16})
    policy = MLP(ENV, generator=generator, hidden=(128, 128), conditions=0 if scaled else conditioning.width)
    if scaled:
        policy = LogitScaledPolicy(policy, LogitScale(conditioning.width, generator))
    trainer = trained(policy, conditioning, ENV.log_reward, generator)
    found = [judged(trainer, torch.tensor([[beta]]), ENV.log_reward) for beta in (0.5, 1.0, 2.0)]
    assert max(one["tv"] for one in found) < bound
    assert max(one["log_z_error"] for one in found) < bound
    rewards = [one["expected_reward"] ** (1 / beta) for one, beta in zip(found, (0.5, 1.0, 2.0), strict=True)]
    assert rewards == sorted(rewards)


@pytest.mark.slow
def test_one_policy_has_the_law_of_every_preference():
    generator = torch.Generator().manual_seed(0)
    conditioning = build("conditioning", {"kind": "preference", "concentration": 1.0})

    def reward(terminal):
        return torch.stack([ENV.log_reward(terminal), second_objective(terminal)], 1)

    policy = MLP(ENV, generator=generator, hidden=(128, 128), conditions=conditioning.width)
    trainer = trained(policy, conditioning, reward, generator)
    found = [judged(trainer, torch.tensor([[w, 1 - w]]), reward) for w in np.linspace(0, 1, 16)]
    assert np.mean([one["tv"] for one in found]) < 0.06
    assert np.mean([one["log_z_error"] for one in found]) < 0.06
