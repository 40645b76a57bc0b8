"""Backward policies: laws over the true parents of a state."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.policies.base import Policy, draw
from models.registry import Component


class BackwardPolicy(Component):
    """How the backward probability of a state is spread over its legal backward actions."""

    group: ClassVar[str] = "backward_policy"
    needs_logits: ClassVar[bool] = False
    """Whether the policy network must be asked for logits."""

    @abstractmethod
    def log_prob(self, mask: Tensor, logits: Tensor | None) -> Tensor:
        """Return (S, n_backward) log-probabilities, -inf where `mask` is false.

        Args:
            mask: (S, n_backward) bool, the true parents.
            logits: (S, n_backward), or None if the policy does not need them.
        """


class UniformBackward(BackwardPolicy):
    """One over the true number of parents."""

    kind: ClassVar[str] = "uniform"
    reference: ClassVar[str] = "Bengio et al., GFlowNet Foundations, JMLR 2023, arXiv:2111.09266"

    def log_prob(self, mask: Tensor, logits: Tensor | None) -> Tensor:
        """Return minus the log number of parents where legal, float64."""
        del logits
        count = mask.sum(1, keepdim=True).clamp(min=1).double().log()
        return torch.where(mask, -count, -torch.inf)


class LearnedBackward(BackwardPolicy):
    """Softmax over the logits of the policy network, trained with it."""

    kind: ClassVar[str] = "learned"
    reference: ClassVar[str] = "Malkin et al., Trajectory balance, NeurIPS 2022, arXiv:2201.13259"
    needs_logits: ClassVar[bool] = True

    def log_prob(self, mask: Tensor, logits: Tensor | None) -> Tensor:
        """Return the masked log-softmax."""
        if logits is None:
            raise ValueError("A learned backward policy needs the logits of the policy network; got None.")
        # Rows without a parent (the source) keep finite values, so that no gradient becomes NaN.
        safe = torch.where(mask.any(1, keepdim=True) & ~mask, -torch.inf, logits)
        return torch.where(mask, safe.log_softmax(1), -torch.inf)


S = TypeVar("S", bound=States)


class BackwardWalk(Generic[S]):
    """A sampler of backward actions: an environment, its backward policy and the network that may be asked."""

    def __init__(self, env: Environment[S], policy: Policy[S], backward: BackwardPolicy) -> None:
        self._env, self._policy, self._backward = env, policy, backward

    def sample(self, states: S, generator: torch.Generator) -> Tensor:
        """Return legal backward actions (S,)."""
        logits = self._policy.backward_logits(states) if self._backward.needs_logits else None
        return draw(self._backward.log_prob(self._env.backward_mask(states), logits), generator)
