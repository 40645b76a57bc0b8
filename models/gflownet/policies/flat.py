"""Policies that give one logit per flat action: masking, sampling and scoring for any network of that form."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.policies.base import Answer, Exploration, Policy, behaviour, draw

S = TypeVar("S", bound=States)
SMALL = 48
"""Batches up to this size are not searched for equal states: that would cost more than it saves."""


@dataclass(frozen=True)
class Outputs:
    """What a network says of S states: forward logits (S, A), backward logits (S, n_backward), log-flow (S,)."""

    forward: Tensor
    backward: Tensor
    log_flow: Tensor


class FlatPolicy(Policy[S], Generic[S]):
    """A policy over flat actions. Subclasses implement `network`; equal states are judged once."""

    def __init__(self, env: Environment[S]) -> None:
        super().__init__()
        self.env = env

    @abstractmethod
    def network(self, states: S, condition: Tensor | None = None) -> Outputs:
        """Judge states, differentiably; illegal actions need no masking here."""

    def distinct(self, states: S, condition: Tensor | None) -> tuple[S, Tensor | None, Tensor]:
        """Return the distinct states with their conditions, and for each state its place among them (S,)."""
        every = torch.arange(len(states), device=states.done.device)
        if len(states) <= SMALL:
            return states, condition, every
        codes = self.env.codes(states)
        if condition is not None:
            rows = torch.unique(condition, dim=0, return_inverse=True)[1]
            codes = codes * (int(rows.max()) + 1) + rows
        where: Tensor = torch.unique(codes, return_inverse=True)[1]
        n = int(where.max()) + 1
        if n == len(states):
            return states, condition, every
        first = every.new_full((n,), len(states)).scatter_reduce(0, where, every, "amin")
        return states[first], None if condition is None else condition[first], where

    def log_probs(self, states: S, logits: Tensor) -> Tensor:
        """Return the log-probabilities (S, A) of forward logits (S, A); rows without a legal action stay finite."""
        mask = self.env.forward_mask(states)
        return logits.masked_fill(~mask & mask.any(1, keepdim=True), -torch.inf).log_softmax(1)

    def score(self, before: S, actions: Tensor, after: S | None, condition: Tensor | None = None) -> Answer:
        """Judge legal transitions in one packed pass over their distinct states."""
        joint = before if after is None else type(before).cat([before, after])
        if condition is not None and after is not None:
            condition = torch.cat([condition, condition])
        states, condition, where = self.distinct(joint, condition)
        out = self.network(states, condition)
        here = where[: len(before)]
        log_pf = self.log_probs(states, out.forward)[here, actions]
        backward = None if after is None else out.backward[where[len(before) :]]
        return Answer(log_pf, out.log_flow[here], backward)

    def state_values(self, states: S, condition: Tensor | None = None) -> Tensor:
        """Return the log-flow (S,), of terminal states too."""
        distinct, condition, where = self.distinct(states, condition)
        return self.network(distinct, condition).log_flow[where]

    def edge_values(self, before: S, actions: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the logit (P,) of each action, which any function of transitions can be."""
        distinct, condition, where = self.distinct(before, condition)
        return self.network(distinct, condition).forward[where, actions]

    @torch.no_grad()
    def sample(
        self, states: S, generator: torch.Generator, exploration: Exploration, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw actions (S,) from the policy, explored; with their log-probabilities (S,)."""
        distinct, condition, where = self.distinct(states, condition)
        logits = self.network(distinct, condition).forward
        logits = logits.masked_fill(~self.env.forward_mask(distinct), -torch.inf)
        law = behaviour(logits, exploration, self.env.stop)[where]
        actions = draw(law, generator)
        return actions, law.gather(1, actions[:, None])[:, 0]

    def backward_logits(self, states: S, condition: Tensor | None = None) -> Tensor:
        """Return (S, n_backward) logits."""
        distinct, condition, where = self.distinct(states, condition)
        return self.network(distinct, condition).backward[where]
