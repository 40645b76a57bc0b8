"""The drift as a network of position and time, with the flow of unfinished states."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.gflownet.policies.base import initialise

_WAVES = 16
_STEEPEST = 1e2
"""Gradients are cut off here in each direction, so that one position far out does not swamp the drift."""
_FIRST_SCALE = 0.01


class DriftNetwork(nn.Module):
    """u(x, t) = a(x, t) + b(t) clip(grad log R(x)); without a gradient it is a(x, t).

    a and the log-flow are of one network with GELUs whose last layer begins at zero; b, a network of time alone,
    begins at 0.01: the Langevin parametrisation of Zhang and Chen, Path integral sampler, ICLR 2022, arXiv:2111.15141.

    Args:
        dimensions: d.
        generator: source of the initial weights.
        gradient: of log R, (..., d) -> (..., d); None: there is no Langevin term.
        hidden: width of both hidden layers.
    """

    def __init__(
        self,
        dimensions: int,
        *,
        generator: torch.Generator,
        gradient: Callable[[Tensor], Tensor] | None = None,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        self.gradient = gradient
        self.position = nn.Linear(dimensions, hidden)
        self.time = nn.Sequential(nn.Linear(2 * _WAVES, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        self.trunk = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(2))
        self.head = nn.Linear(hidden, dimensions + 1)
        last = nn.Linear(hidden, 1)
        self.steepness = nn.Sequential(nn.Linear(2 * _WAVES, hidden), nn.GELU(), last)
        initialise(self, generator)
        with torch.no_grad():
            self.head.weight.zero_()
            last.weight.zero_()
            last.bias.fill_(_FIRST_SCALE)

    def forward(self, places: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return drifts (S, n, d) and log-flows (S, n) at positions (S, n, d) and times (S,), differentiably."""
        angles = times[:, None] * (math.pi * torch.arange(_WAVES))
        waves = torch.cat([angles.sin(), angles.cos()], 1)
        x: Tensor = self.position(places) + self.time(waves)[:, None]
        for layer in self.trunk:
            x = layer(functional.gelu(x))
        out: Tensor = self.head(functional.gelu(x))
        drift, flow = out[..., :-1], out[..., -1]
        if self.gradient is not None:
            steep = self.gradient(places).clamp(-_STEEPEST, _STEEPEST)
            drift = drift + self.steepness(waves)[:, None] * steep
        return drift, flow

    def drift(self, places: Tensor, times: Tensor) -> Tensor:
        """Return drifts (S, n, d)."""
        return self.forward(places, times)[0]
