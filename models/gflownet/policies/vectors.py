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


@dataclass(frozen=True)
class _Reals:
    """The laws of the states whose next number is real: `rows` (P,), P mixtures, and the upper ends (P,)."""

    rows: Tensor
    law: BetaLaw
    room: Tensor

    def draw(self, generator: torch.Generator) -> Tensor:
        return self.law.draw(generator) * self.room

    def log_prob(self, actions: Tensor) -> Tensor:
        return self.law.log_density((actions / self.room).clamp(max=1.0)) - self.room.log()


@dataclass(frozen=True)
class _Levels:
    """The laws of the states whose next number is a level: `rows` (P,), log-probabilities (P, L)."""

    rows: Tensor
    law: Tensor

    def draw(self, generator: torch.Generator) -> Tensor:
        return draw(self.law, generator).double()

    def log_prob(self, actions: Tensor) -> Tensor:
        return self.law.gather(1, actions.long()[:, None])[:, 0]


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
        """Return log-densities of reals, log-probabilities of levels, float64; there is but one backward action."""
        out = self.outputs(before, condition)
        found = [(part.rows, part.log_prob(actions[part.rows])) for part in self._laws(before, out, ON_POLICY)]
        backward = None if after is None else self.backward_logits(after)
        return Answer(_joined(found, len(before)), out.log_flow.double(), backward)

    @torch.no_grad()
    def sample(
        self,
        states: VectorStates,
        generator: torch.Generator,
        exploration: Exploration,
        condition: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw the next numbers (S,), explored, with their log-densities or log-probabilities (S,), float64."""
        laws = self._laws(states, self.outputs(states, condition), exploration)
        drawn = [part.draw(generator) for part in laws]
        n = len(states)
        actions = _joined([(part.rows, here) for part, here in zip(laws, drawn, strict=True)], n)
        log_prob = _joined([(part.rows, part.log_prob(here)) for part, here in zip(laws, drawn, strict=True)], n)
        return (actions if self.env.continuous else actions.long()), log_prob

    def backward_logits(self, states: VectorStates, condition: Tensor | None = None) -> Tensor:
        """Return zeros (S, 1)."""
        del condition
        return torch.zeros((len(states), 1))

    def _laws(self, states: VectorStates, out: VectorOutputs, how: Exploration) -> list[_Reals | _Levels]:
        levels = self.env.levels[states.step]
        real = levels == 0
        parts: list[_Reals | _Levels] = []
        for rows in (real.nonzero()[:, 0], (~real).nonzero()[:, 0]):
            if not len(rows):
                continue
            if levels[rows[0]] == 0:
                law = out.law if len(rows) == len(states) else out.law.at(rows)
                parts.append(_Reals(rows, law.explored(how), self.env.room(states)[rows]))
            else:
                beyond = torch.arange(self.most) >= levels[rows][:, None]
                logits = out.logits[rows].double().masked_fill(beyond, -torch.inf)
                parts.append(_Levels(rows, behaviour(logits, how)))
        return parts


def _joined(parts: list[tuple[Tensor, Tensor]], n: int) -> Tensor:
    """Return (n,) float64: values at their rows."""
    if len(parts) == 1:
        return parts[0][1]
    out = torch.zeros(n, dtype=torch.float64)
    for rows, values in parts:
        out = out.index_copy(0, rows, values)
    return out


class UniformVectors(VectorPolicy):
    """Every object of the space is as likely: reals are uniform, fractions uniform over their simplex."""

    def outputs(self, states: VectorStates, condition: Tensor | None) -> VectorOutputs:
        """Return the uniform laws."""
        del condition
        beta = self.env.after[states.step][:, None]
        logits = torch.zeros((len(states), self.most))
        return VectorOutputs(BetaLaw(torch.zeros_like(beta), torch.ones_like(beta), beta), logits, logits.sum(1))
