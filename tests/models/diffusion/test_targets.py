"""The energies: known integrals, exact draws, gradients."""

import math

import pytest
import torch

from models.diffusion.targets import Funnel, GaussianMixture, ManyWell

TARGETS = {"mixture": GaussianMixture.grid(), "funnel": Funnel(), "many_well": ManyWell(8)}


def test_the_double_well_and_the_paper_s_many_well_have_their_known_integrals():
    assert math.exp(ManyWell(2).log_well) == pytest.approx(11784.50927, abs=1e-5)
    assert ManyWell(32).log_partition == pytest.approx(164.69568, abs=1e-5)
    assert ManyWell(8).log_partition == pytest.approx(164.69568 / 4, abs=1e-5)


def test_wells_come_in_pairs():
    with pytest.raises(ValueError, match="got 3 dimensions, expected an even number"):
        ManyWell(3)


def test_the_mixture_has_twenty_five_modes_and_integrates_to_one():
    target = GaussianMixture.grid()
    assert sorted(target.means[:, 0].unique().tolist()) == [-10, -5, 0, 5, 10]
    assert target.means.shape == (25, 2)
    line = torch.linspace(-14, 14, 561, dtype=torch.float64)
    density = target.log_reward(torch.cartesian_prod(line, line)).exp()
    assert float(density.sum()) * 0.05**2 == pytest.approx(1.0, abs=1e-5)
    assert target.log_reward(target.means[3]).item() == pytest.approx(-math.log(25 * 2 * math.pi * 0.3), abs=1e-4)
    assert target.modes(target.means[:7].repeat(2, 1) + 0.1) == 7


def test_the_funnel_integrates_to_one():
    line = torch.linspace(-15, 15, 1201, dtype=torch.float64)
    wide = 0.5 * line.exp().sqrt()[:, None] * torch.linspace(-20, 20, 401, dtype=torch.float64)
    neck = line[:, None].expand_as(wide)
    density = Funnel(2).log_reward(torch.stack([neck, wide], 2)).exp()
    width = 0.025 * 0.1 * 0.5 * line.exp().sqrt()[:, None]
    assert float((density * width).sum()) == pytest.approx(1.0, abs=1e-4)
    assert Funnel().log_reward(torch.zeros(10)).item() == pytest.approx(
        -5 * math.log(2 * math.pi) - math.log(3), abs=1e-5
    )


def test_the_many_well_is_a_sum_over_pairs():
    x = torch.tensor([1.7, 0.3, -1.2, 2.0])
    by_hand = -(1.7**4) + 6 * 1.7**2 + 0.85 - 0.045 - 1.2**4 + 6 * 1.44 - 0.6 - 2.0
    assert ManyWell(4).log_reward(x).item() == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.parametrize("name", TARGETS)
def test_exact_draws_have_no_mean_gradient(name):
    """The expectation of the score is zero, for any law."""
    target = TARGETS[name]
    x = target.sample(100_000, torch.Generator().manual_seed(0))
    assert x.shape == (100_000, target.dimensions)
    score = target.gradient(x)
    error = score.std(0) / math.sqrt(len(x))
    assert bool((score.mean(0).abs() < 5 * error).all())


@pytest.mark.parametrize("name", TARGETS)
def test_the_gradient_is_that_of_differences(name):
    target = TARGETS[name]
    x = target.sample(20, torch.Generator().manual_seed(1)).double()
    step = 1e-5 * torch.eye(target.dimensions, dtype=torch.float64)
    rise = target.log_reward(x[:, None] + step) - target.log_reward(x[:, None] - step)
    assert torch.allclose(target.gradient(x), rise / 2e-5, rtol=1e-4, atol=1e-5)


def test_draws_of_the_double_well_are_as_often_right_as_they_should_be():
    line = torch.linspace(-4, 4, 80_001, dtype=torch.float64)
    density = (-(line**4) + 6 * line**2 + line / 2).exp()
    right = float(density[line > 0].sum() / density.sum())
    x = ManyWell(2).sample(200_000, torch.Generator().manual_seed(2))[:, 0]
    assert (x > 0).double().mean().item() == pytest.approx(right, abs=5 * math.sqrt(right * (1 - right) / 200_000))
