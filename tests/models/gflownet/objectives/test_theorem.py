"""Trajectory balance and the divergences have the same expected gradients (Malkin et al., ICLR 2023), exactly.

All trajectories of a small space are enumerated, so an expectation is a sum; the divergences themselves are
differentiated as they stand, and the objectives only through their own `loss`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch

from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.judging.exact import enumerate_graph
from models.gflownet.judging.tabular import Table, backward_policy, every_trajectory, forward_policy
from models.gflownet.objectives.forward_kl import ForwardKL
from models.gflownet.objectives.log_partition_variance import LogPartitionVariance
from models.gflownet.objectives.reverse_kl import ReverseKL
from models.gflownet.objectives.reverse_wake_sleep import ReverseWakeSleep
from models.gflownet.objectives.reweighted_wake_sleep import ReweightedWakeSleep
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance
from models.gflownet.policies.backward import LearnedBackward

BASELINES = ["none", "local", "global"]


class Space:
    """A 3 x 3 grid, 19 trajectories of 1 to 5 transitions, with random policies and reward; nothing is in balance."""

    def __init__(self, log_z=0.7):
        env = HyperGrid(dimensions=2, height=3)
        graph = enumerate_graph(env)
        generator = torch.Generator().manual_seed(0)

        def noise(*shape):
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        self.theta = noise(len(graph.origin)).requires_grad_()
        self.phi = noise(len(graph.states), env.n_backward).requires_grad_()
        flow = noise(len(graph.states))
        flow[0] = log_z
        self.flow, self.log_reward = flow.requires_grad_(), noise(len(graph.terminal))
        self.log_z = self.log_reward.logsumexp(0)
        log_pb = backward_policy(env, graph, LearnedBackward().log_prob(env, graph.states, self.phi))
        self.table = Table(graph, forward_policy(graph, self.theta), log_pb, self.flow, self.log_reward)
        self.edges = every_trajectory(graph)
        self.n = self.edges.shape[1]
        t = self.table.trajectories(self.edges)
        self.log_pf = t.log_pf.sum(0)
        self.log_target = t.log_pb.sum(0) + t.log_reward - self.log_z
        self.reverse = (self.log_pf.exp() * (self.log_pf - self.log_target)).sum()
        self.forward = (self.log_target.exp() * (self.log_target - self.log_pf)).sum()

    def gradients(self, value):
        """Gradients in the logits of P_F and of P_B."""
        return torch.autograd.grad(value, [self.theta, self.phi], retain_graph=True, materialize_grads=True)

    def expected(self, objective, law, size):
        """The expectation of the loss of a batch of independent trajectories of a law (N,)."""
        law, total = law.detach(), 0.0
        every = self.table.trajectories(self.edges, law.log())
        for batch in product(range(self.n), repeat=size):
            index = torch.tensor(batch)
            steps = {name: getattr(every, name)[:, index] for name in ("log_pf", "log_pb", "log_flow", "alive")}
            rows = {name: getattr(every, name)[index] for name in ("log_reward", "condition", "log_behaviour")}
            total = total + law[index].prod() * objective.loss(replace(every, log_inflow=None, **steps, **rows))
        return total

    def enumerated(self, objective):
        """The loss of all trajectories as one batch drawn by a uniform law: weights make all expectations exact."""
        uniform = torch.full((self.n,), 1.0 / self.n, dtype=torch.float64).log()
        return objective.loss(self.table.trajectories(self.edges, uniform))


@pytest.fixture(scope="module")
def space():
    return Space()


def assert_equal(found, expected):
    assert expected.abs().max().item() > 1e-2
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)


def test_the_laws_of_all_trajectories_add_up_to_one(space):
    assert space.n == 19
    assert space.log_pf.exp().sum().item() == pytest.approx(1.0)
    assert space.log_target.exp().sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("log_z", [-3.0, 0.0, 12.0])
def test_on_policy_trajectory_balance_moves_the_forward_policy_twice_as_the_reverse_divergence(log_z):
    space = Space(log_z)
    balance = space.expected(TrajectoryBalance(), space.log_pf.exp(), 1)
    assert_equal(space.gradients(balance)[0], 2 * space.gradients(space.reverse)[0])


@pytest.mark.parametrize("log_z", [-3.0, 0.0, 12.0])
def test_trajectory_balance_on_the_target_moves_the_backward_policy_twice_as_the_forward_divergence(log_z):
    space = Space(log_z)
    balance = space.expected(TrajectoryBalance(), space.log_target.exp(), 1)
    assert_equal(space.gradients(balance)[1], 2 * space.gradients(space.forward)[1])


def test_off_policy_trajectory_balance_is_another_thing(space):
    """The theorem is about the law of the trajectories: without it the equality does not hold by itself."""
    balance = space.expected(TrajectoryBalance(), space.log_target.exp(), 1)
    found, expected = space.gradients(balance)[0], 2 * space.gradients(space.reverse)[0]
    assert (found - expected).abs().max().item() > 1e-2


def test_the_variance_has_that_gradient_up_to_the_mean_of_the_batch(space):
    """The mean of B trajectories includes each of them: 2 (1 - 1 / B) times the divergence, here B = 2."""
    variance = space.expected(LogPartitionVariance(), space.log_pf.exp(), 2)
    assert_equal(space.gradients(variance)[0], 2 * (1 - 1 / 2) * space.gradients(space.reverse)[0])


@pytest.mark.parametrize("behaviour", ["on_policy", "uniform"])
@pytest.mark.parametrize("baseline", BASELINES)
def test_reverse_divergence_has_the_same_expected_gradient_with_every_baseline_on_and_off_policy(
    space, baseline, behaviour
):
    law = space.log_pf.exp() if behaviour == "on_policy" else torch.full_like(space.log_pf, 1 / space.n)
    loss = space.expected(ReverseKL(baseline=baseline), law, 2)
    for found, expected in zip(space.gradients(loss), space.gradients(space.reverse), strict=True):
        assert_equal(found, expected)


def test_a_baseline_lowers_the_variance_of_the_gradient(space):
    """Mean square of one-batch gradients; the mean is the same, so this is their variance up to a constant."""
    sizes, law = {}, space.log_pf.exp().detach()
    every = space.table.trajectories(space.edges)
    draws = torch.multinomial(law, 16 * 40, replacement=True, generator=torch.Generator().manual_seed(0)).view(40, 16)
    for baseline in ("none", "local"):
        squares = []
        for index in draws:
            steps = {name: getattr(every, name)[:, index] for name in ("log_pf", "log_pb", "log_flow", "alive")}
            rows = {name: getattr(every, name)[index] for name in ("log_reward", "condition", "log_behaviour")}
            # The score with an offset of 20, as log Z of a real problem has.
            rows["log_reward"] = rows["log_reward"] + 20.0
            loss = ReverseKL(baseline=baseline).loss(replace(every, log_inflow=None, **steps, **rows))
            squares.append(space.gradients(loss)[0].square().sum().item())
        sizes[baseline] = sum(squares)
    assert sizes["local"] < 0.1 * sizes["none"]


@pytest.mark.parametrize("kind", [ReverseKL, ForwardKL, ReverseWakeSleep])
def test_a_global_baseline_is_learned_as_the_mean_of_minus_the_score(space, kind):
    score = (space.log_pf - space.log_target - space.log_z).detach()
    loss = space.enumerated(kind(baseline="global"))
    (gradient,) = torch.autograd.grad(loss, space.flow)
    expected = 2 * (space.flow[0] + score.mean())
    assert gradient[0].item() == pytest.approx(expected.item())
    assert (gradient[1:] == 0).all()


@pytest.mark.parametrize("baseline", BASELINES)
def test_forward_divergence_has_its_exact_gradient(space, baseline):
    forward, backward = space.gradients(space.enumerated(ForwardKL(baseline=baseline)))
    expected = space.gradients(space.forward)
    # A local baseline leaves each trajectory out of its own mean, which scales an enumeration by N / (N - 1).
    scale = space.n / (space.n - 1) if baseline == "local" else 1.0
    assert_equal(forward, expected[0])
    assert_equal(backward, scale * expected[1])


def test_wake_sleep_is_the_forward_divergence_for_one_policy_and_the_reverse_one_for_the_other(space):
    forward, backward = space.gradients(space.enumerated(ReweightedWakeSleep()))
    assert_equal(forward, space.gradients(space.forward)[0])
    assert_equal(backward, space.gradients(space.reverse)[1])


@pytest.mark.parametrize("baseline", BASELINES)
def test_reverse_wake_sleep_changes_the_sides(space, baseline):
    forward, backward = space.gradients(space.enumerated(ReverseWakeSleep(baseline=baseline)))
    scale = space.n / (space.n - 1) if baseline == "local" else 1.0
    assert_equal(forward, scale * space.gradients(space.reverse)[0])
    assert_equal(backward, scale * space.gradients(space.forward)[1])
