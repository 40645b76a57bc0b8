"""Bounds of log Z that a chain gives, from both sides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.diffusion.chain import Chain, Drift
from models.diffusion.targets import KnownTarget, Target
from models.threads import single_thread


@dataclass(frozen=True)
class Bounds:
    """What chains say of log Z; r = log R + sum log P_B - sum log P_F of a chain.

    Attributes:
        lower: mean of r over chains of the sampler (ELBO), at most log Z in expectation.
        weighted: log of the mean of e^r over the same chains, whose e-th power has the expectation Z.
        upper: mean of r over bridges to exact draws (EUBO), at least log Z in expectation.
        deviation: standard deviation of r over chains of the sampler; 0 where it is perfect.
    """

    lower: float
    weighted: float
    upper: float
    deviation: float

    @property
    def gap(self) -> float:
        """Upper less lower bound: the sum of both Kullback-Leibler divergences between the laws of chains."""
        return self.upper - self.lower


def log_weights(chain: Chain, drift: Drift, target: Target, places: Tensor) -> Tensor:
    """Return (n,) float64 log R + sum log P_B - sum log P_F of positions (T + 1, n, d)."""
    log_pf = chain.log_forward(places, drift(places[:-1], chain.times))
    balance = (chain.log_backward(places) - log_pf).double().sum(0)
    return target.log_reward(places[-1]).double() + balance


@torch.no_grad()
def bounds(chain: Chain, drift: Drift, target: KnownTarget, n: int, generator: torch.Generator) -> Bounds:
    """Return the bounds of n chains forwards, and of n backwards from exact draws."""
    with single_thread():
        drawn = log_weights(chain, drift, target, chain.forward(drift, n, generator))
        back = log_weights(chain, drift, target, chain.backward(target.sample(n, generator), generator))
    return Bounds(
        lower=float(drawn.mean()),
        weighted=float(drawn.logsumexp(0)) - math.log(n),
        upper=float(back.mean()),
        deviation=float(drawn.std()),
    )
