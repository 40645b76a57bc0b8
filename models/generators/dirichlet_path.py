"""The Dirichlet path: a letter is a point of the simplex that goes from anywhere to the letter's corner.

At the time t the law of the point x of a letter e_i is Dir(1 + t e_i): uniform at first, and near the corner at t = 8.
The velocity that carries these laws into each other points to the corner, `u(x) = C(x_i, t) (e_i - x)`. x_i follows
Beta(t + 1, K - 1), whose distribution function I is carried along: C(x_i, t) (1 - x_i) times its density is -dI/dt, or

    C(x, t) = -d/da I_x(a, K - 1) at a = t + 1,  times B(t + 1, K - 1) / ((1 - x)^(K - 1) x^t).

What is followed mixes the velocities of all letters by their posterior given the points of all places. A row ends with
letters drawn from that posterior at the last time, where few are in doubt. The likelihood of letter i is x_i^t.

Reference: Stark et al., Dirichlet flow matching with applications to DNA sequence design, ICML 2024, arXiv:2402.05841.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import digamma
from torch import Tensor
from torch.nn.functional import one_hot

from data.records import FloatArray
from models.generators.letter_paths import LetterPath, Reader

LAST = 8.0
"""Time at which the path ends."""
_NODES = 64
_CELLS = 1000


class DirichletPath(LetterPath):
    """Letters come out of points of the simplex."""

    def noised(self, letters: Tensor, kinds: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw points at times that are uniform over rows; all places are learnt from."""
        t = LAST * torch.rand((len(letters), 1, 1), generator=generator)
        x = torch._sample_dirichlet(1.0 + t * one_hot(letters, kinds), generator)
        return _likelihoods(x, t), torch.ones(letters.shape, dtype=torch.bool)

    @torch.no_grad()
    def followed(self, read: Reader, n: int, length: int, kinds: int, steps: int, generator: torch.Generator) -> Tensor:
        """Follow the velocities from uniform points by Euler's rule; draw the letters at the end."""
        x = torch._sample_dirichlet(torch.ones((n, length, kinds)), generator)
        edges = np.linspace(0.0, 1.0, _CELLS + 1) ** 2  # the speed has no derivative at 0
        for step in range(steps):
            t = LAST * step / steps
            posterior = read(_likelihoods(x, t)).softmax(2)
            pull = posterior * _between(torch.from_numpy(speed(edges, t, kinds)).float(), x)
            x = (x + LAST / steps * (pull - x * pull.sum(2, keepdim=True))).clamp(min=0.0)
            x = x / x.sum(2, keepdim=True)
        weights = read(_likelihoods(x, LAST)).softmax(2).flatten(0, 1)
        return torch.multinomial(weights, 1, generator=generator).view(n, length)


def _likelihoods(x: Tensor, t: Tensor | float) -> Tensor:
    return (t * x.clamp(min=1e-20).log()).softmax(-1)


def _between(values: Tensor, x: Tensor) -> Tensor:
    """Return values at x by straight lines between those at squares of even steps."""
    place = x.sqrt() * _CELLS
    cell = place.long().clamp(max=_CELLS - 1)
    return torch.lerp(values[cell], values[cell + 1], place - cell)


def speed(x: FloatArray, t: float, kinds: int) -> FloatArray:
    """Return C(x, t) of coordinates between 0 and 1, any shape.

    The derivative of I is an integral of `u^t (1 - u)^(K - 2) (ln u - E ln U)`, which changes its sign once. From 0 to
    x or from x to 1, whichever has one sign, nothing cancels and no factor of C under- or overflows.

    Args:
        x: coordinates of the letter.
        t: time, not negative.
        kinds: letters K, at least 2.
    """
    x = np.asarray(x, dtype=np.float64)
    m = kinds - 1
    mean = float(digamma(t + 1.0) - digamma(t + kinds))
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    nodes, weights = 0.5 * (nodes + 1.0), 0.5 * weights
    lower = x[..., None] < np.exp(mean)
    below, above = np.where(lower, x[..., None], 0.5), np.where(lower, 0.5, x[..., None])
    # u = x s below, with s = w^4 for the sake of the logarithm; u = 1 - (1 - x) s above.
    s = nodes**4
    small = s**t * ((1.0 - below * s) / (1.0 - below)) ** (m - 1) * (np.log(below.clip(1e-300)) + np.log(s) - mean)
    left = -below[..., 0] / (1.0 - below[..., 0]) * (small @ (4.0 * nodes**3 * weights))
    u = 1.0 - (1.0 - above) * nodes
    right = ((u / above) ** t * nodes ** (m - 1) * (np.log(u) - mean)) @ weights
    return np.asarray(np.where(lower[..., 0], left, right))
