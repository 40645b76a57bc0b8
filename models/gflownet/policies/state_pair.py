"""A policy that scores pairs of states, not actions: relative edge flows."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from models.gflownet.environments.base import Environment, NotProvided, States
from models.gflownet.policies.base import Answer, initialise
from models.gflownet.policies.flat import FlatPolicy, Outputs
from models.gflownet.policies.recipes import PolicyRecipe
from models.registry import Component

S = TypeVar("S", bound=States)


class StatePair(FlatPolicy[S], Generic[S]):
    """P_F(s'|s) is the softmax, over the children of s, of a score of the embeddings of s and s'; P_B likewise.

    What is learnt of a state helps wherever it is a child. Several actions that lead to one child share its
    probability evenly, so the law of the children does not depend on how many actions there are.

    Args:
        env: an environment with k-hot features.
        width: of the embeddings and of the hidden layers.
        generator: source of the initial weights.
        conditions: numbers in the encoded condition; 0 without conditioning.

    Raises:
        NotProvided: the environment has no k-hot features, or real variables.

    Reference: Shen et al., Towards understanding and improving GFlowNet training, ICML 2023, arXiv:2305.07170.
    """

    def __init__(
        self, env: Environment[S], *, generator: torch.Generator, width: int = 128, conditions: int = 0
    ) -> None:
        super().__init__(env)
        if not env.n_features or env.continuous:
            raise NotProvided(f"The environment {env.kind!r} has no k-hot features by which states could be compared.")
        with torch.device("meta"):
            self.first = nn.Embedding(env.n_features + 1, width, padding_idx=env.n_features)
            self.second = nn.Linear(width, width)
            self.condition = nn.Linear(conditions, width, bias=False) if conditions else None
            self.forward_hidden, self.backward_hidden = nn.Linear(2 * width, width), nn.Linear(2 * width, width)
            self.forward_score, self.backward_score = nn.Linear(width, 1), nn.Linear(width, 1)
            self.flow = nn.Linear(width, 1)
        self.to_empty(device="cpu")
        initialise(self, generator, embedding_scale=(3.0 * env.n_features) ** -0.5)
        with torch.no_grad():
            self.first.weight[env.n_features] = 0.0
            for head in (self.forward_score, self.backward_score, self.flow):
                head.weight.mul_(0.1)

    def network(self, states: S, condition: Tensor | None = None) -> Outputs:
        """Judge states, differentiably; backward logits are left at zero (see `backward_logits`)."""
        env, embedded = self.env, self._embed(states, condition)
        mask = env.forward_mask(states)
        row, action = mask.nonzero(as_tuple=True)
        logits = embedded.new_zeros(mask.shape)
        if len(row):
            child = env.step(states[row], action)
            score = self._scores(self.forward_hidden, self.forward_score, embedded, row, child, condition)
            logits = logits.index_put((row, action), score - self._log_twins(row, child))
        zeros = logits.new_zeros((len(states), env.n_backward))
        return Outputs(logits, zeros, self.flow(embedded.relu())[:, 0])

    def backward_logits(self, states: S, condition: Tensor | None = None) -> Tensor:
        """Return (S, n_backward) logits, differentiably: scores of the pairs of a state and each parent."""
        states, condition, where = self.distinct(states, condition)
        env, embedded = self.env, self._embed(states, condition)
        mask = env.backward_mask(states)
        row, action = mask.nonzero(as_tuple=True)
        logits = embedded.new_zeros(mask.shape)
        if len(row):
            parent = env.backstep(states[row], action)
            score = self._scores(self.backward_hidden, self.backward_score, embedded, row, parent, condition)
            logits = logits.index_put((row, action), score)
        out: Tensor = logits[where]
        return out

    def score(self, before: S, actions: Tensor, after: S | None, condition: Tensor | None = None) -> Answer:
        """Judge legal transitions; pairs with parents are scored only where backward logits are wanted."""
        answer = super().score(before, actions, None, condition)
        if after is None:
            return answer
        return Answer(answer.log_pf, answer.log_flow, self.backward_logits(after, condition))

    def _embed(self, states: S, condition: Tensor | None) -> Tensor:
        hot = self.env.k_hot(states)
        x = functional.embedding_bag(hot, self.first.weight, mode="sum", padding_idx=self.first.padding_idx)
        if condition is not None and self.condition is not None:
            x = x + self.condition(condition)
        embedded: Tensor = self.second(x.relu())
        return embedded

    def _scores(
        self, hidden: nn.Module, score: nn.Module, embedded: Tensor, row: Tensor, other: S, condition: Tensor | None
    ) -> Tensor:
        """Return (P,) the scores of states `row` of the batch with P others; equal others are embedded once."""
        given = None if condition is None else condition[row]
        distinct, given, where = self.distinct(other, given)
        beside = self._embed(distinct, given)[where]
        out: Tensor = score(hidden(torch.cat([embedded[row], beside], 1)).relu())[:, 0]
        return out

    def _log_twins(self, row: Tensor, child: S) -> Tensor:
        """Return (P,) the log of how many actions lead from the same state to the same child."""
        codes = torch.unique(self.env.codes(child), return_inverse=True)[1]
        pair = row * (int(codes.max()) + 1) + codes
        _, where, count = torch.unique(pair, return_inverse=True, return_counts=True)
        twins: Tensor = count[where].to(torch.get_default_dtype()).log()
        return twins


class StatePairRecipe(PolicyRecipe):
    """Scores of pairs of states over the children of a state: relative edge flows."""

    kind: ClassVar[str] = "state_pair"
    cites: ClassVar[tuple[str, ...]] = ("shen2023towards",)
    reads_tables: ClassVar[bool] = True

    class Options(Component.Options):
        """Shape of the network."""

        width: int = Field(128, ge=1, description="Width of embeddings and hidden layers.")

    def build(self, env: Environment[States], generator: torch.Generator, conditions: int = 0) -> StatePair[States]:
        """Return an untrained network."""
        return StatePair(env, generator=generator, width=self.options.width, conditions=conditions)
