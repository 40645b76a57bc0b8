"""Metropolis-adjusted Langevin moves: samples of a law near positions that are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

_RATE = {True: 0.574, False: 0.234}
"""Shares of accepted moves that are best in many dimensions, with and without a gradient."""
_CHANGE = 1.02


@torch.no_grad()
def langevin_moves(
    log_reward: Callable[[Tensor], Tensor],
    start: Tensor,
    generator: torch.Generator,
    *,
    gradient: Callable[[Tensor], Tensor] | None = None,
    moves: int,
    burn_in: int,
    size: float = 0.01,
) -> tuple[Tensor, Tensor]:
    """Move n chains m times and return where they came: positions (k, d) and their log-rewards (k,).

    x' = x + h grad log R(x) + sqrt(2 h) noise, accepted as Metropolis and Hastings say, which leaves R / Z unchanged;
    without a gradient it is the random walk. h, common to all chains, grows or shrinks by 2 % after each move towards
    the share of accepted moves that is best. Roberts and Tweedie, Bernoulli 2, 1996.

    Args:
        log_reward: (n, d) -> (n,).
        start: (n, d).
        generator: source of all randomness.
        gradient: of the log-reward, (n, d) -> (n, d); None: a random walk.
        moves: m.
        burn_in: moves of which nothing is returned; after each later one the position of every chain is, moved or not.
        size: the first h.
    """
    x, value = start, log_reward(start)
    slope = torch.zeros_like(x) if gradient is None else gradient(x)
    kept, values = [x[:0]], [value[:0]]
    for move in range(moves):
        noise = torch.randn(x.shape, generator=generator)
        new = x + size * slope + math.sqrt(2.0 * size) * noise
        new_value = log_reward(new)
        new_slope = slope if gradient is None else gradient(new)
        there = (new - x - size * slope).square().sum(1)
        back = (x - new - size * new_slope).square().sum(1)
        odds = new_value - value + ((there - back) / (4.0 * size)).to(value.dtype)
        accepted = torch.rand(len(x), generator=generator).log() < odds
        x = torch.where(accepted[:, None], new, x)
        value = torch.where(accepted, new_value, value)
        slope = torch.where(accepted[:, None], new_slope, slope)
        size *= _CHANGE if float(accepted.float().mean()) > _RATE[gradient is not None] else 1.0 / _CHANGE
        if move >= burn_in:
            kept.append(x)
            values.append(value)
    return torch.cat(kept), torch.cat(values)
