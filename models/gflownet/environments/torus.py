"""Points of a torus: m angles, moved all at once in a fixed number of steps from a fixed point.

An action is one increment for each angle. Real angles have actions (S, m) float64, forward and backward, and what
policies say of them are densities with respect to the Lebesgue measure of the increments; increments are translations,
so no Jacobian enters. Angles on a grid have actions (S,) int64 as other environments have, and can be enumerated.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.environments.base import Environment, NotProvided, States
from models.registry import Component

CONCENTRATION = 4.0
"""Of the three peaks of the reward."""
_PEAKS = 3


def wrapped(angle: Tensor) -> Tensor:
    """Return angles of any size as those in [-pi, pi)."""
    return torch.remainder(angle + math.pi, 2.0 * math.pi) - math.pi


@dataclass(frozen=True)
class TorusStates(States):
    """S points of the torus.

    Attributes:
        place: (S, m) float64, angles in [-pi, pi); on a grid the number of the cell, 0 .. cells - 1.
        time: (S,) int64, steps taken.
    """

    place: Tensor
    time: Tensor

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Select states."""
        return type(self)(self.done[index], self.place[index], self.time[index])


class Torus(Environment[TorusStates]):
    """T steps of increments from the angles 0; the last step leads to the object.

    From the states after the first step there is one way back, to the source: it has no density and the probability
    one. All others have every state of the step before as a parent.

    The reward of its own is the sum of three products over the angles of exp(4 cos(angle - centre)), the centres a
    third of a turn apart, in opposite directions for every other angle: Z = 3 (2 pi I0(4))^m.
    """

    kind: ClassVar[str] = "torus"
    cites: ClassVar[tuple[str, ...]] = ("lahlou2023continuous",)
    small: ClassVar[Mapping[str, Any]] = {"angles": 2, "steps": 2, "cells": 3}

    distance: ClassVar[Literal["tanimoto", "hamming", "overlap", "angular"]] = "angular"

    class Options(Component.Options):
        """Options of the torus."""

        angles: int = Field(2, ge=1, le=64, description="How many angles an object has.")
        steps: int = Field(10, ge=1, le=1000, description="Steps to an object; each moves all angles.")
        cells: int | None = Field(
            None, ge=2, le=360, description="Angles are multiples of a turn over this number; null: they are real."
        )

    def __init__(self, options: Torus.Options | None = None, /, **values: object) -> None:
        super().__init__(options, **values)
        chosen = self.options
        self.angles, self.steps, self.cells = chosen.angles, chosen.steps, chosen.cells
        self.continuous = self.continuous_backward = self.cells is None
        self.n_actions = self.n_backward = 0
        if self.cells is not None:
            self.n_actions = self.n_backward = self.cells**self.angles
            self.n_features = self.angles * self.cells + self.steps + 1
        else:
            self.log_partition = math.log(_PEAKS) + self.angles * (
                math.log(2.0 * math.pi) + CONCENTRATION + math.log(float(torch.special.i0e(torch.tensor(4.0).double())))
            )
        turn = 2.0 * math.pi / _PEAKS
        sign = 1.0 - 2.0 * (torch.arange(self.angles).double() % 2)
        self.centres = wrapped(1.0 + (torch.arange(_PEAKS).double()[:, None] - 1.0) * turn * sign)
        """(3, m) float64, of the peaks of the reward."""
        self._unit = (self.cells or 1) ** torch.arange(self.angles)

    def source(self, n: int) -> TorusStates:
        """Return n times the angles 0, no step taken."""
        place = self.centres.new_zeros((n, self.angles))
        time = self._unit.new_zeros(n)
        return TorusStates(time.bool(), place, time)

    def theta(self, states: TorusStates) -> Tensor:
        """Return (S, m) float64: the angles in [-pi, pi)."""
        return states.place if self.cells is None else wrapped(states.place * (2.0 * math.pi / self.cells))

    def forward_mask(self, states: TorusStates) -> Tensor:
        """Return (S, n_actions) bool: all of them, where not done.

        Raises:
            NotProvided: angles are real.
        """
        self._listed()
        return (~states.done)[:, None].expand(-1, self.n_actions).clone()

    def backward_mask(self, states: TorusStates) -> Tensor:
        """Return (S, n_backward) bool: all of them, but after the first step the one that leads to the source.

        Raises:
            NotProvided: angles are real.
        """
        self._listed()
        every = torch.arange(self.n_backward, device=states.time.device)
        home = every == (states.place.long() * self._unit).sum(1, keepdim=True)
        time = states.time[:, None]
        return (time > 1) | ((time == 1) & home)

    def _listed(self) -> None:
        if self.cells is None:
            raise NotProvided(
                f"The environment {self.kind!r} has real angles here: its actions are numbers, and no mask lists "
                "them. Use the policy 'von_mises_mixture', or give the environment `cells`."
            )

    def is_source(self, states: TorusStates) -> Tensor:
        """Return (S,) bool: no step was taken."""
        return states.time == 0

    def step(self, states: TorusStates, actions: Tensor) -> TorusStates:
        """Add increments: (S, m) of real angles, (S,) numbered ones on a grid."""
        time = states.time + 1
        return TorusStates(time == self.steps, self._moved(states.place, actions, 1), time)

    def backstep(self, states: TorusStates, actions: Tensor) -> TorusStates:
        """Take increments back."""
        time = states.time - 1
        return TorusStates(torch.zeros_like(states.done), self._moved(states.place, actions, -1), time)

    def _moved(self, place: Tensor, actions: Tensor, sign: int) -> Tensor:
        if self.cells is None:
            return wrapped(place + sign * actions)
        increment: Tensor = actions[:, None] // self._unit % self.cells
        return torch.remainder(place + sign * increment, self.cells)

    def undo(self, states: TorusStates, actions: Tensor) -> Tensor:
        """Return the same increments."""
        del states
        return actions

    def redo(self, states: TorusStates, actions: Tensor) -> Tensor:
        """Return the same increments."""
        del states
        return actions

    def keys(self, states: TorusStates) -> list[Hashable]:
        """Return the steps taken and the places."""
        pairs = zip(states.time.tolist(), states.place.tolist(), strict=True)
        return [(time, *row) for time, row in pairs]

    def decode(self, states: TorusStates) -> list[tuple[float, ...]]:
        """Return the angles of each terminal state, in [-pi, pi)."""
        return [tuple(row) for row in self.theta(states).tolist()]

    def encode(self, rows: Sequence[Sequence[float]]) -> TorusStates:
        """Return the terminal states of rows of angles of any size; on a grid those of the nearest cells.

        Raises:
            ValueError: a row has another number of angles.
        """
        wrong = [tuple(row) for row in rows if len(row) != self.angles]
        if wrong:
            raise ValueError(f"The row {wrong[0]} has {len(wrong[0])} numbers; expected {self.angles}, one per angle.")
        place = torch.tensor([[float(x) for x in row] for row in rows], dtype=torch.float64)
        place = place.reshape(len(rows), self.angles).to(self.centres.device)
        if self.cells is None:
            return self._ended(wrapped(place))
        return self._ended((place * (self.cells / (2.0 * math.pi))).round() % self.cells)

    def states_of(self, objects: Sequence[Sequence[float]], generator: torch.Generator) -> TorusStates:
        """Return the terminal states of rows of angles; nothing is drawn.

        Raises:
            ValueError: as `encode`.
        """
        del generator
        return self.encode(objects)

    def _ended(self, place: Tensor) -> TorusStates:
        time = self._unit.new_full((len(place),), self.steps)
        return TorusStates(torch.ones_like(time, dtype=torch.bool), place, time)

    def grid(self, cells: int) -> TorusStates | None:
        """Return terminal states at the midpoints of up to `cells` equal cells; None if fewer than 16 of an angle."""
        most = int(cells ** (1.0 / self.angles) + 1e-9)
        if self.cells is not None or most < 16:
            return None
        midpoints = ((torch.arange(most).double() + 0.5) / most * 2.0 - 1.0) * math.pi
        place = torch.stack(torch.meshgrid(*[midpoints] * self.angles, indexing="ij"), -1)
        return self._ended(place.reshape(-1, self.angles).to(self.centres.device))

    def k_hot(self, states: TorusStates) -> Tensor:
        """Return (S, m + 1) int64: the cell of each angle, and the steps taken.

        Raises:
            NotProvided: angles are real.
        """
        if self.cells is None:
            return super().k_hot(states)
        cell = states.place.long() + self.cells * torch.arange(self.angles, device=states.time.device)
        return torch.cat([cell, self.angles * self.cells + states.time[:, None]], 1)

    def log_paths(self, states: TorusStates) -> Tensor:
        """Return (S,) float64: after t steps, the places of each of the t - 1 steps between.

        Raises:
            NotProvided: angles are real.
        """
        if self.cells is None:
            return super().log_paths(states)
        return (states.time - 1).clamp(min=0).double() * math.log(self.n_actions)

    def log_reward(self, states: TorusStates) -> Tensor:
        """Return (S,) float64: the log of the sum of three products."""
        away = self.theta(states)[:, None, :] - self.centres
        return (CONCENTRATION * away.cos()).sum(2).logsumexp(1)
