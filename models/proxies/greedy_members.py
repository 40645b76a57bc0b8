"""Members of an ensemble one after the other, each rewarded for differing from those before it.

With k members there, the next one maximises, beside its fit to the data,

    d = -k log mean over j <= k of exp(-mean_x min((f(x) - f_j(x))^2, 4) / k),

x being training inputs moved by noise: far from the data there is nothing to fit, and members that agree there by
accident would be sure of what they do not know. It is a soft minimum of the distances to the members before, so that
no one of them may be repeated; the best addition to a set whose spread has diminishing returns is within 1 - 1/e of
the best set.

In the paper squares are not limited. A network then gains without end by growing where no data hold it; here it gains
nothing beyond two standard deviations of the target. The constants, which the paper leaves to its weight, make d the
mean square where all distances are equal.

Reference: Tiulpin and Blaschko, Greedy Bayesian posterior approximation with deep ensembles, TMLR (2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from models.proxies.networks import BatchedMlp

LIMIT = 4.0
"""Squared differences of standardised predictions count up to this."""


def distinctness(one: BatchedMlp, before: BatchedMlp, x: Tensor) -> Tensor:
    """Return d of a member and k >= 1 members before it, which are not trained.

    Args:
        one: a network of one member.
        before: a network of k members.
        x: shape `(n, d)`.
    """
    with torch.no_grad():
        theirs = before(x)
    squares = (one(x) - theirs).square().clamp_max(LIMIT).mean((1, 2))
    k = len(squares)
    return -k * (torch.logsumexp(-squares / k, 0) - math.log(k))


def some_members(network: BatchedMlp, places: Sequence[int]) -> BatchedMlp:
    """Return a network with copies of some members of another one."""
    state = network.state_dict()
    weights = [state[f"layers.{i}.weight"] for i in range(len(network.layers))]
    widths = [weights[0].shape[1], *(weight.shape[2] for weight in weights)]
    made = BatchedMlp(len(places), widths, torch.Generator())
    made.load_state_dict({name: one[list(places)].clone() for name, one in state.items()})
    return made


def put_member(network: BatchedMlp, place: int, one: BatchedMlp) -> None:
    """Write a network of one member into its place in another one."""
    own = one.state_dict()
    with torch.no_grad():
        for name, weights in network.named_parameters():
            weights[place] = own[name][0]
