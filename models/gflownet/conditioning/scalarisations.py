"""K rewards as one, under weights: what a preference between objectives means.

Rewards are positive, larger being better, the best that can be hoped for being about 1; they are given as logarithms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

Scalarisation = Literal["weighted_sum", "product", "chebyshev"]


def weighted_sum(values: Tensor, weights: Tensor) -> Tensor:
    """Return log sum_k w_k r_k, (n,), of log r (n, K) and weights (n, K) that sum to one.

    Of a concave front it prefers the ends under every weight: between them lies no member, only a mixture of both.

    Reference: Jain et al., Multi-objective GFlowNets, ICML 2023, arXiv:2210.12765, section 3.
    """
    return (weights.log() + values).logsumexp(1)


def product(values: Tensor, weights: Tensor) -> Tensor:
    """Return sum_k w_k log r_k, (n,), of log r (n, K) and weights (n, K): the weighted geometric mean.

    What is without weight does not count, whatever it is. It reaches the members of a front that is convex in the
    logarithms of the rewards.

    Reference: Jain et al., as above (weighted-log-sum).
    """
    return torch.where(weights > 0, weights * values, 0.0).sum(1)


def chebyshev(values: Tensor, weights: Tensor) -> Tensor:
    """Return log(1 - max_k v_k (1 - r_k)), (n,), v = w / max w, of log r (n, K) and weights (n, K).

    The shortfall from the ideal 1 of the objective that is worst off under the weights. Every member of a front is the
    best under some weights, of a concave one too. A shortfall of 1 and more is a reward of zero.

    The code of Jain et al. takes min_k w_k r_k. That is zero for all objects as soon as a weight is, and where it is
    not, more weight on an objective makes less of it: the best has w_1 r_1 = w_2 r_2.

    Reference: Steuer and Choo, Math. Programming 26 (1983); Miettinen, Nonlinear Multiobjective Optimization (1999),
    section 3.4.
    """
    relative = weights / weights.amax(1, keepdim=True)
    return (1.0 - (relative * -values.expm1()).amax(1)).clamp(min=0.0).log()


SCALARISATIONS: Mapping[Scalarisation, Callable[[Tensor, Tensor], Tensor]] = {
    "weighted_sum": weighted_sum,
    "product": product,
    "chebyshev": chebyshev,
}
