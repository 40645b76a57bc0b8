"""Sub-trajectory balance: weightings against their definitions, and its two limits."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from models.gflownet.objectives.detailed_balance import DetailedBalance
from models.gflownet.objectives.sub_trajectory_balance import SubTrajectoryBalance, Weighting, piece_weights
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance


def pieces(t):
    """(trajectory, its length, length of the piece, d_ij) of all pieces, one by one, from the formula of the paper."""
    for b in range(len(t)):
        n = int(t.alive[:, b].sum())
        flow = [*t.log_flow[:n, b].tolist(), t.log_reward[b].item()]
        step = (t.log_pf - t.log_pb)[:n, b].tolist()
        for i in range(n):
            for j in range(i + 1, n + 1):
                yield b, n, j - i, flow[i] - flow[j] + sum(step[i:j])


def by_definition(t, weighting, decay):
    found = list(pieces(t))
    n = len(t)
    longest = max(k for _, _, k, _ in found)
    of_length = {k: sum(1 for piece in found if piece[2] == k) for k in range(1, longest + 1)}

    def within(weight):
        return [weight(*p) / sum(weight(*q) for q in found if q[0] == p[0]) / n for p in found]

    def overall(weight):
        return [weight(*p) / sum(weight(*q) for q in found) for p in found]

    weights = {
        "geometric": lambda: overall(lambda b, m, k, d: decay**k),
        "geometric_within": lambda: within(lambda b, m, k, d: decay**k),
        "geometric_by_length": lambda: overall(lambda b, m, k, d: decay**k / of_length[k]),
        "equal": lambda: overall(lambda b, m, k, d: 1.0),
        "equal_within": lambda: within(lambda b, m, k, d: 1.0),
        "detailed_balance": lambda: overall(lambda b, m, k, d: float(k == 1)),
        "detailed_balance_within": lambda: within(lambda b, m, k, d: float(k == 1)),
        "trajectory_balance": lambda: within(lambda b, m, k, d: float(k == m)),
    }[weighting]()
    return sum(weight * piece[3] ** 2 for weight, piece in zip(weights, found, strict=True))


@pytest.mark.parametrize("decay", [0.3, 1.0, 1.9])
@pytest.mark.parametrize("weighting", get_args(Weighting))
def test_every_weighting_is_what_its_definition_says(made, weighting, decay):
    for seed in range(5):
        t = made.random(seed)
        loss = SubTrajectoryBalance(weighting=weighting, decay=decay).loss(t)
        assert loss.item() == pytest.approx(by_definition(t, weighting, decay), rel=1e-10)


@pytest.mark.parametrize("decay", [1e-30, 0.5, 1.0, 1.9, 1e30])
@pytest.mark.parametrize("weighting", get_args(Weighting))
def test_weights_add_up_to_one_even_for_powers_that_overflow(weighting, decay):
    length = torch.tensor([1, 3, 40, 40, 17])
    weights = piece_weights(length, 45, weighting, decay)
    count = (length - torch.arange(1, 46)[:, None] + 1).clamp(min=0)
    assert (weights * count).sum().item() == pytest.approx(1.0)
    assert (weights >= 0).all()


def test_single_transitions_and_whole_trajectories_are_detailed_and_trajectory_balance(made):
    t = made.random(3, n=20)
    for weighting, other in (("detailed_balance", DetailedBalance()), ("trajectory_balance", TrajectoryBalance())):
        loss = SubTrajectoryBalance(weighting=weighting).loss(t).item()
        assert loss == pytest.approx(other.loss(t).item(), rel=1e-12)


def test_a_vanishing_decay_gives_detailed_balance(made):
    t = made.random(4, n=20)
    loss = SubTrajectoryBalance(decay=1e-12).loss(t).item()
    assert loss == pytest.approx(DetailedBalance().loss(t).item(), rel=1e-9)


def test_a_decay_without_bound_gives_trajectory_balance_of_each_or_of_the_longest(made):
    t = made.random(5, n=20)
    within = SubTrajectoryBalance(decay=1e12, weighting="geometric_within").loss(t).item()
    assert within == pytest.approx(TrajectoryBalance().loss(t).item(), rel=1e-9)
    longest = made.rows(t, t.alive.sum(0) == len(t.alive))
    paper = SubTrajectoryBalance(decay=1e12).loss(t).item()
    assert paper == pytest.approx(TrajectoryBalance().loss(longest).item(), rel=1e-9)


def test_large_batches_are_treated_length_by_length_with_the_same_result(made):
    """1,700,000 entries are more than fit in one operation; 10 copies of a tenth of them do not change a mean."""
    part = made.random(6, n=70, longest=50)
    whole = made.rows(part, torch.arange(70).repeat(10))
    objective = SubTrajectoryBalance(decay=0.95)
    few, many = objective.loss(part), objective.loss(whole)
    assert many.item() == pytest.approx(few.item(), rel=1e-10)
    (one,), (ten,) = (torch.autograd.grad(loss, part.log_flow) for loss in (few, many))
    torch.testing.assert_close(ten, one)


def test_the_gradient_is_that_of_the_loss(made):
    t = made.random(7, n=3, longest=3)
    for residual in ("squared", "huber", "shifted_cosh"):
        objective = SubTrajectoryBalance(decay=0.9, residual=residual)

        def loss(log_flow, objective=objective):
            return objective.loss(type(t)(**{**vars(t), "log_flow": log_flow * t.alive}))

        assert torch.autograd.gradcheck(loss, [t.log_flow.detach().requires_grad_()])
