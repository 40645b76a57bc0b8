"""The untrained forward policies that need no network."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import Tensor

from models.gflownet.environments.base import States
from models.gflownet.environments.fragments import STOP, FragmentEnvironment, FragmentStates
from models.gflownet.policies.base import Answer, Exploration, Policy, draw
from models.gflownet.policies.flat import FlatPolicy, Outputs

S = TypeVar("S", bound=States)


class UniformFragments(Policy[FragmentStates]):
    """Uniform over the stages: a root; then stop or an open site; then an attachment that is legal there."""

    def __init__(self, env: FragmentEnvironment) -> None:
        super().__init__()
        self._env = env

    def sample(
        self,
        states: FragmentStates,
        generator: torch.Generator,
        exploration: Exploration,
        condition: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw legal actions (S,) with their log-probabilities; exploration and condition make no difference."""
        del exploration, condition
        env = self._env
        root = draw(_logits(env.tables.root_ok.expand(len(states), -1)), generator)
        started = states.nodes > 0
        actions = torch.where(started, STOP, 1 + root)
        places = torch.cat([env.may_stop(states)[:, None], env.fillable(states).flatten(1)], 1)
        place = torch.zeros_like(actions)
        place[started] = draw(_logits(places[started]), generator)
        grow = (place > 0).nonzero()[:, 0]
        node, site = (place[grow] - 1) // env.tables.n_sites, (place[grow] - 1) % env.tables.n_sites
        attachment = draw(_logits(env.attachable(states[grow], node, site)), generator)
        actions[grow] = env.encode(node, site, attachment)
        return actions, self.score(states, actions, None).log_pf

    def score(
        self, before: FragmentStates, actions: Tensor, after: FragmentStates | None, condition: Tensor | None = None
    ) -> Answer:
        """Return the log-probabilities of legal transitions; flows and backward logits are zero."""
        del condition
        env = self._env
        log_pf = torch.full((len(before),), -float(env.tables.root_ok.sum().log()))
        started = (before.nodes > 0).nonzero()[:, 0]
        places = env.fillable(before[started]).flatten(1).sum(1) + env.may_stop(before[started]).long()
        log_pf[started] = -places.log()
        grow = (actions > env.n_fragments).nonzero()[:, 0]
        node, site, _ = env.split(actions[grow])
        log_pf[grow] -= env.attachable(before[grow], node, site).sum(1).log()
        logits = None if after is None else self.backward_logits(after)
        return Answer(log_pf, torch.zeros_like(log_pf), logits)

    def backward_logits(self, states: FragmentStates, condition: Tensor | None = None) -> Tensor:
        """Return zeros (S, n_backward)."""
        del condition
        return torch.zeros((len(states), self._env.n_backward))


class UniformFlat(FlatPolicy[S], Generic[S]):
    """Uniform over the legal flat actions, forwards and backwards."""

    def network(self, states: S, condition: Tensor | None = None) -> Outputs:
        """Return zeros."""
        del condition
        zeros = torch.zeros((len(states), self.env.n_actions + self.env.n_backward), device=states.done.device)
        return Outputs(zeros[:, : self.env.n_actions], zeros[:, self.env.n_actions :], zeros[:, 0])


def _logits(mask: Tensor) -> Tensor:
    return torch.where(mask, 0.0, -torch.inf)
