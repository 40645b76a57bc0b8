"""The hypergrid of the first GFlowNet paper: walk from a corner in D dimensions, stop anywhere.

Thresholds of the rewards are compared as integers, so a coordinate on a threshold is never decided by rounding.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.environments.numbering import log_multinomial, row_codes
from models.registry import Component


@dataclass(frozen=True)
class GridStates(States):
    """S places in the grid.

    Attributes:
        place: (S, D + 1) int64, the coordinates in 0 .. H - 1; the last column is 1 where stopped, else 0.
    """

    place: Tensor

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Select states."""
        return type(self)(self.done[index], self.place[index])


class HyperGrid(Environment[GridStates]):
    """D coordinates from 0 to H - 1: actions 0 .. D - 1 add one to a coordinate, action D stops, anywhere.

    Every complete trajectory to x has sum(x) + 1 actions. With a_i = |x_i / (H - 1) - 0.5| the rewards are:

    * `original` (`dense` is another name for it): r0 + r1 prod 1[0.25 < a_i] + r2 prod 1[0.3 < a_i < 0.4].
    * `cosine`: r0 + r1 prod (cos(50 a_i) + 1) phi(5 a_i), phi the standard normal density.
    * `sparse`: 1 where every coordinate is 1 or H - 2 and not all are 1, else `floor`; in two dimensions these are the
      three goals of Pan et al., Generative augmented flow networks, ICLR 2023.
    """

    kind: ClassVar[str] = "hypergrid"
    cites: ClassVar[tuple[str, ...]] = ("bengio2021flow",)
    small: ClassVar[Mapping[str, Any]] = {"dimensions": 3, "height": 4}
    every_state_stops = True

    class Options(Component.Options):
        """Options of the hypergrid."""

        dimensions: int = Field(2, ge=1, le=64, description="D, the number of coordinates.")
        height: int = Field(8, ge=2, description="H, the values of a coordinate.")
        reward: Literal["original", "dense", "cosine", "sparse"] = Field("original", description="dense = original.")
        r0: float = Field(0.1, gt=0, description="Reward everywhere (original and cosine).")
        r1: float = Field(0.5, ge=0, description="Reward of the outer ring; weight of the cosine density.")
        r2: float = Field(2.0, ge=0, description="Reward added at the modes (original).")
        floor: float = Field(1e-8, gt=0, description="Reward elsewhere (sparse).")

        def cited(self) -> tuple[str, ...]:
            """Return the paper of the sparse reward."""
            return ("pan2023gafn",) if self.reward == "sparse" else ()

        @model_validator(mode="after")
        def _goals_differ(self) -> Self:
            if self.reward == "sparse" and self.height < 4:
                raise ValueError(
                    f"the sparse reward has its goals at coordinates 1 and height - 2; got height {self.height}, "
                    "expected at least 4. Take a higher grid or another reward"
                )
            return self

    def __init__(self, options: HyperGrid.Options | None = None, /, **values: object) -> None:
        super().__init__(options, **values)
        self.dimensions: int = self.options.dimensions
        self.height: int = self.options.height
        self.stop = self.dimensions
        self.n_actions = self.n_backward = self.dimensions + 1
        self.n_features = self.dimensions * self.height
        self._moves = torch.eye(self.n_actions, dtype=torch.int64)
        self._last = torch.tensor([self.height - 1] * self.dimensions + [1])
        self._is_stop = torch.arange(self.n_actions) == self.stop
        self._offset = torch.arange(self.dimensions) * self.height
        self._value = self._values()

    def source(self, n: int) -> GridStates:
        """Return n copies of the corner (0, ..., 0)."""
        place = self._last.new_zeros((n, self.n_actions))
        return GridStates(place.new_zeros(n, dtype=torch.bool), place)

    def forward_mask(self, states: GridStates) -> Tensor:
        """Return (S, D + 1) bool: coordinates that can grow, and the stop."""
        return (states.place < self._last).logical_and_(~states.done[:, None])

    def backward_mask(self, states: GridStates) -> Tensor:
        """Return (S, D + 1) bool: coordinates that can shrink; of a stopped state only the stop."""
        return (states.place > 0).logical_and_(states.done[:, None] == self._is_stop)

    def step(self, states: GridStates, actions: Tensor) -> GridStates:
        """Take legal forward actions (S,)."""
        return GridStates(actions == self.dimensions, states.place + self._moves.index_select(0, actions))

    def backstep(self, states: GridStates, actions: Tensor) -> GridStates:
        """Take legal backward actions (S,)."""
        place = states.place - self._moves.index_select(0, actions)
        return GridStates(torch.zeros_like(states.done), place)

    def undo(self, states: GridStates, actions: Tensor) -> Tensor:
        """Return the same numbers (S,): backward action i takes one from coordinate i, D takes the stop back."""
        del states
        return actions

    def redo(self, states: GridStates, actions: Tensor) -> Tensor:
        """Return the same numbers (S,)."""
        del states
        return actions

    def keys(self, states: GridStates) -> list[Hashable]:
        """Return the coordinates and the stop."""
        return [tuple(row) for row in states.place.tolist()]

    def codes(self, states: GridStates) -> Tensor:
        """Return (S,) int64, equal exactly where keys are equal."""
        return row_codes(states.place, self.height)

    def decode(self, states: GridStates) -> list[tuple[int, ...]]:
        """Return the coordinates."""
        return [tuple(row) for row in states.place[:, : self.dimensions].tolist()]

    def k_hot(self, states: GridStates) -> Tensor:
        """Return (S, D) int64: i H + x_i of each coordinate i. A stop is not told: its state has but one parent."""
        hot: Tensor = states.place[:, : self.dimensions] + self._offset
        return hot

    def log_paths(self, states: GridStates) -> Tensor:
        """Return (S,) float64: the log of the multinomial coefficient (sum x_i)! / prod x_i!."""
        return log_multinomial(states.place[:, : self.dimensions])

    def log_reward(self, states: GridStates) -> Tensor:
        """Return (S,) float64; of a state that has not stopped, the reward it would have."""
        value = self._value[states.place[:, : self.dimensions]]
        least, options = value.amin(1), self.options
        reward: Tensor
        if options.reward == "cosine":
            reward = options.r0 + options.r1 * value.prod(1)
        elif options.reward == "sparse":
            reward = ((least > 0) & (value.amax(1) == 2)).double().clamp(min=options.floor)
        else:
            reward = options.r0 + options.r1 * (least >= 1).double() + options.r2 * (least == 2).double()
        return reward.log()

    def log_partial(self, states: GridStates) -> Tensor:
        """Return (S,) float64: the log-reward of stopping here."""
        return self.log_reward(states)

    def _values(self) -> Tensor:
        """Return (H,) float64: the part of one coordinate in the reward; 0, 1, 2 for outside, ring or 1, mode or H - 2.

        The indicators of the ring and of the modes are nested, so a product of indicators is a smallest value.
        """
        x = torch.arange(self.height)
        if self.options.reward == "sparse":
            return ((x == 1).long() + 2 * (x == self.height - 2)).double()
        twice, span = (2 * x - (self.height - 1)).abs(), self.height - 1
        if self.options.reward == "cosine":
            a = twice.double() / (2 * span)
            return ((50 * a).cos() + 1) * (-12.5 * a**2).exp() / math.sqrt(2 * math.pi)
        ring, mode = 2 * twice > span, (5 * twice > 3 * span) & (5 * twice < 4 * span)
        return (ring.long() + mode.long()).double()
