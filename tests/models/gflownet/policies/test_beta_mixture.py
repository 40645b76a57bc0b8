"""Mixtures of Betas: densities that integrate to one, draws that follow them, exploration as it is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from models.gflownet.environments.vectors import Vectors
from models.gflownet.policies.base import ON_POLICY, Exploration, PolicyDiverged
from models.gflownet.policies.beta_law import BetaLaw
from models.gflownet.policies.beta_mixture import BetaMixture
from models.gflownet.policies.vectors import UniformVectors
from models.gflownet.training.trajectories import sample_forward
from models.registry import build

EXPLORED = Exploration(epsilon=0.3, temperature=2.0)


def law():
    logits = torch.tensor([[0.1, 0.3, 0.6]], dtype=torch.float64).log()
    return BetaLaw(logits, torch.tensor([[1.0, 3.0, 40.0]]).double(), torch.tensor([[1.0, 9.0, 5.0]]).double())


def wild(env, seed=0, **options):
    """A network with large weights: nothing about its law is accidental."""
    policy = BetaMixture(env, generator=torch.Generator().manual_seed(seed), hidden=(16,), **options)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed + 1)) * 0.4)
    return policy


def log_q(env, policy, states):
    """The log-density of terminal states, along the one trajectory to each."""
    total = torch.zeros(len(states), dtype=torch.float64)
    while bool((states.step > 0).all()):
        back = torch.zeros(len(states), dtype=torch.int64)
        before = env.backstep(states, back)
        total += policy.score(before, env.redo(states, back), None).log_pf
        states = before
    return total.detach()


def expected(x, epsilon, temperature):
    """The explored law as it is said: weights to the power 1 / T, components too, then a share of the uniform law."""
    w = np.array([0.1, 0.3, 0.6]) ** (1 / temperature)
    parts = [stats.beta(1 + (a - 1) / temperature, 1 + (b - 1) / temperature) for a, b in ((1, 1), (3, 9), (40, 5))]
    return (1 - epsilon) * sum(p * part.pdf(x) for p, part in zip(w / w.sum(), parts, strict=True)) + epsilon


@pytest.mark.parametrize("how", [ON_POLICY, Exploration(epsilon=0.3), Exploration(temperature=2.0), EXPLORED])
def test_the_density_is_that_of_scipy(how):
    x = torch.tensor([0.01, 0.2, 0.5, 0.87, 0.999], dtype=torch.float64)
    many = law().at(torch.zeros(5, dtype=torch.int64))
    found = many.explored(how).log_density(x)
    assert np.abs(found.numpy() - np.log(expected(x.numpy(), how.epsilon, how.temperature))).max() < 1e-9


@pytest.mark.parametrize("how", [ON_POLICY, EXPLORED])
def test_draws_follow_the_density(how):
    drawn = law().at(torch.zeros(4000, dtype=torch.int64)).explored(how).draw(torch.Generator().manual_seed(0))
    grid = (np.arange(20_000) + 0.5) / 20_000
    cdf = np.cumsum(expected(grid, how.epsilon, how.temperature)) / 20_000
    assert stats.kstest(drawn.numpy(), lambda x: np.interp(x, grid, cdf)).pvalue > 0.01


def test_a_seed_decides_the_draws():
    a, b, c = (law().draw(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_values_on_the_edge_have_a_finite_density_and_gradient():
    env = Vectors(variables=[{"kind": "real"}, {"kind": "fractions", "n": 3}])
    policy = wild(env)
    ends = env.encode([(0, 0, 0, 1), (1, 1, 0, 0), (0, 0, 1, 0)])
    value = log_q(env, policy, ends)
    assert value.isfinite().all()
    first = policy.score(env.source(3), ends.value[:, 0], None).log_pf.sum()
    first.backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in policy.parameters())


@pytest.mark.parametrize("make", [wild, UniformVectors])
def test_the_law_over_a_level_and_two_reals_integrates_to_one(make):
    env = Vectors(variables=[{"kind": "real"}, {"kind": "levels", "n": 3}, {"kind": "real"}])
    policy = make(env)
    grid = env.grid(3 * 150**2)
    total = log_q(env, policy, grid).exp().sum().item() / 150**2
    assert total == pytest.approx(1.0, abs=1e-3)


def test_the_law_over_fractions_is_a_density_of_the_fractions_themselves():
    """Through the breaks (u, v) of the unit square, Jacobian 1 - u."""
    env = Vectors(variables=[{"kind": "fractions", "n": 3}])
    u, v = torch.cartesian_prod(*[(torch.arange(150).double() + 0.5) / 150] * 2).T
    ends = env.encode(torch.stack([u, v * (1 - u), (1 - v) * (1 - u)], 1).tolist())
    assert (log_q(env, wild(env), ends).exp() * (1 - u)).mean().item() == pytest.approx(1.0, abs=1e-3)
    # The simplex has the area 1/2: the uniform density is 2.
    assert log_q(env, UniformVectors(env), ends).exp().numpy() == pytest.approx(2.0, rel=1e-9)


@pytest.mark.parametrize("how", [ON_POLICY, EXPLORED])
def test_what_sampling_says_is_what_scoring_says(how):
    env = Vectors(variables=[{"kind": "levels", "n": 4}, {"kind": "fractions", "n": 3}, {"kind": "real"}])
    policy = wild(env)
    paths = sample_forward(env, policy, 40, torch.Generator().manual_seed(0), exploration=how)
    difference = (log_q(env, policy, paths.terminal) - paths.log_behaviour).abs().max().item()
    assert (difference < 1e-6) == (how is ON_POLICY)


def test_the_network_sees_what_is_set_and_the_condition():
    env = Vectors(variables=[{"kind": "real"}, {"kind": "levels", "n": 2}, {"kind": "real"}])
    policy = wild(env, conditions=1)
    ends = env.encode([(0.1, 0, 0.5), (0.2, 0, 0.5), (0.1, 1, 0.5)])
    last = env.backstep(ends, torch.zeros(3, dtype=torch.int64))
    here = policy.score(last, ends.value[:, 2], None, torch.zeros((3, 1))).log_pf
    there = policy.score(last, ends.value[:, 2], None, torch.ones((3, 1))).log_pf
    assert len(set(torch.cat([here, there]).tolist())) == 6


def test_a_network_that_is_not_finite_is_found_out():
    env = Vectors(variables=[{"kind": "real"}])
    policy = wild(env)
    with torch.no_grad():
        next(policy.parameters()).fill_(torch.nan)
    with pytest.raises(PolicyDiverged):
        policy.sample(env.source(2), torch.Generator().manual_seed(0), ON_POLICY)


def test_another_environment_is_refused():
    with pytest.raises(ValueError, match="kind 'vectors'; got 'hypergrid'"):
        build("policy", {"kind": "beta_mixture"}).build(build("environment", {"kind": "hypergrid"}), torch.Generator())
