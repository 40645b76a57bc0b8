"""The chain, its bridge and the bounds of log Z, before anything is trained."""

import math

import pytest
import torch

from models.diffusion.bounds import bounds, log_weights
from models.diffusion.chain import Chain
from models.diffusion.targets import GaussianMixture


def gaussian(m=1.0, s=0.5):
    return GaussianMixture(torch.tensor([[m]]), s * s)


def optimal(m=1.0, s=0.5):
    """The drift that takes Brownian motion of variance 1 to N(m, s^2) at time 1."""
    a, b = m / s**2, 1.0 / s**2 - 1.0
    return lambda x, t: (a - b * x) / (1.0 + b * (1.0 - t[:, None, None]))


def still(x, t):
    return torch.zeros_like(x)


@pytest.mark.parametrize(
    ("steps", "n", "mean", "deviation"),
    [
        (5, 200_000, 0.1266, 0.575),
        (20, 100_000, 0.0309, 0.249),
        (100, 50_000, 0.0047, 0.107),
        (400, 20_000, 0.0009, 0.053),
    ],
)
def test_with_the_known_drift_only_the_steps_are_left_of_the_residual(steps, n, mean, deviation):
    generator = torch.Generator().manual_seed(steps)
    found = bounds(Chain(1, steps), optimal(), gaussian(), n, generator)
    noise = deviation / math.sqrt(n)
    assert -found.lower == pytest.approx(mean, abs=4 * noise + 5e-5)
    assert found.deviation == pytest.approx(deviation, abs=4 * noise + 5e-4)
    assert found.weighted == pytest.approx(0.0, abs=max(0.002, 5 * noise))
    assert found.upper >= -4 * noise


@pytest.mark.parametrize("variance", [1.0, 2.5])
def test_without_a_drift_the_chain_is_its_bridge(variance):
    """Brownian motion ends at N(0, v): the residual of that target is zero for every chain, whatever the steps."""
    chain, target = Chain(3, 7, variance), GaussianMixture(torch.zeros((1, 3)), variance)
    generator = torch.Generator().manual_seed(1)
    for places in (
        chain.forward(still, 50, generator, exploration=2.0),
        chain.backward(torch.randn((50, 3)), generator),
    ):
        assert log_weights(chain, still, target, places).abs().max() < 1e-4


def test_chains_begin_at_the_origin_and_bridges_end_where_they_must():
    chain, ends, generator = Chain(2, 9), torch.randn((6, 2)), torch.Generator().manual_seed(0)
    bridge = chain.backward(ends, generator)
    assert bridge.shape == (10, 6, 2)
    assert torch.equal(bridge[-1], ends)
    assert bool((bridge[0] == 0).all())
    assert bool((chain.forward(still, 6, generator)[0] == 0).all())


def test_exploration_widens_the_noise_and_nothing_else():
    chain, generator = Chain(1, 5, 1.0), torch.Generator().manual_seed(0)
    ends = chain.forward(still, 50_000, generator, exploration=2.0)[-1]
    assert ends.var().item() == pytest.approx(5.0, rel=0.03)
    assert ends.mean().item() == pytest.approx(0.0, abs=0.05)


def test_bounds_enclose_log_z_and_are_in_order():
    target = GaussianMixture.grid(side=2, spacing=2.0)
    found = bounds(Chain(2, 20, 2.0), still, target, 50_000, torch.Generator().manual_seed(0))
    assert found.lower < found.weighted < found.upper
    assert found.lower < target.log_partition < found.upper
    assert found.weighted == pytest.approx(target.log_partition, abs=0.03)
    assert found.gap == pytest.approx(found.upper - found.lower)
