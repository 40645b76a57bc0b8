"""Riemannian flow matching on the flat torus, where all is closed form.

The shortest way from x0 to x1 is wrap(x1 - x0) in [-pi, pi), its velocity is constant, and the base law is uniform: no
differential equation has to be solved to train.

Reference: Chen and Lipman, Flow matching on general geometries, ICLR 2024, arXiv:2302.03660.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.generators.flow_paths import Geometry
from models.gflownet.environments.torus import wrapped


class FlatTorus(Geometry):
    """Angles in [-pi, pi)^d; the base law is uniform."""

    def base(self, n: int, d: int, generator: torch.Generator) -> Tensor:
        """Draw uniform angles."""
        return (2.0 * torch.rand((n, d), generator=generator) - 1.0) * math.pi

    def way(self, start: Tensor, end: Tensor) -> Tensor:
        """Return the shorter way around."""
        return wrapped(end - start)

    def moved(self, x: Tensor, by: Tensor) -> Tensor:
        """Return where a displacement leads, in [-pi, pi)."""
        return wrapped(x + by)

    def features(self, x: Tensor) -> Tensor:
        """Return cos and sin of the angle, and of twice it."""
        return torch.cat([x.cos(), x.sin(), (2.0 * x).cos(), (2.0 * x).sin()], 1)
