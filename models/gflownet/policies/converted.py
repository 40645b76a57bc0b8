"""What a policy for each object makes of a reward: a policy that samples it, without training."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import Tensor

from models.gflownet.environments.base import States
from models.gflownet.policies.flat import FlatPolicy, Outputs

S = TypeVar("S", bound=States)

_ROWS = 20_000
"""Pairs of a state and an object that are judged at a time."""


class ConvertedPolicy(FlatPolicy[S], Generic[S]):
    """The policy of a reward r over K objects y, made of flows towards each of them.

        P(s' | s) = sum_y r(y) F(s | y) P(s' | s, y) / sum_y r(y) F(s | y),    F(source | y) = 1.

    The logit of an action is the log of its term of the numerator, and their sum is the flow of r through the state.
    Where flows are exact, objects are drawn in proportion to r, and no others: what else is drawn comes of the network.

    Reference: Pan et al., Pre-training and fine-tuning generative flow networks, ICLR 2024, arXiv:2310.03419.

    Args:
        policy: conditioned on objects; its weights are not touched.
        conditions: (K, C) encoded, what the policy sees of each object.
        log_reward: (K,) of the objects.
    """

    def __init__(self, policy: FlatPolicy[S], conditions: Tensor, log_reward: Tensor) -> None:
        super().__init__(policy.env)
        self._towards = (policy,)  # in a tuple: its weights are not this policy's
        self._conditions = conditions
        self._log_weight = (log_reward.double() - log_reward.double().max())[:, None]

    @torch.no_grad()
    def network(self, states: S, condition: Tensor | None = None) -> Outputs:
        """Judge states; a condition makes no difference, and backward logits are zeros."""
        del condition
        step = max(1, _ROWS // len(self._conditions))
        parts = [self._numerators(states[at : at + step]) for at in range(0, len(states), step)]
        logits = torch.cat(parts) if parts else torch.zeros((0, self.env.n_actions), dtype=torch.float64)
        backward = torch.zeros((len(states), self.env.n_backward))
        return Outputs(logits, backward, logits.logsumexp(1))

    def _numerators(self, states: S) -> Tensor:
        """Return log sum_y r(y) F(s | y) P(s' | s, y), (S, A), -inf where illegal; rows of terminal states are 0."""
        (policy,) = self._towards
        n, k = len(states), len(self._conditions)
        repeated = states[torch.arange(n, device=states.done.device).repeat_interleave(k)]
        answer = policy.network(repeated, self._conditions.repeat(n, 1))
        log_pf = policy.log_probs(repeated, answer.forward).double().view(n, k, -1)
        source = self.env.is_source(states)
        log_flow = torch.where(source[:, None], 0.0, answer.log_flow.double().view(n, k))
        numerators = (log_pf + log_flow[:, :, None] + self._log_weight).logsumexp(1)
        return torch.where(states.done[:, None], 0.0, numerators)
