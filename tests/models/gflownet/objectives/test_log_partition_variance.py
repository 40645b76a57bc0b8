"""Log-partition variance."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.gflownet.objectives.log_partition_variance import LogPartitionVariance
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance


def c_of(t):
    return (t.log_pf - t.log_pb).sum(0) - t.log_reward


def test_it_is_the_variance_of_the_log_partition_estimates(made):
    t = made.random(1)
    assert LogPartitionVariance().loss(t).item() == pytest.approx(c_of(t).var(correction=0).item())


def test_it_is_trajectory_balance_with_the_log_z_that_suits_the_batch_best(made):
    t = made.random(2)
    best = t.log_flow.detach().clone()
    best[0] = -c_of(t).mean().detach()
    balance = replace(t, log_flow=best)
    assert LogPartitionVariance().loss(t).item() == pytest.approx(TrajectoryBalance().loss(balance).item())
    gradients = [
        torch.autograd.grad(objective().loss(balance), t.log_pf)[0]
        for objective in (LogPartitionVariance, TrajectoryBalance)
    ]
    torch.testing.assert_close(*(torch.where(t.alive, gradient, 0.0) for gradient in gradients))


def test_each_condition_has_a_mean_of_its_own(made):
    condition = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 1.0], [2.0, 0.0], [2.0, 0.0], [5.0, 5.0]])
    t = made.random(3, conditions=condition)
    parts = [made.rows(t, torch.tensor(rows)) for rows in ([0, 2], [1, 3, 4])]
    expected = sum(c_of(part).var(correction=0).item() * len(part) for part in parts) / 5
    assert LogPartitionVariance().loss(t).item() == pytest.approx(expected)


def test_a_factor_of_the_reward_that_depends_on_the_condition_changes_nothing(made):
    condition = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])[:, None]
    t = made.random(4, conditions=condition)
    moved = replace(t, log_reward=t.log_reward + 7.0 * condition[:, 0])
    assert LogPartitionVariance().loss(moved).item() == pytest.approx(LogPartitionVariance().loss(t).item())


def test_a_batch_without_two_trajectories_of_one_condition_is_refused(made):
    t = made.random(5, conditions=torch.arange(6.0)[:, None])
    with pytest.raises(ValueError, match="6 different conditions"):
        LogPartitionVariance().loss(t)
