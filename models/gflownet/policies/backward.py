"""Backward policies: laws over the true parents of a state."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor

from models.gflownet.environments.base import Environment, NotProvided, States
from models.gflownet.policies.base import Policy, draw
from models.gflownet.policies.von_mises_law import WayBack
from models.registry import Component


class BackwardPolicy(Component):
    """How the backward probability of a state is spread over its legal backward actions."""

    group: ClassVar[str] = "backward_policy"
    network: ClassVar[Literal["none", "tied", "own"]] = "none"
    """Where logits come from: nowhere, from a head on the trunk of the forward policy, or from a network of its own."""

    @property
    def needs_logits(self) -> bool:
        """Whether a policy network must be asked for logits."""
        return self.network != "none"

    @abstractmethod
    def log_prob(self, env: Environment[Any], states: Any, logits: Tensor | None) -> Tensor:
        """Return (S, n_backward) log-probabilities, -inf where there is no parent.

        Args:
            env: the environment of the states.
            states: S states of it.
            logits: (S, n_backward), or None if the policy does not need them.
        """

    def law(self, env: Environment[Any], states: Any, logits: Tensor | None) -> WayBack:
        """Return the law of backward actions that are numbers.

        Args:
            env: an environment with `continuous_backward`.
            states: S states of it.
            logits: (S, H) what a network says of the law, or None if the policy does not need it.

        Raises:
            NotProvided: the backward policy knows of no densities.
        """
        del states, logits
        raise NotProvided(
            f"The backward policy {self.kind!r} counts the parents of a state, and those of {env.kind!r} are not "
            "countable here. Use uniform, tied or learned."
        )

    def chosen(self, env: Environment[Any], states: Any, actions: Tensor, logits: Tensor | None) -> Tensor:
        """Return (S,): the log-probability, or log-density, of a backward action of each state."""
        if env.continuous_backward:
            return self.law(env, states, logits).log_density(actions)
        return self.log_prob(env, states, logits).gather(1, actions[:, None])[:, 0]


class UniformBackward(BackwardPolicy):
    """One over the true number of parents."""

    kind: ClassVar[str] = "uniform"
    cites: ClassVar[tuple[str, ...]] = ("bengio2023foundations",)

    def log_prob(self, env: Environment[Any], states: Any, logits: Tensor | None) -> Tensor:
        """Return minus the log number of parents where legal, float64."""
        del logits
        mask = env.backward_mask(states)
        count = mask.sum(1, keepdim=True).clamp(min=1).double().log()
        return torch.where(mask, -count, -torch.inf)

    def law(self, env: Environment[Any], states: Any, logits: Tensor | None) -> WayBack:
        """Return the uniform law of increments."""
        del logits
        return WayBack.of(env, states, None)  # type: ignore[arg-type]


def _given(logits: Tensor | None, kind: str) -> Tensor:
    if logits is None:
        raise ValueError(f"The backward policy {kind!r} needs the logits of a policy network; got None.")
    return logits


def _softmax(env: Environment[Any], states: Any, logits: Tensor | None, kind: str) -> Tensor:
    logits = _given(logits, kind)
    mask = env.backward_mask(states)
    # Rows without a parent (the source) keep finite values, so that no gradient becomes NaN.
    safe = logits.masked_fill(mask.any(1, keepdim=True) & ~mask, -torch.inf)
    return safe.log_softmax(1).masked_fill(~mask, -torch.inf)


class TiedBackward(BackwardPolicy):
    """Softmax over a head on the trunk of the forward policy, trained with it."""

    kind: ClassVar[str] = "tied"
    cites: ClassVar[tuple[str, ...]] = ("malkin2022tb",)
    network: ClassVar[Literal["none", "tied", "own"]] = "tied"

    def log_prob(self, env: Environment[Any], states: Any, logits: Tensor | None) -> Tensor:
        """Return the masked log-softmax."""
        return _softmax(env, states, logits, self.kind)

    def law(self, env: Environment[Any], states: Any, logits: Tensor | None) -> WayBack:
        """Return the mixtures that the network says."""
        return WayBack.of(env, states, _given(logits, self.kind))  # type: ignore[arg-type]


class LearnedBackward(BackwardPolicy):
    """Softmax over the logits of a network of its own, trained beside the forward policy."""

    kind: ClassVar[str] = "learned"
    cites: ClassVar[tuple[str, ...]] = ("malkin2022tb",)
    network: ClassVar[Literal["none", "tied", "own"]] = "own"

    def log_prob(self, env: Environment[Any], states: Any, logits: Tensor | None) -> Tensor:
        """Return the masked log-softmax."""
        return _softmax(env, states, logits, self.kind)

    def law(self, env: Environment[Any], states: Any, logits: Tensor | None) -> WayBack:
        """Return the mixtures that the network says."""
        return WayBack.of(env, states, _given(logits, self.kind))  # type: ignore[arg-type]


class MaximumEntropyBackward(BackwardPolicy):
    """P_B(s | s') = n(s) / n(s'), n the number of trajectories to a state: each trajectory to an object is as likely.

    Among all backward policies this one gives the policy the largest entropy over trajectories.
    """

    kind: ClassVar[str] = "maximum_entropy"
    cites: ClassVar[tuple[str, ...]] = ("mohammadpour2024maxent",)

    def log_prob(self, env: Environment[Any], states: Any, logits: Tensor | None) -> Tensor:
        """Return the normalised counts, float64.

        Raises:
            NotProvided: the environment cannot count its trajectories.
        """
        del logits
        mask = env.backward_mask(states)
        row, action = mask.nonzero(as_tuple=True)
        counts = env.log_paths(env.backstep(states[row], action)).double()
        out = torch.full(mask.shape, -torch.inf, dtype=torch.float64, device=mask.device)
        out[row, action] = counts
        total = torch.where(mask.any(1), out.logsumexp(1), 0.0)
        return out - total[:, None]


S = TypeVar("S", bound=States)


class BackwardWalk(Generic[S]):
    """A sampler of backward actions: an environment, its backward policy and the network that may be asked."""

    def __init__(self, env: Environment[S], policy: Policy[S], backward: BackwardPolicy) -> None:
        self._env, self._policy, self._backward = env, policy, backward

    def log_probs(self, states: S, condition: Tensor | None = None) -> Tensor:
        """Return (S, n_backward) log-probabilities."""
        return self._backward.log_prob(self._env, states, self._logits(states, condition))

    def chosen(self, states: S, actions: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return (S,): the log-probability, or log-density, of a backward action of each state."""
        return self._backward.chosen(self._env, states, actions, self._logits(states, condition))

    def sample(self, states: S, generator: torch.Generator, condition: Tensor | None = None) -> Tensor:
        """Return legal backward actions (S,), or rows of numbers (S, m)."""
        if self._env.continuous_backward:
            return self._backward.law(self._env, states, self._logits(states, condition)).draw(generator)
        return draw(self.log_probs(states, condition), generator)

    def _logits(self, states: S, condition: Tensor | None) -> Tensor | None:
        return self._policy.backward_logits(states, condition) if self._backward.needs_logits else None
