"""The chain: Gaussian steps with a drift from the origin forwards, a Brownian bridge backwards."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Drift = Callable[[Tensor, Tensor], Tensor]
"""Positions (S, n, d) and their times (S,) -> drifts (S, n, d)."""


@dataclass(frozen=True)
class Chain:
    """T steps of Euler and Maruyama from the origin at time 0 to the object at time 1, dt = 1 / T.

    Forwards x' ~ N(x + dt u(x, t), v dt I) with the drift u. Backwards step i to step i - 1 by the Brownian bridge to
    the origin, N((i - 1) / i x, v dt (i - 1) / i I); the last step back is certain. With u = 0 both are one process,
    Brownian motion. Densities are with respect to the Lebesgue measure of positions.

    Sendera et al., Improved off-policy training of diffusion samplers, NeurIPS 2024, arXiv:2402.05098. The published
    code has the same chain.

    Attributes:
        dimensions: d.
        steps: T.
        variance: v, that of Brownian motion at time 1.
    """

    dimensions: int
    steps: int
    variance: float = 1.0

    @property
    def times(self) -> Tensor:
        """(T,) times before each step."""
        return torch.arange(self.steps) / self.steps

    @torch.no_grad()
    def forward(self, drift: Drift, n: int, generator: torch.Generator, exploration: float = 0.0) -> Tensor:
        """Return (T + 1, n, d) positions of n chains.

        Args:
            drift: u.
            n: how many.
            generator: source of the noise.
            exploration: the noise of a step is that of variance v + exploration^2; the drift is the same.
        """
        dt, times = 1.0 / self.steps, self.times
        deviation = math.sqrt((self.variance + exploration**2) * dt)
        noise = torch.randn((self.steps, n, self.dimensions), generator=generator)
        places = [torch.zeros((n, self.dimensions))]
        for i in range(self.steps):
            mean = places[-1] + dt * drift(places[-1][None], times[i : i + 1])[0]
            places.append(mean + deviation * noise[i])
        return torch.stack(places)

    @torch.no_grad()
    def backward(self, ends: Tensor, generator: torch.Generator) -> Tensor:
        """Return (T + 1, n, d) positions of bridges from the origin to ends (n, d)."""
        noise = torch.randn((self.steps, *ends.shape), generator=generator)
        places = [ends]
        for i in range(self.steps, 0, -1):
            share = (i - 1) / i
            places.append(share * places[-1] + math.sqrt(self.variance / self.steps * share) * noise[i - 1])
        return torch.stack(places[::-1])

    def log_forward(self, places: Tensor, drifts: Tensor) -> Tensor:
        """Return (T, n) log-densities of the steps between positions (T + 1, n, d), given their drifts (T, n, d)."""
        dt = 1.0 / self.steps
        return _log_normal(places[1:] - places[:-1] - dt * drifts, torch.tensor(self.variance * dt))

    def log_backward(self, places: Tensor) -> Tensor:
        """Return (T, n) log-densities of the steps back between positions (T + 1, n, d), 0 of the one to the origin."""
        after = torch.arange(2, self.steps + 1)[:, None, None]
        share = (after - 1) / after
        bridge = _log_normal(places[1:-1] - share * places[2:], (self.variance / self.steps) * share[..., 0])
        return torch.cat([torch.zeros_like(places[:1, :, 0]), bridge])

    def log_reference(self, places: Tensor) -> Tensor:
        """Return (S, n) log-densities of Brownian motion at positions (S, n, d) before the steps; 0 at time 0."""
        variance = self.variance * self.times[:, None]
        start = torch.zeros_like(places[:1, :, 0])
        return torch.cat([start, _log_normal(places[1:], variance[1:])])


def _log_normal(offset: Tensor, variance: Tensor) -> Tensor:
    """Return the log-density of offsets (..., d) under N(0, variance I)."""
    d = offset.shape[-1]
    return -0.5 * (offset.square().sum(-1) / variance + d * (2.0 * math.pi * variance).log())
