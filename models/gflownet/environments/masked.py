"""Partly set variables: any variable is set next, so that the flow of a state is a marginal of the target."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.environments.numbering import row_codes
from models.registry import Component


@dataclass(frozen=True)
class MaskedStates(States):
    """S assignments.

    Attributes:
        value: (S, L) int64, 0 .. V - 1; V where a variable is not set.
    """

    value: Tensor

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Select states."""
        return type(self)(self.done[index], self.value[index])


class Masked(Environment[MaskedStates]):
    """L variables of V values each; action i V + v sets variable i to v, and the last one ends a trajectory.

    Backward action i unsets variable i, so that k set variables have k parents and k! trajectories. With uniform
    backward probabilities the flow of a state s of k variables is F(s) = Z p(x_s) k! (L - k)! / L!: of the L! orders
    of an object, those that begin with these variables. So log p(x_s) = log F(s) - log Z + log of L over k: all
    marginals of the target are read off the network, and detailed balance of two neighbours is their consistency,
    p(x_s) p(x_i | x_s) = p(x_s, x_i), for the order that is drawn at random.
    """

    kind: ClassVar[str] = "masked"
    cites: ClassVar[tuple[str, ...]] = ("liu2024marginalization",)
    small: ClassVar[Mapping[str, Any]] = {"variables": 3, "values": 2}

    class Options(Component.Options):
        """Options of the masked environment."""

        variables: int = Field(9, ge=1, le=4096, description="L, the variables.")
        values: int = Field(2, ge=2, le=1024, description="V, the values of each.")

    def __init__(self, options: Masked.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.variables: int = self.options.variables
        self.values: int = self.options.values
        self.n_actions, self.n_backward = self.variables * self.values, self.variables
        self.n_features = self.n_actions
        self._offset = torch.arange(self.variables) * self.values

    def source(self, n: int) -> MaskedStates:
        """Return n states without a set variable."""
        value = torch.full((n, self.variables), self.values, device=self._offset.device)
        return MaskedStates(value.new_zeros(n, dtype=torch.bool), value)

    def forward_mask(self, states: MaskedStates) -> Tensor:
        """Return (S, L V) bool: all values of what is not set."""
        return (states.value == self.values).repeat_interleave(self.values, 1)

    def backward_mask(self, states: MaskedStates) -> Tensor:
        """Return (S, L) bool: what is set."""
        return states.value < self.values

    def step(self, states: MaskedStates, actions: Tensor) -> MaskedStates:
        """Set variables (S,)."""
        place, chosen = actions // self.values, actions % self.values
        value = states.value.scatter(1, place[:, None], chosen[:, None])
        return MaskedStates((value < self.values).all(1), value)

    def backstep(self, states: MaskedStates, actions: Tensor) -> MaskedStates:
        """Unset variables (S,)."""
        value = states.value.scatter(1, actions[:, None], self.values)
        return MaskedStates(torch.zeros_like(states.done), value)

    def undo(self, states: MaskedStates, actions: Tensor) -> Tensor:
        """Return the variables (S,)."""
        del states
        return actions // self.values

    def redo(self, states: MaskedStates, actions: Tensor) -> Tensor:
        """Return the actions (S,) that set what is taken back."""
        return actions * self.values + states.value.gather(1, actions[:, None])[:, 0]

    def keys(self, states: MaskedStates) -> list[Hashable]:
        """Return the values."""
        return [tuple(row) for row in states.value.tolist()]

    def codes(self, states: MaskedStates) -> Tensor:
        """Return (S,) int64, equal exactly where keys are equal."""
        return row_codes(states.value, self.values + 1)

    def decode(self, states: MaskedStates) -> list[tuple[int, ...]]:
        """Return the value of each variable."""
        return [tuple(row) for row in states.value.tolist()]

    def states_of(self, objects: Sequence[Any], generator: torch.Generator) -> MaskedStates:
        """Return the terminal states of objects.

        Raises:
            ValueError: one has other variables or values.
        """
        del generator
        for obj in objects:
            if len(obj) != self.variables or not all(0 <= value < self.values for value in obj):
                raise ValueError(
                    f"{obj!r} is no object of the environment 'masked'; expected {self.variables} numbers below "
                    f"{self.values}."
                )
        value = torch.tensor([list(obj) for obj in objects], dtype=torch.int64).reshape(-1, self.variables)
        return MaskedStates(torch.ones(len(value), dtype=torch.bool), value)

    def partial(self, assignments: Sequence[Mapping[int, int]]) -> MaskedStates:
        """Return the states in which some variables, by number, have values, and the others are not set."""
        value = self.source(len(assignments)).value
        for row, assignment in enumerate(assignments):
            for place, chosen in assignment.items():
                value[row, place] = chosen
        return MaskedStates((value < self.values).all(1), value)

    def k_hot(self, states: MaskedStates) -> Tensor:
        """Return (S, L) int64: i V + value of each variable i that is set."""
        return torch.where(states.value < self.values, states.value + self._offset, self.n_features)

    def log_paths(self, states: MaskedStates) -> Tensor:
        """Return (S,) float64: log k! of k set variables."""
        return ((states.value < self.values).sum(1).double() + 1).lgamma()

    def log_marginal(self, states: MaskedStates, log_flow: Tensor, log_z: Tensor) -> Tensor:
        """Return (S,) float64: log-probabilities of what is set.

        Args:
            states: S assignments.
            log_flow: (S,) of these states; of terminal ones their log-reward.
            log_z: the log-flow of the source.
        """
        k = (states.value < self.values).sum(1).double()
        count = torch.tensor(float(self.variables), dtype=torch.float64)
        ways = (count + 1).lgamma() - (k + 1).lgamma() - (count - k + 1).lgamma()
        return log_flow.double() - log_z.double() + ways


def every_object(variables: int, values: int = 2) -> Tensor:
    """Return all assignments, (V^L, L) int64."""
    numbers = torch.arange(values**variables)
    return numbers[:, None] // values ** torch.arange(variables) % values
