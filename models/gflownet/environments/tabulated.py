"""Any small environment as tables: states are numbers, and masks, steps and features are looked up."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.judging.exact import StateGraph, enumerate_graph

_CELLS = 50_000_000
"""Most entries of one table."""


@dataclass(frozen=True)
class IndexStates(States):
    """S states of a table.

    Attributes:
        index: (S,) int64, number of the state; 0 is the source.
    """

    index: Tensor

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Select states."""
        return type(self)(self.done[index], self.index[index])

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """Join batches."""
        return cls(torch.cat([part.done for part in parts]), torch.cat([part.index for part in parts]))


class Tabulated(Environment[IndexStates]):
    """The same state graph, actions and objects as the environment it was made from.

    Steps are gathers from precomputed tables, so a batch costs a few tensor operations whatever the rules are.

    Args:
        base: an environment that can be enumerated.
        graph: its state graph, if it is known already.
        limit: most states that are enumerated.

    Attributes:
        following, undoing: (V, n_actions) int64, the state that an action leads to and the backward action that takes
            it back, -1 where illegal.
        legal, parents: (V, n_actions), (V, n_backward) bool, masks.
        done: (V,) bool.

    Raises:
        ValueError: there are more states than `limit`, or a table would be too large.
    """

    def __init__(self, base: Environment[Any], graph: StateGraph[Any] | None = None, *, limit: int = 500_000) -> None:
        super().__init__(base.options)
        self.base = base
        self.graph = enumerate_graph(base, limit=limit) if graph is None else graph
        n, self.n_actions, self.n_backward = len(self.graph.states), base.n_actions, base.n_backward
        if n * max(self.n_actions, self.n_backward) > _CELLS:
            raise ValueError(
                f"The tables of {n} states and {self.n_actions} actions would have more than {_CELLS} entries; "
                "use the environment itself, or a smaller one."
            )
        self.stop, self.every_state_stops, self.n_features = base.stop, base.every_state_stops, base.n_features
        origin, target, action = self.graph.origin, self.graph.target, self.graph.action
        back = base.undo(self.graph.states[origin], action)
        self.following = torch.full((n, self.n_actions), -1).index_put((origin, action), target)
        self.undoing = torch.full((n, self.n_actions), -1).index_put((origin, action), back)
        self._before = torch.full((n, self.n_backward), -1).index_put((target, back), origin)
        self._redo = torch.full((n, self.n_backward), -1).index_put((target, back), action)
        self._complete_backward()
        correction = base.log_correction(self.graph.states[origin], action, self.graph.states[target]).double()
        self.corrected = bool(correction.any())
        self._correction = torch.zeros(n, self.n_actions, dtype=torch.float64)
        self._correction[origin, action] = correction
        self.legal, self.parents = self.following >= 0, self._before >= 0
        self.done = self.graph.states.done
        self._log_paths: Tensor | None = None
        self._hot = base.k_hot(self.graph.states) if base.n_features else None

    def _complete_backward(self) -> None:
        """Add the backward actions that take back no forward edge: where a state is one of several orders of building.

        What follows them forward is then another order of the same thing.
        """
        legal = self.base.backward_mask(self.graph.states)
        after, back = (legal & (self._before < 0)).nonzero(as_tuple=True)
        if len(after):
            states = self.graph.states[after]
            number = {key: place for place, key in enumerate(self.base.keys(self.graph.states))}
            before = [number[key] for key in self.base.keys(self.base.backstep(states, back))]
            self._before[after, back] = torch.tensor(before)
            self._redo[after, back] = self.base.redo(states, back)

    def indexed(self) -> StateGraph[IndexStates]:
        """Return the state graph with states of this table in place of the environment's own."""
        return replace(self.graph, states=IndexStates(self.done, torch.arange(len(self.done))))

    def source(self, n: int) -> IndexStates:
        """Return n copies of the source state."""
        index = torch.zeros(n, dtype=torch.int64, device=self.done.device)
        return IndexStates(torch.zeros_like(index, dtype=torch.bool), index)

    def forward_mask(self, states: IndexStates) -> Tensor:
        """Return (S, n_actions) bool."""
        return self.legal.index_select(0, states.index)

    def backward_mask(self, states: IndexStates) -> Tensor:
        """Return (S, n_backward) bool."""
        return self.parents.index_select(0, states.index)

    def _at(self, index: Tensor) -> IndexStates:
        return IndexStates(self.done.take(index), index)

    def step(self, states: IndexStates, actions: Tensor) -> IndexStates:
        """Take legal forward actions (S,)."""
        return self._at(self.following.take(states.index * self.n_actions + actions))

    def backstep(self, states: IndexStates, actions: Tensor) -> IndexStates:
        """Take legal backward actions (S,)."""
        return self._at(self._before.take(states.index * self.n_backward + actions))

    def undo(self, states: IndexStates, actions: Tensor) -> Tensor:
        """Return the backward actions (S,) that take `actions` back."""
        return self.undoing.take(states.index * self.n_actions + actions)

    def redo(self, states: IndexStates, actions: Tensor) -> Tensor:
        """Return the forward actions (S,) that backward `actions` take back."""
        return self._redo.take(states.index * self.n_backward + actions)

    def keys(self, states: IndexStates) -> list[Hashable]:
        """Return the numbers of the states."""
        return list(states.index.tolist())

    def codes(self, states: IndexStates) -> Tensor:
        """Return the numbers of the states (S,)."""
        return states.index

    def k_hot(self, states: IndexStates) -> Tensor:
        """Return (S, K) int64 of the environment it was made from."""
        return self.base.k_hot(self.states(states)) if self._hot is None else self._hot.index_select(0, states.index)

    def states(self, states: IndexStates) -> Any:
        """Return the states of the environment it was made from."""
        return self.graph.states[states.index]

    def decode(self, states: IndexStates) -> list[Any]:
        """Return the object of each terminal state."""
        return self.base.decode(self.states(states))

    def log_correction(self, states: IndexStates, actions: Tensor, following: IndexStates) -> Tensor:
        """Return (S,) float64, zero for most environments."""
        del following
        if not self.corrected:
            return super().log_correction(states, actions, states)
        return self._correction.take(states.index * self.n_actions + actions)

    def log_paths(self, states: IndexStates) -> Tensor:
        """Return (S,) float64, counted by dynamic programming over the state graph once."""
        if self._log_paths is None:
            self._log_paths = self.graph.log_paths()
        return self._log_paths.take(states.index)

    def log_reward(self, states: IndexStates) -> Tensor:
        """Return (S,) of the environment it was made from."""
        return self.base.log_reward(self.states(states))

    def log_partial(self, states: IndexStates) -> Tensor:
        """Return (S,) of the environment it was made from."""
        return self.base.log_partial(self.states(states))

    def is_source(self, states: IndexStates) -> Tensor:
        """Return (S,) bool: state number 0."""
        return states.index == 0
