"""Densities over real vectors, among them those that diffusion samplers are judged on."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

_GRID = 40_001
_REACH = 4.0
"""exp(-x^4 + 6 x^2 + x / 2) is below e^-156 beyond."""


class Target(ABC):
    """A density that need not be normalised.

    Attributes:
        dimensions: d.
    """

    dimensions: int

    @abstractmethod
    def log_reward(self, x: Tensor) -> Tensor:
        """Return the log-density (...) at positions (..., d), differentiably."""

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient (..., d) of the log-density at positions (..., d); no graph is kept."""
        with torch.enable_grad():
            here = x.detach().requires_grad_()
            (out,) = torch.autograd.grad(self.log_reward(here).sum(), here)
        return out


class KnownTarget(Target):
    """A density whose integral is known, and which can be drawn from.

    Attributes:
        log_partition: log of its integral.
    """

    log_partition: float

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return (n, d) exact draws."""


class GaussianMixture(KnownTarget):
    """Equal weights, one variance in all directions; normalised, so log Z = 0.

    Args:
        means: (K, d).
        variance: of each part.
    """

    log_partition = 0.0

    def __init__(self, means: Tensor, variance: float) -> None:
        self.means, self.variance = means, variance
        self.dimensions = means.shape[1]
        self._constant = -0.5 * self.dimensions * math.log(2.0 * math.pi * variance) - math.log(len(means))

    @classmethod
    def grid(cls, side: int = 5, spacing: float = 5.0, variance: float = 0.3) -> GaussianMixture:
        """Return side x side Gaussians in the plane about the origin: 25GMM by default, 9GMM with side 3."""
        line = spacing * (torch.arange(side) - (side - 1) / 2)
        return cls(torch.cartesian_prod(line, line), variance)

    def log_reward(self, x: Tensor) -> Tensor:
        """Return the log-density (...) at positions (..., d)."""
        # |x|^2 - 2 x m + |m|^2 would be faster and, in float32, wrong far from the origin.
        distance = (x[..., None, :] - self.means).square().sum(-1)
        return (distance / (-2.0 * self.variance)).logsumexp(-1) + self._constant

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient (..., d) at positions (..., d): towards the means, by their shares of the density."""
        distance = (x[..., None, :] - self.means.to(x.dtype)).square().sum(-1)
        share = (distance / (-2.0 * self.variance)).softmax(-1)
        return (share @ self.means.to(x.dtype) - x) / self.variance

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return (n, d) exact draws."""
        part = torch.randint(len(self.means), (n,), generator=generator)
        noise = torch.randn((n, self.dimensions), generator=generator)
        return self.means[part] + math.sqrt(self.variance) * noise

    def modes(self, x: Tensor) -> int:
        """Return how many parts are the nearest one of some position (n, d), within four standard deviations."""
        distance, part = (x[:, None] - self.means).norm(dim=2).min(1)
        return len(part[distance <= 4.0 * math.sqrt(self.variance)].unique())


class Funnel(KnownTarget):
    """x_0 ~ N(0, s^2), each other x_i ~ N(0, e^x_0); normalised, so log Z = 0.

    Neal, Slice sampling, Annals of Statistics 31, 2003, with ten dimensions and s = 3.
    """

    log_partition = 0.0

    def __init__(self, dimensions: int = 10, deviation: float = 3.0) -> None:
        self.dimensions, self.deviation = dimensions, deviation

    def log_reward(self, x: Tensor) -> Tensor:
        """Return the log-density (...) at positions (..., d)."""
        neck, rest = x[..., 0], x[..., 1:]
        first = -0.5 * (neck / self.deviation).square() - math.log(self.deviation)
        others = -0.5 * (rest.square().sum(-1) * (-neck).exp() + (self.dimensions - 1) * neck)
        return first + others - 0.5 * self.dimensions * math.log(2.0 * math.pi)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return (n, d) exact draws."""
        noise = torch.randn((n, self.dimensions), generator=generator)
        neck = self.deviation * noise[:, :1]
        return torch.cat([neck, (0.5 * neck).exp() * noise[:, 1:]], 1)


class ManyWell(KnownTarget):
    """d / 2 pairs, each a double well in its first number and Gaussian in its second: 2^(d / 2) modes.

    log R = sum over pairs (x, y) of -x^4 + 6 x^2 + x / 2 - y^2 / 2. Of the paper d = 32, log Z = 164.69568.
    """

    def __init__(self, dimensions: int = 32) -> None:
        if dimensions % 2:
            raise ValueError(f"Wells come in pairs of numbers: got {dimensions} dimensions, expected an even number.")
        self.dimensions = dimensions
        self._line = torch.linspace(-_REACH, _REACH, _GRID, dtype=torch.float64)
        density = self._well(self._line).exp()
        width = 2.0 * _REACH / (_GRID - 1)
        self.log_well = math.log(float(density.sum()) * width)
        """Log of the integral of a double well: that of 11784.50927."""
        self._law = (density.cumsum(0) - 0.5 * density) / density.sum()
        self.log_partition = dimensions // 2 * (self.log_well + 0.5 * math.log(2.0 * math.pi))

    @staticmethod
    def _well(x: Tensor) -> Tensor:
        return -(x**4) + 6.0 * x.square() + 0.5 * x

    def log_reward(self, x: Tensor) -> Tensor:
        """Return the log-density (...) at positions (..., d): numbers 0, 2, ... are those of the wells."""
        return self._well(x[..., ::2]).sum(-1) - 0.5 * x[..., 1::2].square().sum(-1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return (n, d) draws: of wells by the inverse of a distribution function with steps of 0.0002."""
        pairs = self.dimensions // 2
        u = torch.rand((n, pairs), generator=generator, dtype=torch.float64)
        place = torch.searchsorted(self._law, u).clamp(1, _GRID - 1)
        low, high = self._law[place - 1], self._law[place]
        share = ((u - low) / (high - low).clamp(min=1e-300)).clamp(0.0, 1.0)
        wells = self._line[place - 1] + share * (self._line[place] - self._line[place - 1])
        others = torch.randn((n, pairs), generator=generator)
        return torch.stack([wells.float(), others], 2).flatten(1)
