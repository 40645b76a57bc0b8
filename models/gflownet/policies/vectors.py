"""Policies over vectors: a mixture of Betas for a real variable, logits for one of levels."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from models.gflownet.environments.vectors import Vectors, VectorStates
from models.gflownet.policies.base import ON_POLICY, Answer, Exploration, Policy, behaviour, draw
from models.gflownet.policies.beta_law import BetaLaw


@dataclass(frozen=True)
class VectorOutputs:
    """What a policy says of the next number of S states; a state needs the law or the logits only.

    Attributes:
        law: S mixtures, of the share of what is left for the number (of the number itself for a plain real).
        logits: (S, L) of levels, L the most that a variable has; those beyond the variable's own are not looked at.
        log_flow: (S,).
    """

    law: BetaLaw
    logits: Tensor
    log_flow: Tensor


class VectorPolicy(Policy[VectorStates]):
    """Densities of reals and probabilities of levels, exact: one trajectory leads to each object."""

    def __init__(self, env: Vectors) -> None:
        super().__init__()
        self.env = env
        self.most = int(env.levels.max())

    @abstractmethod
    def outputs(self, states: VectorStates, condition: Tensor | None) -> VectorOutputs:
        """Judge states that are not terminal, differentiably."""

    def score(
        self, before: VectorStates, actions: Tensor, after: VectorStates | None, condition: Tensor | None = None
    ) -> Answer:
        """Return log-densities of reals, log-probabilities of levels; there is but one backward action."""
        out = self.outputs(before, condition)
        log_pf = self._log_prob(before, out, actions, ON_POLICY)
        return Answer(log_pf, out.log_flow.double(), None if after is None else self.backward_logits(after))

    @torch.no_grad()
    def sample(
        self,
        states: VectorStates,
        generator: torch.Generator,
        exploration: Exploration,
        condition: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw the next numbers (S,), explored, with their log-densities or log-probabilities (S,)."""
        out = self.outputs(states, condition)
        actions = torch.zeros(len(states), dtype=torch.float64)
        real, level = self._kinds(states)
        if len(real):
            share = _rows(out.law, real).explored(exploration).draw(generator)
            actions[real] = share * self.env.room(states[real])
        if len(level):
            law = behaviour(self._legal(states, out, level), exploration)
            actions[level] = draw(law, generator).double()
        log_prob = self._log_prob(states, out, actions, exploration)
        return (actions if self.env.continuous else actions.long()), log_prob

    def backward_logits(self, states: VectorStates, condition: Tensor | None = None) -> Tensor:
        """Return zeros (S, 1)."""
        del condition
        return torch.zeros((len(states), 1))

    def _kinds(self, states: VectorStates) -> tuple[Tensor, Tensor]:
        """Return the places of the states whose next number is real, and of the others."""
        real = self.env.levels[states.step] == 0
        return real.nonzero()[:, 0], (~real).nonzero()[:, 0]

    def _legal(self, states: VectorStates, out: VectorOutputs, rows: Tensor) -> Tensor:
        beyond = torch.arange(self.most) >= self.env.levels[states.step[rows]][:, None]
        return out.logits[rows].double().masked_fill(beyond, -torch.inf)

    def _log_prob(self, states: VectorStates, out: VectorOutputs, actions: Tensor, how: Exploration) -> Tensor:
        log_prob = torch.zeros(len(states), dtype=torch.float64)
        real, level = self._kinds(states)
        if len(real):
            room = self.env.room(states[real])
            density = _rows(out.law, real).explored(how).log_density((actions[real] / room).clamp(max=1.0))
            log_prob = log_prob.index_copy(0, real, density - room.log())
        if len(level):
            law = behaviour(self._legal(states, out, level), how)
            log_prob = log_prob.index_copy(0, level, law.gather(1, actions[level].long()[:, None])[:, 0])
        return log_prob


def _rows(law: BetaLaw, rows: Tensor) -> BetaLaw:
    if len(rows) == len(law.logits):
        return law
    return BetaLaw(law.logits[rows], law.alpha[rows], law.beta[rows])


class UniformVectors(VectorPolicy):
    """Every object of the space is as likely: reals are uniform, fractions uniform over their simplex."""

    def outputs(self, states: VectorStates, condition: Tensor | None) -> VectorOutputs:
        """Return the uniform laws."""
        del condition
        beta = self.env.after[states.step][:, None]
        logits = torch.zeros((len(states), self.most))
        return VectorOutputs(BetaLaw(torch.zeros_like(beta), torch.ones_like(beta), beta), logits, logits.sum(1))
