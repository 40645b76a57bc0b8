"""The averaged sampling policy."""

from __future__ import annotations

import io

import pytest
import torch

from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.exploration.averaging import AveragedPolicy
from models.gflownet.policies.mlp import MLP
from models.gflownet.training.trajectories import sample_forward

ENV = HyperGrid(dimensions=2, height=4)


def policy_of(seed=0):
    return MLP(ENV, hidden=(8, 8), generator=torch.Generator().manual_seed(seed))


def change(policy, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in policy.parameters():
            value.add_(torch.randn(value.shape, generator=generator))


def weights(policy):
    return torch.cat([value.detach().flatten() for value in policy.parameters()])


def test_the_average_moves_by_one_minus_its_decay():
    policy = policy_of()
    average = AveragedPolicy(policy, 0.9)
    start = weights(policy).clone()
    change(policy, 1)
    one = weights(policy).clone()
    average.update(policy)
    assert torch.allclose(weights(average.policy), 0.9 * start + 0.1 * one, atol=1e-6)
    change(policy, 2)
    average.update(policy)
    assert torch.allclose(weights(average.policy), 0.81 * start + 0.09 * one + 0.1 * weights(policy), atol=1e-6)


def test_a_decay_of_zero_follows_the_policy_exactly():
    policy = policy_of()
    average = AveragedPolicy(policy, 0.0)
    change(policy, 1)
    average.update(policy)
    assert torch.equal(weights(average.policy), weights(policy))


def test_buffers_are_copied():
    policy = torch.nn.BatchNorm1d(3)
    average = AveragedPolicy(policy, 0.5)
    policy(torch.arange(6.0).reshape(2, 3))
    average.update(policy)
    assert torch.equal(average.policy.running_mean, policy.running_mean)
    assert int(average.policy.num_batches_tracked) == 1


def test_the_average_is_a_policy_of_its_own_in_the_same_environment():
    policy = policy_of()
    average = AveragedPolicy(policy, 0.9)
    assert average.policy.env is policy.env
    assert not any(value.requires_grad for value in average.policy.parameters())
    assert all(value.requires_grad for value in policy.parameters())
    paths = sample_forward(ENV, average.policy, 5, torch.Generator().manual_seed(0))
    same = sample_forward(ENV, policy, 5, torch.Generator().manual_seed(0))
    assert torch.equal(paths.forward, same.forward)
    change(policy, 1)
    assert not torch.equal(weights(average.policy), weights(policy))


def test_a_restored_average_goes_on_bit_for_bit():
    policy = policy_of()
    first, second = AveragedPolicy(policy, 0.95), AveragedPolicy(policy_of(5), 0.95)
    change(policy, 1)
    first.update(policy)
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second.load_state(torch.load(file, weights_only=True))
    for seed in (2, 3):
        change(policy, seed)
        first.update(policy)
        second.update(policy)
        assert torch.equal(weights(first.policy), weights(second.policy))


def test_a_saved_state_does_not_change_with_the_average():
    policy = policy_of()
    average = AveragedPolicy(policy, 0.5)
    state = average.state()
    before = {name: value.clone() for name, value in state.items()}
    change(policy, 1)
    average.update(policy)
    assert all(torch.equal(state[name], value) for name, value in before.items())


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        AveragedPolicy(policy_of(), decay)
