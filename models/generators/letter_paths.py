"""Flow matching on letters: a network learns what letters noise hides, and a path from noise to data is followed by it.

A path draws, for letters x1 of the data, what of them is left at a random time; each place is noised for itself. All
that is seen of a place then says how likely each letter is, w_l(a) = p(seen | a) up to a factor, and the posterior of
x1 depends on these likelihoods only: `p(x1 | seen) ~ p(x1) prod_l w_l(x1_l)`. One network of w serves any path and any
time. It is fitted by cross entropy, and its logits begin at log w, which is exact where places are independent.

References: Gat et al., Discrete flow matching, NeurIPS 2024, arXiv:2407.15595 (a posterior of the data decides the
velocity); Campbell et al., ICML 2024, arXiv:2402.04997.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.gflownet.policies.base import initialise

Reader = Callable[[Tensor], Tensor]
"""Likelihoods of letters (n, L, K) -> logits (n, L, K) of the letters of the data."""
_LEAST = 1e-8


class LetterNetwork(nn.Module):
    """SiLU network of the likelihoods of all places.

    Args:
        length: places L.
        letters: kinds of letters K.
        hidden: widths of the hidden layers.
        generator: source of the initial weights.
    """

    def __init__(self, length: int, letters: int, hidden: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.length, self.letters = length, letters
        width = length * letters
        with torch.device("meta"):
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([width, *hidden, width]))
        self.to_empty(device="cpu")
        initialise(self, generator)

    def forward(self, likelihoods: Tensor) -> Tensor:
        """Return logits (n, L, K) of likelihoods (n, L, K) that sum to one at each place."""
        x = (self.letters * likelihoods - 1.0).flatten(1)
        for layer in list(self.layers)[:-1]:
            x = nn.functional.silu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out.view_as(likelihoods) + likelihoods.clamp(min=_LEAST).log()


class LetterPath(ABC):
    """How letters come out of noise."""

    @abstractmethod
    def noised(self, letters: Tensor, kinds: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw what is left of letters (n, L) at a random time each.

        Returns:
            Likelihoods (n, L, kinds), which sum to one; and which places are to be learnt from, bool (n, L).
        """

    @abstractmethod
    def followed(self, read: Reader, n: int, length: int, kinds: int, steps: int, generator: torch.Generator) -> Tensor:
        """Follow the path from noise by the posterior of a reader; return n rows of letters, int64 (n, length)."""


def fit_letters(
    network: LetterNetwork,
    path: LetterPath,
    data: Tensor,
    generator: torch.Generator,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    spread: float = 0.0,
    replaceable: int | None = None,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Fit a network to data in place, by the cross entropy of hidden letters.

    Args:
        network: what is trained.
        path: that hides letters.
        data: (N, L) int64.
        generator: source of all randomness.
        steps: of Adam, whose rate falls to zero along a cosine.
        batch_size: rows per step.
        learning_rate: at first.
        spread: probability of each letter to be drawn anew, so that what is learnt goes beyond the data.
        replaceable: letters below this number are drawn anew, by such; None: all.
        report: called after each step with its number and loss.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    count = network.letters if replaceable is None else replaceable
    for step in range(steps):
        end = data[torch.randint(len(data), (batch_size,), generator=generator)]
        if spread:
            anew = (torch.rand(end.shape, generator=generator) < spread) & (end < count)
            end = torch.where(anew, torch.randint(count, end.shape, generator=generator), end)
        likelihoods, learnt = path.noised(end, network.letters, generator)
        losses = nn.functional.cross_entropy(network(likelihoods).transpose(1, 2), end, reduction="none")
        loss = (losses * learnt).sum() / learnt.sum().clamp(min=1)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        report(step + 1, loss.item())
