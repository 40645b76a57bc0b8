"""Networks of the condition: log Z, and the scale of the logits."""

from __future__ import annotations

import pytest
import torch

from models.gflownet.conditioning.inverse_temperature import InverseTemperature
from models.gflownet.conditioning.logit_scale import LogitScale, LogitScaledPolicy
from models.gflownet.conditioning.partition import LogPartition
from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.policies.mlp import MLP
from models.gflownet.training.trajectories import sample_forward

ENV = HyperGrid(dimensions=2, height=4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def fit(module, inputs, targets, steps=400):
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(steps):
        loss = (inputs() - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def test_without_a_condition_log_z_is_one_number():
    partition = LogPartition(0)
    partition.initialise(3.5)
    assert partition(None, 3).tolist() == [3.5] * 3
    assert len(list(partition.parameters())) == 1


def test_with_a_condition_log_z_starts_equal_and_learns_to_differ():
    conditioning = InverseTemperature(low=1.0, high=4.0, bins=8)
    partition = LogPartition(8, seeded())
    partition.initialise(torch.tensor(2.0))
    beta = torch.linspace(1.0, 4.0, 20)[:, None]
    condition = conditioning.encode(beta)
    assert partition(condition, 20).tolist() == pytest.approx([2.0] * 20)
    assert fit(partition, lambda: partition(condition, 20), 5.0 * beta[:, 0].sin()) < 0.05


def test_log_z_is_restored_from_its_state():
    one, two = LogPartition(4, seeded(1)), LogPartition(4, seeded(2))
    fit(one, lambda: one(torch.eye(4), 4), torch.arange(4.0), steps=5)
    two.load_state_dict(one.state_dict())
    assert torch.equal(one(torch.eye(4), 4), two(torch.eye(4), 4))


def test_the_scale_of_logits_starts_at_one_and_stays_positive():
    scale = LogitScale(8, seeded())
    condition = torch.rand(30, 8, generator=seeded(1))
    assert scale(condition).flatten().tolist() == pytest.approx([1.0] * 30)
    fit(scale, lambda: scale(condition), torch.full((30, 1), -1.0), steps=200)
    assert bool((scale(condition) > 0).all())


def test_scaled_logits_are_the_logits_times_the_scale():
    base = MLP(ENV, hidden=(8, 8), generator=seeded())
    policy = LogitScaledPolicy(base, LogitScale(4, seeded(1)))
    fit(policy, lambda: policy.scale(torch.eye(4)), torch.tensor([[0.5], [1.0], [2.0], [3.0]]))
    states = ENV.source(4)
    condition = torch.eye(4)
    out, plain = policy.network(states, condition), base.network(states)
    assert torch.allclose(out.forward, plain.forward * policy.scale(condition))
    assert torch.equal(out.backward, plain.backward)
    entropy = [-float((row.softmax(0) * row.log_softmax(0)).sum()) for row in 50 * out.forward.detach()]
    assert entropy == sorted(entropy, reverse=True)


def test_a_scaled_policy_samples_and_scores_under_conditions():
    policy = LogitScaledPolicy(MLP(ENV, hidden=(8, 8), generator=seeded()), LogitScale(4, seeded(1)))
    condition = torch.eye(4).repeat(5, 1)
    paths = sample_forward(ENV, policy, 20, seeded(), condition=condition)
    answer = policy.score(paths.before, paths.forward, None, paths.conditions)
    total = torch.zeros(20).index_add(0, paths.row, answer.log_pf.detach())
    assert total.tolist() == pytest.approx(paths.log_behaviour.tolist(), abs=1e-4)


def test_a_scaled_policy_without_a_condition_is_refused():
    policy = LogitScaledPolicy(MLP(ENV, hidden=(8, 8), generator=seeded()), LogitScale(4, seeded(1)))
    with pytest.raises(ValueError, match="needs a condition for every state"):
        policy.network(ENV.source(1))
