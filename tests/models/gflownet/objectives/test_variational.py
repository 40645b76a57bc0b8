"""Weights, baselines and conditions of the divergences; their expected gradients are in test_theorem.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.gflownet.objectives.forward_kl import ForwardKL
from models.gflownet.objectives.reverse_kl import ReverseKL
from models.gflownet.objectives.reweighted_wake_sleep import ReweightedWakeSleep
from models.gflownet.objectives.variational import advantage

TWO = torch.tensor([[0.0], [1.0], [0.0], [1.0], [1.0], [0.0]])


def score(t):
    return ((t.log_pf - t.log_pb).sum(0) - t.log_reward).detach()


def test_reverse_divergence_on_policy_is_the_score_function_and_the_likelihood_of_the_backward_policy(made):
    t = made.random(1)
    t = replace(t, log_behaviour=t.log_pf.detach().sum(0))
    expected = (t.log_pf.sum(0) * score(t) - t.log_pb.sum(0)).mean()
    assert ReverseKL(baseline="none").loss(t).item() == pytest.approx(expected.item())


def test_off_policy_each_trajectory_weighs_by_its_likelihood_ratio(made):
    t = made.random(2)
    ratio = (t.log_pf.sum(0) - t.log_behaviour).exp().detach()
    expected = (ratio * (t.log_pf.sum(0) * score(t) - t.log_pb.sum(0))).mean()
    assert ReverseKL(baseline="none").loss(t).item() == pytest.approx(expected.item())


def test_target_weights_add_up_to_one_and_to_the_share_of_each_condition(made):
    objective = ForwardKL()
    assert objective.target_weights(made.random(3)).sum().item() == pytest.approx(1.0)
    weights = objective.target_weights(made.random(3, n=6, conditions=TWO))
    assert [weights[TWO[:, 0] == c].sum().item() for c in (0, 1)] == pytest.approx([0.5, 0.5])
    alone = torch.tensor([[0.0], [1.0], [0.0], [0.0], [2.0], [0.0]])
    weights = objective.target_weights(made.random(3, n=6, conditions=alone))
    assert weights[[1, 4]].tolist() == [0.0, 0.0]
    assert weights.sum().item() == pytest.approx(1.0)


def test_target_weights_are_the_target_over_the_law_that_trajectories_were_drawn_from(made):
    t = made.random(3)
    raw = (t.log_reward + t.log_pb.sum(0) - t.log_behaviour).exp().detach()
    torch.testing.assert_close(ForwardKL().target_weights(t), raw / raw.sum())


def test_target_weights_do_not_overflow_where_rewards_are_far_apart(made):
    t = made.random(4, dtype=torch.float32)
    t = replace(t, log_reward=torch.tensor([900.0, -900.0, 0.0, 899.0, 1.0, 2.0]))
    weights = ForwardKL().target_weights(t)
    assert weights.isfinite().all()
    assert weights.sum().item() == pytest.approx(1.0)


def test_conditions_without_company_leave_nothing_to_normalise(made):
    t = made.random(5, conditions=torch.arange(6.0)[:, None])
    for objective in (ForwardKL(), ReweightedWakeSleep()):
        with pytest.raises(ValueError, match=f"'{objective.kind}'.*6 different conditions"):
            objective.loss(t)


def test_a_local_baseline_is_the_mean_of_the_others_of_the_same_condition(made):
    t, s = made.random(6, conditions=TWO), score(made.random(6, conditions=TWO))
    expected = [s[i] - torch.stack([s[j] for j in range(6) if j != i and TWO[j] == TWO[i]]).mean() for i in range(6)]
    torch.testing.assert_close(advantage(t, "local"), torch.stack(expected))


def test_a_trajectory_alone_with_its_condition_takes_the_mean_of_all_others(made):
    t = made.random(7, conditions=torch.tensor([[0.0], [1.0], [0.0], [0.0], [0.0], [0.0]]))
    s = score(t)
    assert advantage(t, "local")[1].item() == pytest.approx((s[1] - s[[0, 2, 3, 4, 5]].mean()).item())


def test_the_other_baselines_are_nothing_and_minus_log_z(made):
    t = made.random(8)
    torch.testing.assert_close(advantage(t, "none"), score(t))
    torch.testing.assert_close(advantage(t, "global"), score(t) + t.log_flow[0].detach())


def test_a_local_baseline_of_one_trajectory_is_refused(made):
    with pytest.raises(ValueError, match="batch of one"):
        ReverseKL(baseline="local").loss(made.random(9, n=1))
