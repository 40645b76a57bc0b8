"""One policy for all directions of objective space: objects are rewarded inside a cone around the one asked for."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from models.gflownet.conditioning.objectives import OfObjectives
from models.gflownet.conditioning.thermometer import thermometer


class FocusRegion(OfObjectives):
    """R(x | u, beta) = (cos(r, u)^g sum_k r_k(x))^beta where cos(r, u) is at least `cosine`, else next to nothing.

    u is a direction of objective space, drawn evenly from the positive part of the unit sphere; r(x) is the vector of K
    rewards. The power g is such that the factor is `limit` at the rim, so that there is something to climb inside the
    cone. A direction reaches the members of a front that lie there, whether the front is convex or not, and says which
    trade-off comes out, where a preference under a weighted sum says which it is worth.

    Few random objects lie in a narrow cone. So a share of what is replayed is taken for an answer to the direction that
    it lies in itself: hindsight, as for goals of reinforcement learning (Andrychowicz et al., arXiv:1707.01495). The
    raw condition (n, K) is the direction, of length one; with a law of beta there is one more column, beta.
    """

    kind: ClassVar[str] = "focus_region"
    cites: ClassVar[tuple[str, ...]] = ("roy2023goal", "andrychowicz2017her")

    class Options(OfObjectives.Options):
        """Width of the cone, and what is rewarded inside and outside."""

        cosine: float = Field(0.98, gt=0, lt=1, description="Least cosine between an object's rewards and a direction.")
        limit: float = Field(0.1, gt=0, le=1, description="Factor at the rim of the cone; it is 1 on the axis.")
        outside: float = Field(-15.0, lt=0, description="Log-reward outside the cone, and the least inside.")
        hindsight: float = Field(
            0.5, ge=0, le=1, description="Share of the replayed objects that are shown the direction they lie in."
        )

    def draw_trade_offs(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n directions (n, K), float64."""
        normal = torch.randn((n, self.objectives), generator=generator, dtype=torch.float64)
        return normalize(normal.abs(), dim=1)

    def trade_offs_of(self, weights: Tensor) -> Tensor:
        """Return the directions (n, K) of weights (n, K) that sum to one."""
        return normalize(weights, dim=1)

    def encode_trade_offs(self, raw: Tensor) -> Tensor:
        """Return the thermometer encodings (n, K, bins) of directions (n, K).

        Raises:
            ValueError: one is not of length one, or has negative parts.
        """
        length = raw.norm(dim=1)
        if bool(((length - 1.0).abs() > 1e-4).any()):
            raise ValueError(f"A direction must be of length one; got lengths up to {length.max().item():.4g}.")
        return thermometer(raw, 0.0, 1.0, self.options.bins)

    def scalarised(self, values: Tensor, raw: Tensor, beta: Tensor | float) -> Tensor:
        """Return the log-rewards (n,) of log r (n, K), directions (n, K) and beta."""
        total = values.logsumexp(1)
        # Of log r: subtracting the largest changes no angle, and keeps rewards that underflow apart.
        shape = normalize((values - values.amax(1, keepdim=True)).exp().nan_to_num(0.0), dim=1)
        cosine = (shape * raw).sum(1)
        power = math.log(self.options.limit) / math.log(self.options.cosine)
        inside = beta * (power * cosine.clamp(min=1e-9, max=1.0).log() + total)
        least = self.options.outside
        return torch.where(cosine >= self.options.cosine, inside.clamp(min=least), least)

    def in_hindsight(self, values: Tensor, raw: Tensor, generator: torch.Generator) -> Tensor:
        """Return conditions (n, C0) of which a share, drawn at random, has the directions of objects, log r (n, K)."""
        own = normalize((values.double() - values.double().amax(1, keepdim=True)).exp().nan_to_num(0.0), dim=1)
        chosen = torch.rand(len(values), generator=generator) < self.options.hindsight
        chosen &= own.norm(dim=1) > 0.5  # an object without any reward lies nowhere
        k = self.objectives
        return torch.cat([torch.where(chosen[:, None], own, raw[:, :k]), raw[:, k:]], 1)
