"""Conditional flow matching: a field of velocities is fitted to paths from noise to data, and followed from noise.

Of a pair of a point of the base law x0 and one of the data x1, the path is the shortest way at constant speed, x_t at
the time t in [0, 1], and u_t its velocity. The network v minimises the mean of |v(x_t, t) - u_t|^2 over pairs and
times; its minimiser carries the base law to that of the data.

Reference: Lipman et al., ICLR 2023, arXiv:2210.02747; Tong et al., TMLR 2024, arXiv:2302.00482.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from models.generators.flow_transport import matched
from models.gflownet.policies.base import initialise

_PREFIX = "field."


class Geometry(ABC):
    """Where points live; all tensors are (n, d) float32 unless said."""

    @abstractmethod
    def base(self, n: int, d: int, generator: torch.Generator) -> Tensor:
        """Draw points of the base law, which is uniform."""

    @abstractmethod
    def way(self, start: Tensor, end: Tensor) -> Tensor:
        """Return the displacement along the shortest way; shapes are broadcast."""

    @abstractmethod
    def moved(self, x: Tensor, by: Tensor) -> Tensor:
        """Return where a displacement leads."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Return (n, F) what the network sees of points."""


class VelocityField(nn.Module):
    """SiLU network of a point and the time.

    Args:
        geometry: of the points.
        d: coordinates of a point.
        hidden: widths of the hidden layers.
        generator: source of the initial weights.
    """

    def __init__(self, geometry: Geometry, d: int, hidden: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.geometry, self.d = geometry, d
        width = geometry.features(torch.zeros((1, d))).shape[1] + 3
        with torch.device("meta"):
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([width, *hidden, d]))
        self.to_empty(device="cpu")
        initialise(self, generator)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return velocities (n, d) at points (n, d) and times (n, 1)."""
        clock = torch.cat([t, (math.pi * t).cos(), (2.0 * math.pi * t).cos()], 1)
        x = torch.cat([self.geometry.features(x), clock], 1)
        for layer in list(self.layers)[:-1]:
            x = nn.functional.silu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out


def fit(
    field: VelocityField,
    data: Tensor,
    generator: torch.Generator,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    optimal: bool,
    spread: float = 0.0,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Fit a field to data in place.

    Args:
        field: what is trained.
        data: (N, d) points.
        generator: source of all randomness.
        steps: of Adam, whose rate falls to zero along a cosine.
        batch_size: pairs per step.
        learning_rate: at first.
        optimal: whether the pairs of a batch are matched by `flow_transport`, or as they are drawn.
        spread: standard deviation of normal noise around the data, so that what is learnt has a density.
        report: called after each step with its number and loss.
    """
    geometry = field.geometry
    optimizer = torch.optim.Adam(field.parameters(), lr=learning_rate, fused=True)
    for step in range(steps):
        end = data[torch.randint(len(data), (batch_size,), generator=generator)]
        if spread:
            end = geometry.moved(end, spread * torch.randn(end.shape, generator=generator))
        start = geometry.base(batch_size, data.shape[1], generator)
        if optimal:
            end = end[matched(geometry.way(start[:, None], end[None]))]
        t = torch.rand((batch_size, 1), generator=generator)
        way = geometry.way(start, end)
        loss = (field(geometry.moved(start, t * way), t) - way).square().sum(1).mean()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        report(step + 1, loss.item())


@torch.no_grad()
def follow(field: VelocityField, start: Tensor, steps: int = 100) -> tuple[Tensor, Tensor]:
    """Follow a field from points (n, d) by Euler's rule, under which a step at a wall is simply reflected.

    Returns:
        Ends (n, d), and the energies of the paths (n,), the integral of |v|^2 over the time: the square of the
        distance where the path is straight and even, more where it is not.
    """
    x, energy = start, torch.zeros(len(start))
    for step in range(steps):
        velocity = field(x, torch.full((len(x), 1), step / steps))
        x, energy = field.geometry.moved(x, velocity / steps), energy + velocity.square().sum(1) / steps
    return x, energy


def loaded(field: VelocityField, state: Mapping[str, Any]) -> VelocityField:
    """Give a field the weights of `state_of`; return it."""
    field.load_state_dict({name.removeprefix(_PREFIX): value for name, value in state.items() if _PREFIX in name})
    return field


def state_of(field: VelocityField) -> dict[str, Any]:
    """Return the weights by name."""
    return {_PREFIX + name: value for name, value in field.state_dict().items()}
