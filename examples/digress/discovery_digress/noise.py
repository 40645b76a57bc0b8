"""Noise on a category that forgets it step by step, keeping the data's shares, and the way back.

Reference: Vignac et al., DiGress: Discrete denoising diffusion for graph generation, ICLR 2023. One step is
Q_t = a_t I + (1 - a_t) 1 m^T with m the shares of the categories in the data, so that t steps are
Q_1 ... Q_t = A_t I + (1 - A_t) 1 m^T with A_t = a_1 ... a_t. Back,
p(z | x_t) = sum over x_0 of q(z | x_t, x_0) p(x_0 | x_t), where by Bayes' rule
q(z | x_t, x_0) = Q_t[z, x_t] (Q_1 ... Q_{t-1})[x_0, z] / (Q_1 ... Q_t)[x_0, x_t].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_OFFSET = 0.008
"""Of the cosine schedule, so that the first steps are not too small."""


def schedule(steps: int) -> Tensor:
    """Return A_0 = 1, A_1, ..., A_T = 0, shape `(steps + 1,)`, float64: squares of a cosine."""
    at = (torch.arange(steps + 1, dtype=torch.float64) / steps + _OFFSET) / (1.0 + _OFFSET)
    kept = torch.cos(0.5 * math.pi * at) ** 2
    kept = kept / kept[0]
    kept[-1] = 0.0  # the cosine of a right angle is not quite nothing in floating point
    return kept


class Noise:
    """Categories that are lost.

    Args:
        shares: of the K categories in the data, all positive.
        steps: T, after which nothing of the data is left.

    Raises:
        ValueError: a share is not positive.
    """

    def __init__(self, shares: Tensor, steps: int) -> None:
        if not bool((shares > 0).all()):
            raise ValueError(f"Each category needs a positive share of the data; got {shares.tolist()}.")
        self.shares = shares.double() / shares.double().sum()
        self.kept = schedule(steps)

    @property
    def steps(self) -> int:
        """T."""
        return len(self.kept) - 1

    def step(self, t: int) -> Tensor:
        """Return Q_t `(K, K)`, rows from, columns to, for t from 1 to T."""
        return self._kernel(float(self.kept[t] / self.kept[t - 1]))

    def until(self, t: int) -> Tensor:
        """Return Q_1 ... Q_t `(K, K)`; the identity for t = 0."""
        return self._kernel(float(self.kept[t]))

    def posterior(self, t: int) -> Tensor:
        """Return q(z | x_t, x_0) for the state z one step before x_t, shape `(x_t, x_0, z)`."""
        joint = self.step(t).T[:, None, :] * self.until(t - 1)[None, :, :]
        return joint / self.until(t).T[:, :, None]

    def spoil(self, x0: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        """Draw x_t given x_0.

        Args:
            x0: categories `(B, ...)`.
            t: steps `(B,)`.
            generator: source of the draws.
        """
        kept = self.kept[t].view(-1, *[1] * (x0.dim() - 1))
        stays = torch.rand(x0.shape, generator=generator, dtype=torch.float64) < kept
        return torch.where(stays, x0, self.forgotten(tuple(x0.shape), generator))

    def forgotten(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw categories of which nothing is known."""
        return draw(self.shares.expand(*shape, -1), generator)

    def back(self, xt: Tensor, guess: Tensor, t: int, generator: torch.Generator) -> Tensor:
        """Draw the state before x_t.

        Args:
            xt: categories `(...)`.
            guess: p(x_0 | x_t), `(..., K)`.
            t: the step of x_t.
            generator: source of the draws.
        """
        law = torch.einsum("...k,...kz->...z", guess, self.posterior(t).to(guess.dtype)[xt])
        return draw(law, generator)

    def _kernel(self, kept: float) -> Tensor:
        k = len(self.shares)
        return kept * torch.eye(k, dtype=torch.float64) + (1.0 - kept) * self.shares.expand(k, k)


def draw(law: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a category from each law `(..., K)`; a category without probability is never drawn."""
    bounds = law.double().cumsum(-1)
    place = torch.rand(law.shape[:-1], generator=generator, dtype=torch.float64) * bounds[..., -1]
    return (bounds <= place[..., None]).sum(-1).clamp(max=law.shape[-1] - 1)
