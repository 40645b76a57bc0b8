"""Detailed balance, and its form for spaces in which every state may stop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.gflownet.objectives.detailed_balance import DetailedBalance
from models.gflownet.objectives.modified_detailed_balance import ModifiedDetailedBalance


def test_the_loss_is_the_mean_over_transitions_with_the_reward_at_the_end(made):
    t = made.random(1, n=2, longest=2)
    t = replace(
        t,
        alive=torch.tensor([[True, True], [True, False]]),
        log_flow=torch.tensor([[3.0, 3.0], [1.0, 0.0]]),
        log_pf=torch.tensor([[-1.0, -2.0], [-0.5, 0.0]]),
        log_pb=torch.tensor([[-0.25, -1.0], [0.0, 0.0]]),
        log_reward=torch.tensor([2.0, 0.0]),
    )
    # 3 - 1 - 1 + .25 = 1.25; 1 - .5 - 2 = -1.5; 3 - 2 - 0 + 1 = 2
    assert DetailedBalance().loss(t).item() == pytest.approx((1.25**2 + 1.5**2 + 2**2) / 3)


def test_the_modified_form_is_the_detailed_one_with_the_flow_that_the_stop_implies(made):
    """Without the last transitions, which F(s) = R(s) / P_F(stop | s) balances by itself."""
    t = made.random(2, n=30)
    flow = torch.where(t.alive, t.log_state_reward - t.log_stop, 0.0)
    inside = torch.cat([t.alive[1:], torch.zeros_like(t.alive[:1])])
    some = inside.any(0)
    short = replace(
        made.rows(t, some),
        alive=inside[:, some],
        log_flow=(flow * inside)[:, some],
        log_reward=flow.gather(0, (t.alive.sum(0) - 1)[None])[0, some],
    )
    assert 0 < int(some.sum()) < len(t)
    assert ModifiedDetailedBalance().loss(t).item() == pytest.approx(DetailedBalance().loss(short).item(), rel=1e-12)


def test_trajectories_that_stop_at_once_have_nothing_to_balance(made):
    t = made.random(3, longest=1)
    loss = ModifiedDetailedBalance().loss(t)
    (gradient,) = torch.autograd.grad(loss, t.log_pf)
    assert loss.item() == 0.0
    assert (gradient == 0).all()


@pytest.mark.parametrize("name", ["log_stop", "log_state_reward"])
def test_the_modified_form_says_what_it_needs(made, name):
    assert name in ModifiedDetailedBalance.needs
    with pytest.raises(ValueError, match="needs `log_stop` and `log_state_reward`"):
        ModifiedDetailedBalance().loss(replace(made.random(), **{name: None}))
