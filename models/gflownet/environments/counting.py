"""Environments whose states are vectors of counts that grow, one at a time and in any order, to a given sum."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.environments.numbering import log_multinomial, row_codes


@dataclass(frozen=True)
class CountStates(States):
    """S vectors of counts.

    Attributes:
        count: (S, N) int64.
    """

    count: Tensor

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Select states."""
        return type(self)(self.done[index], self.count[index])


class CountingEnvironment(Environment[CountStates]):
    """Action i adds one to count i; a state is terminal as soon as the counts sum to `total`.

    Backward action i takes one from count i, so a state has as many parents as counts above 0.

    Args:
        n: number of counts.
        largest: most a count can be.
        total: sum of the counts of a terminal state, at most n times `largest`.
        options: options of the subclass, or its values by keyword.
    """

    def __init__(self, n: int, largest: int, total: int, options: Any) -> None:
        super().__init__(options)
        self.n_actions = self.n_backward = n
        self.largest, self.total = largest, total
        self._unit = torch.eye(n, dtype=torch.int64)

    def source(self, n: int) -> CountStates:
        """Return n empty vectors."""
        count = self._unit.new_zeros((n, self.n_actions))
        return CountStates(count.new_zeros(n, dtype=torch.bool), count)

    def forward_mask(self, states: CountStates) -> Tensor:
        """Return (S, N) bool: the counts that can grow."""
        return (states.count < self.largest).logical_and_(~states.done[:, None])

    def backward_mask(self, states: CountStates) -> Tensor:
        """Return (S, N) bool: the counts above 0."""
        return states.count > 0

    def step(self, states: CountStates, actions: Tensor) -> CountStates:
        """Take legal forward actions (S,)."""
        count = states.count + self._unit.index_select(0, actions)
        return CountStates(count.sum(1) == self.total, count)

    def backstep(self, states: CountStates, actions: Tensor) -> CountStates:
        """Take legal backward actions (S,)."""
        return CountStates(torch.zeros_like(states.done), states.count - self._unit.index_select(0, actions))

    def undo(self, states: CountStates, actions: Tensor) -> Tensor:
        """Return the same numbers (S,)."""
        del states
        return actions

    def redo(self, states: CountStates, actions: Tensor) -> Tensor:
        """Return the same numbers (S,)."""
        del states
        return actions

    def keys(self, states: CountStates) -> list[Hashable]:
        """Return the counts."""
        return [tuple(row) for row in states.count.tolist()]

    def codes(self, states: CountStates) -> Tensor:
        """Return (S,) int64, equal exactly where keys are equal."""
        return row_codes(states.count, self.largest + 1)

    def log_paths(self, states: CountStates) -> Tensor:
        """Return (S,) float64: the log of the multinomial coefficient of the counts."""
        return log_multinomial(states.count)
