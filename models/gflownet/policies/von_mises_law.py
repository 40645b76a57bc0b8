"""Mixtures of products of von Mises laws: their exact densities, and draws that a seed decides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.gflownet.environments.torus import Torus, TorusStates
from models.gflownet.policies.base import Exploration, PolicyDiverged, draw

CONCENTRATIONS = (0.01, 1e3)
"""Bounds of the concentration, so that densities are bounded: a standard deviation of 0.03 at the least."""
_LOG_TURN = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class VonMisesLaw:
    """P mixtures of C laws of m angles, each a product of von Mises laws; component 0 is uniform.

    The density of an angle is exp(kappa (cos(x - mean) - 1)) / (2 pi I0e(kappa)), I0e(k) = exp(-k) I0(k): with the
    exponentially scaled Bessel function nothing overflows.

    Attributes:
        logits: (P, C) float64, of the weights.
        mean: (P, m, C) float64, angles of any size.
        kappa: (P, m, C) float64, concentrations.
    """

    logits: Tensor
    mean: Tensor
    kappa: Tensor

    @staticmethod
    def width(components: int, angles: int) -> int:
        """Return how many numbers decide a law of so many components, beside the uniform one, and angles."""
        return components + 1 + 2 * components * angles

    @staticmethod
    def of(heads: Tensor, angles: int) -> VonMisesLaw:
        """Return the law that numbers (P, width) of any size decide."""
        heads = heads.double()
        k = (heads.shape[1] - 1) // (2 * angles + 1)
        logits = heads[:, : k + 1]
        mean, narrow = heads[:, k + 1 :].view(len(heads), 2, angles, k).unbind(1)
        low, high = map(math.log, CONCENTRATIONS)
        none = torch.zeros_like(mean[:, :, :1])
        kappa = (low + (high - low) * narrow.sigmoid()).exp()
        return VonMisesLaw(logits, torch.cat([none, mean], 2), torch.cat([none, kappa], 2))

    @staticmethod
    def uniform(n: int, angles: int) -> VonMisesLaw:
        """Return n times the uniform law."""
        none = torch.zeros((n, angles, 1), dtype=torch.float64)
        return VonMisesLaw(none[:, 0], none, none)

    def log_density(self, x: Tensor) -> Tensor:
        """Return (P,) float64 of angles (P, m), differentiably in the parameters."""
        parts = self.kappa * ((x[:, :, None] - self.mean).cos() - 1.0) - torch.special.i0e(self.kappa).log() - _LOG_TURN
        out: Tensor = (self.logits.log_softmax(1) + parts.sum(1)).logsumexp(1)
        return out

    def explored(self, exploration: Exploration) -> VonMisesLaw:
        """Return the sampling law.

        Temperature T divides the logits of the weights, and takes each component to the power 1 / T, normalised again,
        which has the concentrations kappa / T. Then a share epsilon goes to the uniform law. There is no stop action to
        favour.
        """
        if exploration.epsilon == 0.0 and exploration.temperature == 1.0:
            return self
        t, epsilon = exploration.temperature, exploration.epsilon
        none = torch.zeros_like(self.mean[:, :, :1])
        shares = ((self.logits / t).softmax(1) * (1.0 - epsilon), torch.full_like(self.logits[:, :1], epsilon))
        return VonMisesLaw(
            torch.cat(shares, 1).log(),
            torch.cat([self.mean, none], 2),
            torch.cat([self.kappa / t, none], 2),
        )

    def draw(self, generator: torch.Generator) -> Tensor:
        """Return (P, m) float64 in [-pi, pi], the angles of one component of each mixture.

        `torch` draws von Mises angles from the global state only; numpy's sampler takes a seed, drawn from `generator`.

        Raises:
            PolicyDiverged: a parameter is not finite.
        """
        component = draw(self.logits, generator)[:, None, None].expand(-1, self.mean.shape[1], 1)
        mean, kappa = self.mean.gather(2, component)[:, :, 0], self.kappa.gather(2, component)[:, :, 0]
        if not bool((mean + kappa).isfinite().all()):
            raise PolicyDiverged
        seed = int(torch.randint(2**62, (), generator=generator))
        return torch.from_numpy(np.random.default_rng(seed).vonmises(mean.numpy(), kappa.numpy()))


@dataclass(frozen=True)
class WayBack:
    """The backward law of S states of the torus: from the first step to the source for certain, else with a density.

    Attributes:
        law: of the increments that are taken back, of all S states.
        first: (S,) bool, whether one step was taken.
        home: (S, m) the increments that lead to the source.
    """

    law: VonMisesLaw
    first: Tensor
    home: Tensor

    @staticmethod
    def of(env: Torus, states: TorusStates, heads: Tensor | None) -> WayBack:
        """Return the law that the numbers (S, width) of a network decide; the uniform one for None."""
        law = VonMisesLaw.uniform(len(states), env.angles) if heads is None else VonMisesLaw.of(heads, env.angles)
        return WayBack(law, states.time == 1, env.theta(states))

    def log_density(self, actions: Tensor) -> Tensor:
        """Return (S,) float64 of increments (S, m)."""
        return self.law.log_density(actions).masked_fill(self.first, 0.0)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Return increments (S, m)."""
        return torch.where(self.first[:, None], self.home, self.law.draw(generator))
