"""Choose items no two of which exclude each other: independent sets, cliques, or any subsets of bounded size."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.environments.numbering import row_codes
from models.registry import Component


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


class SelectionEnvironment(Environment[SelectionStates]):
    """Action i adds item i, the last action stops; items that exclude a member cannot be added.

    Every subset of a set without an excluded pair has none either: a set of k items has k! trajectories. A set to which
    nothing can be added may stop below `min_size`; it is then no object (None). The reward comes from outside.
    """

    kind: ClassVar[str] = "selection"
    distance = "overlap"
    cites: ClassVar[tuple[str, ...]] = ("zhang2023combopt",)
    small: ClassVar[Mapping[str, Any]] = {
        "items": 5,
        "min_size": 1,
        "max_size": 3,
        "excluded": ((0, 1), (1, 2), (3, 4)),
    }

    class Options(Component.Options):
        """Options of the selection."""

        items: int = Field(ge=1, description="Items to choose from.")
        min_size: int = Field(0, ge=0, description="Fewest items of a set.")
        max_size: int | None = Field(None, ge=1, description="Most items of a set; null: all.")
        excluded: tuple[tuple[int, int], ...] = Field((), description="Pairs of items, by number, never together.")

        @model_validator(mode="after")
        def _fits(self) -> Self:
            largest = self.items if self.max_size is None else self.max_size
            if not self.min_size <= largest <= self.items:
                raise ValueError(
                    f"a set has at least min_size and at most max_size of the items: got {self.min_size}, {largest} "
                    f"and {self.items} items"
                )
            for pair in self.excluded:
                if pair[0] == pair[1] or not all(0 <= item < self.items for item in pair):
                    raise ValueError(f"a pair is of two items from 0 to {self.items - 1}: got {list(pair)}")
            return self

    def __init__(self, options: SelectionEnvironment.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        chosen: SelectionEnvironment.Options = self.options
        n = chosen.items
        self.min_size = chosen.min_size
        self.max_size = n if chosen.max_size is None else chosen.max_size
        self.n_actions = self.n_backward = n + 1
        self.stop = n
        self.every_state_stops = self.min_size == 0
        self.n_features = n
        self._excludes = torch.zeros((n, n), dtype=torch.float32)
        if chosen.excluded:
            first, second = torch.tensor(chosen.excluded).T
            self._excludes[first, second] = self._excludes[second, first] = 1.0
        self._item = torch.arange(n)
        self._unit = torch.cat([torch.eye(n, dtype=torch.bool), torch.zeros((1, n), dtype=torch.bool)])

    def source(self, n: int) -> SelectionStates:
        """Return n empty sets."""
        member = self._unit.new_zeros((n, len(self._item)))
        return SelectionStates(torch.zeros(n, dtype=torch.bool, device=member.device), member)

    def forward_mask(self, states: SelectionStates) -> Tensor:
        """Return (S, N + 1) bool."""
        member = states.member
        size = member.sum(1)
        free = ~member & (member.float() @ self._excludes == 0) & (size < self.max_size)[:, None]
        stops = (size >= self.min_size) | ~free.any(1)
        return torch.cat([free, stops[:, None]], 1) & ~states.done[:, None]

    def backward_mask(self, states: SelectionStates) -> Tensor:
        """Return (S, N + 1) bool."""
        done = states.done[:, None]
        return torch.cat([states.member & ~done, done], 1)

    def step(self, states: SelectionStates, actions: Tensor) -> SelectionStates:
        """Take legal forward actions (S,)."""
        return SelectionStates(actions.eq(len(self._item)), states.member | self._unit[actions])

    def backstep(self, states: SelectionStates, actions: Tensor) -> SelectionStates:
        """Take legal backward actions (S,)."""
        return SelectionStates(torch.zeros_like(states.done), states.member & ~self._unit[actions])

    def undo(self, states: SelectionStates, actions: Tensor) -> Tensor:
        """Return the same numbers (S,)."""
        del states
        return actions

    def redo(self, states: SelectionStates, actions: Tensor) -> Tensor:
        """Return the same numbers (S,)."""
        del states
        return actions

    def keys(self, states: SelectionStates) -> list[Hashable]:
        """Return the items and whether the set is done."""
        return list(zip(self._members(states), states.done.tolist(), strict=True))

    def codes(self, states: SelectionStates) -> Tensor:
        """Return (S,) int64, equal exactly where keys are equal."""
        return 2 * row_codes(states.member.long(), 2) + states.done

    def _members(self, states: SelectionStates) -> list[tuple[int, ...]]:
        items = states.member.nonzero()[:, 1].tolist()
        ends = states.member.sum(1).cumsum(0).tolist()
        return [tuple(items[a:b]) for a, b in zip([0, *ends], ends, strict=False)]

    def decode(self, states: SelectionStates) -> list[tuple[int, ...] | None]:
        """Return the items of each set, ascending; None where there are too few."""
        return [items if len(items) >= self.min_size else None for items in self._members(states)]

    def states_of(self, objects: Sequence[Sequence[int]], generator: torch.Generator) -> SelectionStates:
        """Return the terminal states of sets of items; nothing is drawn.

        Raises:
            ValueError: a set has an item that there is not, an excluded pair, or another size than the space allows.
        """
        del generator
        member = self.source(len(objects)).member
        for row, items in enumerate(objects):
            inside = all(0 <= item < len(self._item) for item in items)
            if not inside or not self.min_size <= len(set(items)) <= self.max_size:
                raise ValueError(
                    f"The set {list(items)} is outside the space: expected {self.min_size} to {self.max_size} items "
                    f"from 0 to {len(self._item) - 1}. Leave it out, or widen the space."
                )
            member[row, list(items)] = True
            if bool((self._excludes[list(items)][:, list(items)] > 0).any()):
                raise ValueError(f"The set {list(items)} has two items that exclude each other. Leave it out.")
        return SelectionStates(torch.ones(len(objects), dtype=torch.bool), member)

    def k_hot(self, states: SelectionStates) -> Tensor:
        """Return (S, max_size) int64: the items, ascending."""
        return torch.where(states.member, self._item, self.n_features).sort(1).values[:, : self.max_size]

    def log_paths(self, states: SelectionStates) -> Tensor:
        """Return (S,) float64: log k! of a set of k items."""
        out: Tensor = (states.member.sum(1).double() + 1).lgamma()
        return out
