"""Sets of items that grow one by one, by any rule under which every subset of a set could be met too."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.environments.numbering import row_codes


@dataclass(frozen=True)
class SelectionStates(States):
    """S sets of items.

    Attributes:
        member: (S, N) bool.
    """

    member: Tensor

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Select states."""
        return type(self)(self.done[index], self.member[index])


S = TypeVar("S", bound=SelectionStates)


class GrowingSets(Environment[S], Generic[S]):
    """Action i adds item i. Subclasses say which items are `free`, and have `adjacency` for networks over graphs.

    A set ends by an action of its own, the last one, where `min_size` allows; or, if only `maximal` sets are objects,
    by itself as soon as nothing can be added: there is then no such action.
    """

    maximal: bool = False
    min_size: int = 0
    items: int
    """N."""

    def _begin(self, items: int, *, maximal: bool) -> None:
        """Set the numbers of actions and the tables of N items."""
        self.items, self.maximal = items, maximal
        self.n_actions = self.n_backward = items if maximal else items + 1
        self.stop = None if maximal else items
        self._item = torch.arange(items)
        self._unit = torch.cat([torch.eye(items, dtype=torch.bool), torch.zeros((1, items), dtype=torch.bool)])

    @abstractmethod
    def free(self, states: S) -> Tensor:
        """Return (S, N) bool: the items that could be added, whether the state is terminal or not."""

    @abstractmethod
    def adjacency(self, states: S) -> Tensor:
        """Return (N, N), or (S, N, N) where states are of different graphs, float: 1 where two items are joined."""

    def weights(self, states: S) -> Tensor | None:
        """Return what items weigh, (N,) or (S, N); None: all the same."""
        del states
        return None

    def present(self, states: S) -> Tensor | None:
        """Return (S, N) bool: the items that there are, where states are of graphs of different sizes; None: all."""
        del states
        return None

    def removable(self, states: S) -> Tensor:
        """Return (S, N) bool: the members that may have been the last to be added."""
        return states.member

    def forward_mask(self, states: S) -> Tensor:
        """Return (S, n_actions) bool."""
        free = self.free(states)
        if self.maximal:
            return free & ~states.done[:, None]
        stops = (states.member.sum(1) >= self.min_size) | ~free.any(1)
        return torch.cat([free, stops[:, None]], 1) & ~states.done[:, None]

    def backward_mask(self, states: S) -> Tensor:
        """Return (S, n_backward) bool."""
        removable = self.removable(states)
        if self.maximal:
            return removable
        done = states.done[:, None]
        return torch.cat([removable & ~done, done], 1)

    def step(self, states: S, actions: Tensor) -> S:
        """Take legal forward actions (S,)."""
        after = replace(states, member=states.member | self._unit[actions])
        return replace(after, done=~self.free(after).any(1) if self.maximal else actions.eq(self.items))

    def backstep(self, states: S, actions: Tensor) -> S:
        """Take legal backward actions (S,)."""
        return replace(states, done=torch.zeros_like(states.done), member=states.member & ~self._unit[actions])

    def undo(self, states: S, actions: Tensor) -> Tensor:
        """Return the same numbers (S,)."""
        del states
        return actions

    def redo(self, states: S, actions: Tensor) -> Tensor:
        """Return the same numbers (S,)."""
        del states
        return actions

    def keys(self, states: S) -> list[Hashable]:
        """Return the items and whether the set is done."""
        return list(zip(self.members(states), states.done.tolist(), strict=True))

    def codes(self, states: S) -> Tensor:
        """Return (S,) int64, equal exactly where keys are equal."""
        return 2 * row_codes(states.member.long(), 2) + states.done

    def members(self, states: S) -> list[tuple[int, ...]]:
        """Return the numbers of the items of each set, ascending."""
        items = states.member.nonzero()[:, 1].tolist()
        ends = states.member.sum(1).cumsum(0).tolist()
        return [tuple(items[a:b]) for a, b in zip([0, *ends], ends, strict=False)]

    def k_hot(self, states: S) -> Tensor:
        """Return (S, N) int64: the items, ascending, then `n_features`.

        Raises:
            NotProvided: states are of different graphs.
        """
        if not self.n_features:
            return super().k_hot(states)
        return torch.where(states.member, self._item, self.n_features).sort(1).values

    def decode(self, states: S) -> list[Any]:
        """Return the items of each set, ascending; None where there are too few."""
        return [items if len(items) >= self.min_size else None for items in self.members(states)]
