"""Mixtures of von Mises laws: densities that integrate to one, draws that follow them, exploration as it is said."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from models.gflownet.environments.base import NotProvided
from models.gflownet.environments.torus import Torus
from models.gflownet.policies.base import ON_POLICY, Exploration, PolicyDiverged
from models.gflownet.policies.von_mises_law import VonMisesLaw, WayBack
from models.gflownet.policies.von_mises_mixture import VonMisesMixture
from models.registry import build

WEIGHTS, MEANS, KAPPAS = [0.1, 0.3, 0.6], [0.0, 3.0, -1.0], [0.0, 5.0, 900.0]
ALL = [ON_POLICY, Exploration(epsilon=0.3), Exploration(temperature=2.0), Exploration(epsilon=0.3, temperature=2.0)]


def law(n=1):
    rows = [torch.tensor(x, dtype=torch.float64).expand(n, 1, 3) for x in (WEIGHTS, MEANS, KAPPAS)]
    return VonMisesLaw(rows[0][:, 0].log(), *rows[1:])


def expected(x, how):
    """The explored law as it is said: weights to the power 1 / T, components too, then a share of the uniform law."""
    w = np.array(WEIGHTS) ** (1 / how.temperature)
    parts = [1 / (2 * math.pi), *(stats.vonmises(k / how.temperature, m).pdf(x) for m, k in ((3, 5), (-1, 900)))]
    mixed = sum(p * part for p, part in zip(w / w.sum(), parts, strict=True))
    return (1 - how.epsilon) * mixed + how.epsilon / (2 * math.pi)


def wild(env, seed=0, **options):
    """A network with large weights: nothing about its law is accidental."""
    policy = VonMisesMixture(env, generator=torch.Generator().manual_seed(seed), hidden=(16,), **options)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed + 1)) * 0.4)
    return policy


@pytest.mark.parametrize("how", ALL)
def test_the_density_is_that_of_the_textbook(how):
    x = np.linspace(-math.pi, math.pi, 41)
    found = law(41).explored(how).log_density(torch.from_numpy(x)[:, None])
    assert found.exp().numpy() == pytest.approx(expected(x, how), rel=1e-9)


@pytest.mark.parametrize("how", ALL)
def test_draws_follow_the_density(how):
    x = law(4000).explored(how).draw(torch.Generator().manual_seed(0))[:, 0].numpy()
    grid = np.linspace(-math.pi, math.pi, 20_001)
    cdf = np.cumsum(expected(grid, how)) * (grid[1] - grid[0])
    assert stats.kstest(x, lambda at: np.interp(at, grid, cdf)).pvalue > 1e-3


def test_the_law_of_several_angles_integrates_to_one():
    env = Torus(angles=2, steps=3)
    policy, grid = wild(env), env.grid(72 * 72)
    states = env.step(env.source(1), torch.tensor([[1.0, -2.0]], dtype=torch.float64))
    density = policy.score(states[torch.zeros(len(grid), dtype=torch.int64)], grid.place, None).log_pf.exp()
    assert float(density.detach().mean()) * (2 * math.pi) ** 2 == pytest.approx(1.0, abs=1e-3)


def test_the_angles_of_a_step_belong_together():
    mean = torch.tensor([[[0.0, 1.0, -1.0], [0.0, -1.0, 1.0]]], dtype=torch.float64)
    kappa = torch.tensor([0.0, 50.0, 50.0], dtype=torch.float64).expand(1, 2, 3)
    two = VonMisesLaw(torch.tensor([[-math.inf, 0.0, 0.0]], dtype=torch.float64), mean, kappa)
    there, between = (two.log_density(torch.tensor([x], dtype=torch.float64)) for x in ([1.0, -1.0], [1.0, 1.0]))
    assert float(there.exp()) == pytest.approx(0.5 * stats.vonmises(50).pdf(0.0) ** 2)
    assert float(between - there) < -50.0
    x = VonMisesLaw(*(part.expand(500, *part.shape[1:]) for part in (two.logits, mean, kappa)))
    drawn = x.draw(torch.Generator().manual_seed(0))
    assert bool((drawn[:, 0] * drawn[:, 1] < 0).all())
    assert 200 < int((drawn[:, 0] > 0).sum()) < 300


def test_the_greatest_concentration_has_a_finite_density_and_gradient():
    heads = torch.full((1, 4), 500.0, requires_grad=True)
    found = VonMisesLaw.of(heads, 1)
    assert float(found.kappa.detach().max()) == pytest.approx(1e3)
    density = found.log_density(torch.tensor([[2.0]], dtype=torch.float64))
    density.sum().backward()
    assert bool(density.isfinite().all())
    assert bool(heads.grad.isfinite().all())


def test_no_increment_is_impossible_at_first_and_small_ones_are_likely():
    env = Torus(angles=2)
    policy = VonMisesMixture(env, generator=torch.Generator().manual_seed(0))
    actions = env.grid(72 * 72).place
    density = policy.score(env.source(len(actions)), actions, None).log_pf.detach().exp() * (2 * math.pi) ** 2
    assert float(density.min()) > 1e-3
    near = actions.abs().max(1).values < 1.0
    assert float(density[near].sum() / density.sum()) > 0.5


def test_what_is_drawn_has_the_density_that_is_told():
    env, policy = Torus(angles=3, steps=2), wild(Torus(angles=3, steps=2))
    actions, log_prob = policy.sample(env.source(50), torch.Generator().manual_seed(0), ON_POLICY)
    assert actions.shape == (50, 3)
    told = policy.score(env.source(50), actions, None)
    assert log_prob.numpy() == pytest.approx(told.log_pf.detach().numpy(), abs=1e-9)


def test_after_the_first_step_the_way_back_is_certain_and_else_it_has_a_density():
    env, policy = Torus(angles=2, steps=3), wild(Torus(angles=2, steps=3))
    first = env.step(env.source(4), torch.tensor([[1.0, -3.0]] * 4, dtype=torch.float64))
    second = env.step(first, torch.tensor([[0.5, 0.1]] * 4, dtype=torch.float64))
    for states, certain in ((first, True), (second, False)):
        way = WayBack.of(env, states, policy.backward_logits(states).detach())
        actions = way.draw(torch.Generator().manual_seed(0))
        home = env.is_source(env.backstep(states, actions)) & (env.backstep(states, actions).place.abs().sum(1) < 1e-12)
        assert bool(home.all()) == certain
        assert bool((way.log_density(actions) == 0.0).all()) == certain


def test_a_backward_policy_that_counts_parents_is_refused():
    env = Torus(angles=2, steps=3)
    states = env.grid(256)
    with pytest.raises(NotProvided, match=r"not countable here\. Use uniform, tied or learned"):
        build("backward_policy", {"kind": "maximum_entropy"}).chosen(env, states, states.place, None)


def test_a_network_that_has_diverged_is_found_out():
    env, policy = Torus(), wild(Torus())
    with torch.no_grad():
        next(policy.parameters()).fill_(math.nan)
    with pytest.raises(PolicyDiverged):
        policy.sample(env.source(2), torch.Generator().manual_seed(0), ON_POLICY)


@pytest.mark.parametrize(
    ("spec", "got"), [({"kind": "hypergrid"}, "got 'hypergrid'"), ({"kind": "torus", "cells": 4}, "got one on a grid")]
)
def test_another_environment_is_refused(spec, got):
    with pytest.raises(ValueError, match=f"'torus' with real angles; {got}"):
        build("policy", {"kind": "von_mises_mixture"}).build(build("environment", spec), torch.Generator())
