"""Choose items no two of which exclude each other: independent sets, cliques, or any subsets of bounded size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from models.gflownet.environments.growing import GrowingSets, SelectionStates
from models.registry import Component


class SelectionEnvironment(GrowingSets[SelectionStates]):
    """Action i adds item i, the last action stops; items that exclude a member cannot be added.

    Every subset of a set without an excluded pair has none either: a set of k items has k! trajectories. A set to which
    nothing can be added may stop below `min_size`; it is then no object (None). With `maximal` only sets to which
    nothing can be added are objects, and they end by themselves, as in Zhang et al. (2023): independent sets where
    pairs that an edge joins are excluded, cliques where all others are. The reward comes from outside.
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
        maximal: bool = Field(False, description="Whether a set ends only where no other item could be added.")

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
        self._begin(n, maximal=chosen.maximal)
        self.every_state_stops = self.min_size == 0 and not self.maximal
        self.n_features = n
        self._excludes = torch.zeros((n, n), dtype=torch.float32)
        if chosen.excluded:
            first, second = torch.tensor(chosen.excluded).T
            self._excludes[first, second] = self._excludes[second, first] = 1.0

    def source(self, n: int) -> SelectionStates:
        """Return n empty sets."""
        member = self._unit.new_zeros((n, self.items))
        return SelectionStates(torch.zeros(n, dtype=torch.bool, device=member.device), member)

    def free(self, states: SelectionStates) -> Tensor:
        """Return (S, N) bool: the items that exclude no member, where there is room."""
        member = states.member
        return ~member & (member.float() @ self._excludes == 0) & (member.sum(1) < self.max_size)[:, None]

    def adjacency(self, states: SelectionStates) -> Tensor:
        """Return (N, N): 1 where two items exclude each other."""
        del states
        return self._excludes

    def states_of(self, objects: Sequence[Sequence[int]], generator: torch.Generator) -> SelectionStates:
        """Return the terminal states of sets of items; nothing is drawn.

        Raises:
            ValueError: a set has an item that there is not, an excluded pair, or another size than the space allows.
        """
        del generator
        member = self.source(len(objects)).member
        for row, items in enumerate(objects):
            inside = all(0 <= item < self.items for item in items)
            if not inside or not self.min_size <= len(set(items)) <= self.max_size:
                raise ValueError(
                    f"The set {list(items)} is outside the space: expected {self.min_size} to {self.max_size} items "
                    f"from 0 to {self.items - 1}. Leave it out, or widen the space."
                )
            member[row, list(items)] = True
            if bool((self._excludes[list(items)][:, list(items)] > 0).any()):
                raise ValueError(f"The set {list(items)} has two items that exclude each other. Leave it out.")
        found = SelectionStates(torch.ones(len(objects), dtype=torch.bool), member)
        if self.maximal and bool((open_ := self.free(found).any(1)).any()):
            row = int(open_.int().argmax())
            raise ValueError(f"The set {list(objects[row])} is not maximal: an item could be added. Leave it out.")
        return found

    def k_hot(self, states: SelectionStates) -> Tensor:
        """Return (S, max_size) int64: the items, ascending."""
        return super().k_hot(states)[:, : self.max_size]

    def log_paths(self, states: SelectionStates) -> Tensor:
        """Return (S,) float64: log k! of a set of k items."""
        out: Tensor = (states.member.sum(1).double() + 1).lgamma()
        return out
