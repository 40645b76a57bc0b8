"""Reflected flow matching: the unit box, from which no path leads out.

The box is convex, so that straight paths between its points stay in it; when the fitted field is followed, a step that
would lead out is reflected at the wall.

Reference: Xie et al., Reflected flow matching, ICML 2024, arXiv:2405.16577.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.generators.flow_paths import Geometry


class ReflectedBox(Geometry):
    """Points of [0, 1]^d; the base law is uniform."""

    def base(self, n: int, d: int, generator: torch.Generator) -> Tensor:
        """Draw uniform points."""
        return torch.rand((n, d), generator=generator)

    def way(self, start: Tensor, end: Tensor) -> Tensor:
        """Return the straight way."""
        return end - start

    def moved(self, x: Tensor, by: Tensor) -> Tensor:
        """Return where a displacement leads, reflected at each wall as often as needed."""
        x = x + by
        inside = (x >= 0.0) & (x <= 1.0)
        folded = 1.0 - (torch.remainder(x, 2.0) - 1.0).abs()
        return torch.where(inside, x, folded)

    def features(self, x: Tensor) -> Tensor:
        """Return the coordinates from -1 to 1."""
        return 2.0 * x - 1.0
