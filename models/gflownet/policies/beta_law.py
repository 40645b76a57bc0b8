"""Mixtures of Beta laws: their exact densities, and draws that a seed decides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.gflownet.policies.base import Exploration, PolicyDiverged, draw

_EDGE = 1e-16
"""A number that is nearer to 0 or 1 has the density of this distance."""


@dataclass(frozen=True)
class BetaLaw:
    """P mixtures of C Beta laws on [0, 1]; component 0 is Beta(1, b), under which all values are as likely.

    Attributes:
        logits: (P, C) float64, of the weights.
        alpha, beta: (P, C) float64, at least 1, so that every density is bounded.
    """

    logits: Tensor
    alpha: Tensor
    beta: Tensor

    def at(self, rows: Tensor) -> BetaLaw:
        """Return the mixtures at some rows (P',)."""
        return BetaLaw(self.logits[rows], self.alpha[rows], self.beta[rows])

    def log_density(self, z: Tensor) -> Tensor:
        """Return (P,) float64 of numbers (P,), differentiably in the parameters."""
        low = z.clamp(min=_EDGE).log()[:, None]
        high = (1.0 - z).clamp(min=_EDGE).log()[:, None]
        log_beta = self.alpha.lgamma() + self.beta.lgamma() - (self.alpha + self.beta).lgamma()
        parts = (self.alpha - 1.0) * low + (self.beta - 1.0) * high - log_beta
        return (self.logits.log_softmax(1) + parts).logsumexp(1)

    def explored(self, exploration: Exploration) -> BetaLaw:
        """Return the sampling law.

        Temperature T divides the logits of the weights, and takes each component to the power 1 / T, normalised again,
        which is Beta(1 + (alpha - 1) / T, 1 + (beta - 1) / T). Then a share epsilon goes to component 0 as it was.
        There is no stop action to favour.
        """
        if exploration.epsilon == 0.0 and exploration.temperature == 1.0:
            return self
        t, epsilon = exploration.temperature, exploration.epsilon
        shares = ((self.logits / t).softmax(1) * (1.0 - epsilon), torch.full_like(self.logits[:, :1], epsilon))
        return BetaLaw(
            torch.cat(shares, 1).log(),
            torch.cat([1.0 + (self.alpha - 1.0) / t, self.alpha[:, :1]], 1),
            torch.cat([1.0 + (self.beta - 1.0) / t, self.beta[:, :1]], 1),
        )

    def draw(self, generator: torch.Generator) -> Tensor:
        """Return (P,) float64, one number of each mixture.

        `torch` draws Betas from the global state only; numpy's exact sampler takes a seed, drawn from `generator`.

        Raises:
            PolicyDiverged: a parameter is not finite.
        """
        component = draw(self.logits, generator)[:, None]
        alpha, beta = self.alpha.gather(1, component)[:, 0], self.beta.gather(1, component)[:, 0]
        if not bool((alpha + beta).isfinite().all()):
            raise PolicyDiverged
        seed = int(torch.randint(2**62, (), generator=generator))
        return torch.from_numpy(np.random.default_rng(seed).beta(alpha.numpy(), beta.numpy()))
