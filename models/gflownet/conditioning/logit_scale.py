"""Logit scaling: the temperature acts on the logits through one positive number."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.gflownet.environments.base import States
from models.gflownet.policies.base import initialise
from models.gflownet.policies.flat import FlatPolicy, Outputs

S = TypeVar("S", bound=States)


class LogitScale(nn.Module):
    """g(condition) > 0: softplus of a small network of the encoded condition; 1 for all conditions at the start.

    Kim et al., Learning to scale logits for temperature-conditional GFlowNets, ICML 2024, arXiv:2310.02823.

    Args:
        conditions: numbers in the encoded condition, C.
        generator: source of the initial weights.
        hidden: width of the two hidden layers.
    """

    def __init__(self, conditions: int, generator: torch.Generator, *, hidden: int = 32) -> None:
        super().__init__()
        with torch.device("meta"):
            self.network = nn.Sequential(
                nn.Linear(conditions, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
            )
        self.to_empty(device="cpu")
        initialise(self.network, generator)
        last = self.network[-1]
        with torch.no_grad():
            last.weight.zero_()  # type: ignore[operator]
            last.bias.fill_(math.log(math.expm1(1.0)))  # type: ignore[operator]

    def forward(self, condition: Tensor) -> Tensor:
        """Return (n, 1), positive, of encoded conditions (n, C)."""
        return functional.softplus(self.network(condition))


class LogitScaledPolicy(FlatPolicy[S], Generic[S]):
    """Forward logits g(condition) f(state): an unconditional policy, sharpened or flattened by the condition.

    Backward logits and flows do not see the condition, so it is for objectives that learn no flow but log Z
    (trajectory balance, log-partition variance).

    Args:
        base: the policy f, which is not given the condition.
        scale: the positive factor g.
    """

    def __init__(self, base: FlatPolicy[S], scale: LogitScale) -> None:
        super().__init__(base.env)
        self.base, self.scale = base, scale

    def network(self, states: S, condition: Tensor | None = None) -> Outputs:
        """Judge states, differentiably.

        Raises:
            ValueError: there is no condition.
        """
        if condition is None:
            raise ValueError("A policy with scaled logits needs a condition for every state; got none.")
        out = self.base.network(states, None)
        return Outputs(out.forward * self.scale(condition), out.backward, out.log_flow)
