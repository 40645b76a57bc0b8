"""Trajectory balance as a function of trajectories."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.gflownet.objectives.trajectory_balance import TrajectoryBalance
from models.gflownet.training.trajectories import Trajectories
from models.registry import build


def trajectories(log_z, pf, pb, log_reward):
    log_flow = torch.zeros_like(pf)
    log_flow[0] = log_z
    condition, unknown = log_reward.new_zeros((len(log_reward), 0)), torch.full_like(log_reward, torch.nan)
    return Trajectories(pf, pb, log_flow, pf != 0, log_reward, condition, unknown)


def test_the_loss_is_the_mean_squared_imbalance():
    pf, pb = torch.tensor([[-1.0, -2.0], [-0.5, 0.0]]), torch.tensor([[0.0, -1.0], [-0.25, 0.0]])
    seen = trajectories(3.0, pf, pb, torch.tensor([1.0, 2.0]))
    # 3 - 1.5 + 0.25 - 1 = 0.75 and 3 - 2 + 1 - 2 = 0
    assert TrajectoryBalance().loss(seen).item() == pytest.approx(0.75**2 / 2)


@settings(deadline=None, max_examples=20)
@given(shift=st.floats(-50, 50), seed=st.integers(0, 1000))
def test_a_constant_factor_of_the_reward_moves_only_log_z(shift, seed):
    generator = torch.Generator().manual_seed(seed)
    pf, pb = (-torch.rand((4, 6), generator=generator, dtype=torch.float64) for _ in range(2))
    reward = torch.randn(6, generator=generator, dtype=torch.float64)
    loss = TrajectoryBalance().loss
    before, after = loss(trajectories(1.0, pf, pb, reward)), loss(trajectories(1.0 + shift, pf, pb, reward + shift))
    assert after.item() == pytest.approx(before.item(), abs=1e-8)


def test_it_is_found_by_name_and_names_its_paper():
    objective = build("objective", {"kind": "trajectory_balance"})
    assert isinstance(objective, TrajectoryBalance)
    assert "2201.13259" in objective.reference
