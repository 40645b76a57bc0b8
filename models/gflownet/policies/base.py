"""What a policy network promises to samplers, the trainer and the exact evaluator."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from models.gflownet.environments.base import States

S = TypeVar("S", bound=States)


class PolicyDiverged(FloatingPointError):
    """The probabilities of a policy are not finite."""

    def __init__(self) -> None:
        super().__init__("the policy network has diverged: its probabilities are not finite. Lower the learning rate.")


@dataclass(frozen=True)
class Answer:
    """What a policy says about P transitions.

    Attributes:
        log_pf: (P,) log-probability of the forward actions.
        log_flow: (P,) log-flow of the states before them.
        backward_logits: (P, n_backward) of the states after them, or (P, H) numbers that decide the law of backward
            actions that are numbers; None if they were not asked for.
    """

    log_pf: Tensor
    log_flow: Tensor
    backward_logits: Tensor | None

    @staticmethod
    def cat(parts: list[Answer]) -> Answer:
        """Join answers, in which backward logits are all there or all None."""
        logits = [part.backward_logits for part in parts if part.backward_logits is not None]
        return Answer(
            torch.cat([part.log_pf for part in parts]),
            torch.cat([part.log_flow for part in parts]),
            torch.cat(logits) if logits else None,
        )


@dataclass(frozen=True)
class Exploration:
    """How the sampling law differs from the policy; the defaults are the policy itself.

    Attributes:
        epsilon: share of the probability that is uniform over the legal actions.
        temperature: logits are divided by it first.
        early_stop: share of the probability that is put on the stop action, where it is legal, in the end.
    """

    epsilon: float = 0.0
    temperature: float = 1.0
    early_stop: float = 0.0

    @property
    def none(self) -> bool:
        """Whether the sampling law is the policy itself."""
        return self.epsilon == 0.0 and self.temperature == 1.0 and self.early_stop == 0.0


ON_POLICY = Exploration()


def behaviour(logits: Tensor, exploration: Exploration, stop: int | None = None) -> Tensor:
    """Return the log-probabilities (S, A) of the sampling law for logits (S, A) that are -inf where illegal."""
    if exploration.none:
        return logits.log_softmax(1)
    law = (logits / exploration.temperature).softmax(1)
    legal = logits > -torch.inf
    if exploration.epsilon:
        uniform = legal / legal.sum(1, keepdim=True)
        law = law.lerp(uniform.to(law.dtype), exploration.epsilon)
    if exploration.early_stop and stop is not None:
        share = exploration.early_stop * legal[:, stop, None].to(law.dtype)
        law = law * (1.0 - share)
        law[:, stop] += share[:, 0]
    return law.log()


class Policy(nn.Module, Generic[S]):
    """A network over the states of one environment. It must not depend on anything that `keys` does not tell apart.

    `condition` is what the reward depends on besides the object, one row per state; None without conditioning.
    """

    def __init__(self) -> None:
        super().__init__()
        self._memory: dict[str, Any] | None = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Promise that the weights do not change inside the block: what depends on them alone is computed once."""
        self._memory = {}
        try:
            yield
        finally:
            self._memory = None

    @abstractmethod
    def score(self, before: S, actions: Tensor, after: S | None, condition: Tensor | None = None) -> Answer:
        """Judge legal transitions, differentiably; `after` is given if backward logits are wanted."""

    @abstractmethod
    def sample(
        self, states: S, generator: torch.Generator, exploration: Exploration, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw legal actions (S,) for states that are not terminal, with their log-probabilities (S,) when drawn."""

    @abstractmethod
    def backward_logits(self, states: S, condition: Tensor | None = None) -> Tensor:
        """Return (S, n_backward) logits of the backward actions; illegal ones are masked by the backward policy.

        Where backward actions are numbers: (S, H), what decides their law.
        """

    def state_values(self, states: S, condition: Tensor | None = None) -> Tensor:
        """Return (S,) a number of each state, terminal ones too, differentiably: the log-flow that `score` tells.

        Raises:
            NotImplementedError: the policy has no flow.
        """
        raise NotImplementedError(f"{type(self).__name__} has no number for a state by itself.")

    def edge_values(self, before: S, actions: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return (P,) a number of each legal transition, differentiably: the log of the flow along it."""
        answer = self.score(before, actions, None, condition)
        return answer.log_flow + answer.log_pf


def draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw (S,) from the categorical laws of logits (S, A), -inf where illegal, by inversion on private noise.

    One random number per row, and never an illegal action: its step of the distribution function has no height.

    Raises:
        PolicyDiverged: a logit is NaN, or a row has no finite one.
    """
    steps = logits.softmax(1).cumsum(1, dtype=torch.float64)
    noise = torch.rand((len(logits), 1), generator=generator, dtype=torch.float64) * (1.0 - 1e-9)
    drawn = torch.searchsorted(steps, noise * steps[:, -1:], right=True)[:, 0]
    if len(drawn) and int(drawn.max()) == logits.shape[1]:
        raise PolicyDiverged
    return drawn


def initialise(module: nn.Module, generator: torch.Generator, *, embedding_scale: float = 0.3) -> None:
    """Fill all parameters from a private generator: matrices by fan-in, embeddings by scale, biases 0, norms 1."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            with torch.no_grad():
                if isinstance(part, nn.Embedding):
                    parameter.normal_(0.0, embedding_scale, generator=generator)
                elif isinstance(part, nn.LayerNorm) and name == "weight":
                    parameter.fill_(1.0)
                elif parameter.ndim == 2 and isinstance(part, nn.Linear):
                    parameter.normal_(0.0, parameter.shape[1] ** -0.5, generator=generator)
                else:
                    parameter.zero_()
