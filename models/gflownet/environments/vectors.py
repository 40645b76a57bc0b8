"""Vectors of real numbers, levels and fractions: step i sets variable i, so the states form a tree.

An action is one number, float64 where there is a real variable: the value that the variable gets. The probability of a
transition is then a density with respect to the Lebesgue measure of that value, and the backward probability is one.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.environments.base import Environment, NotProvided, States
from models.registry import Component, Options

_EDGE = 1e-16
"""Logarithms of numbers below this are taken here: a value on the edge of its range has a finite density."""
_SUM = 1e-6
"""Fractions that are given may miss the sum of one by this much."""
_PEAK = (4.0, 12.0)
"""The exponents of the Betas of the reward, of the first product; exchanged in the second."""


class Real(Options):
    """A number on [0, 1]."""

    kind: Literal["real"] = "real"


class Levels(Options):
    """One of the integers 0 .. n - 1: a category, or a place on a scale."""

    kind: Literal["levels"] = "levels"
    n: int = Field(ge=2, description="How many levels there are.")


class Fractions(Options):
    """Numbers, not negative, that sum to one."""

    kind: Literal["fractions"] = "fractions"
    n: int = Field(ge=2, description="How many fractions there are.")


Variable = Annotated[Real | Levels | Fractions, Field(discriminator="kind")]


@dataclass(frozen=True)
class VectorStates(States):
    """S vectors of which the first numbers are set.

    Attributes:
        value: (S, W) float64, one number for each step: a real, a level, a fraction; 0 where not set yet.
        step: (S,) int64, how many are set.
    """

    value: Tensor
    step: Tensor

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Select states."""
        return type(self)(self.done[index], self.value[index], self.step[index])


class Vectors(Environment[VectorStates]):
    """Variables in a fixed order. m fractions take m - 1 steps, each on [0, what is left of one]; the last is the rest.

    Densities of an object are with respect to the Lebesgue measure of its reals and of all but the last fraction of
    each group, as they stand (not of the shares of what is left), and the counting measure of its levels. So is the
    reward.

    The reward of its own is the sum of two products of densities, over the variables: Beta(4, 12) and Beta(12, 4) of
    reals; n - level and level + 1, divided by their sums, of levels; Dirichlet (6, 2, ..., 2) and (2, ..., 2, 6) of
    fractions. Each product integrates to one: Z = 2.

    Attributes:
        levels: (W,) int64, the levels of each step's number; 0 where it is real.
        after: (W,) float64, b of the law Beta(1, b) of a step's share of what is left under which all values of the
            variable are as likely: 1 of a real, the fractions that come after of a fraction.
    """

    kind: ClassVar[str] = "vectors"
    cites: ClassVar[tuple[str, ...]] = ("lahlou2023continuous",)
    small: ClassVar[Mapping[str, Any]] = {"variables": [{"kind": "levels", "n": n} for n in (3, 2, 4)]}
    log_partition = math.log(2.0)

    class Options(Component.Options):
        """Options of vectors."""

        variables: tuple[Variable, ...] = Field(
            min_length=1, description="{kind: real}, {kind: levels, n: N} or {kind: fractions, n: N}, in order."
        )

    def __init__(self, options: Vectors.Options | None = None, /, **values: object) -> None:
        super().__init__(options, **values)
        self.variables: tuple[Real | Levels | Fractions, ...] = self.options.variables
        self.starts: list[int] = []
        levels: list[int] = []
        after: list[float] = []
        group: list[int] = []
        for number, variable in enumerate(self.variables):
            self.starts.append(len(levels))
            steps = variable.n - 1 if isinstance(variable, Fractions) else 1
            levels += [variable.n if isinstance(variable, Levels) else 0] * steps
            after += [float(steps - place) for place in range(steps)]
            group += [number] * steps
        self.levels, self.after = torch.tensor(levels), torch.tensor(after, dtype=torch.float64)
        self.width = len(levels)
        self.numbers = sum(variable.n if isinstance(variable, Fractions) else 1 for variable in self.variables)
        """Numbers in a row that `encode` takes and `decode` returns."""
        self.continuous = 0 in levels
        self.n_actions, self.n_backward = (0 if self.continuous else max(levels)), 1
        self.n_features = 0 if self.continuous else sum(levels)
        same = torch.tensor(group)[:, None] == torch.tensor(group)
        self._before = same.tril(-1).double()
        self._fractions = any(isinstance(variable, Fractions) for variable in self.variables)
        self._offset = self.levels.cumsum(0) - self.levels

    def source(self, n: int) -> VectorStates:
        """Return n empty vectors."""
        step = self.levels.new_zeros(n)
        return VectorStates(step.bool(), self.after.new_zeros((n, self.width)), step)

    def forward_mask(self, states: VectorStates) -> Tensor:
        """Return (S, n_actions) bool: the levels of the next variable.

        Raises:
            NotProvided: a variable is real.
        """
        if self.continuous:
            raise NotProvided(
                f"The environment {self.kind!r} has real variables here: its actions are numbers, and no mask lists "
                "them. Use the policy 'beta_mixture'."
            )
        here = self.levels[states.step.clamp(max=self.width - 1)]
        legal = torch.arange(self.n_actions, device=here.device) < here[:, None]
        return legal & ~states.done[:, None]

    def backward_mask(self, states: VectorStates) -> Tensor:
        """Return (S, 1) bool: whether a number is set."""
        return (states.step > 0)[:, None]

    def step(self, states: VectorStates, actions: Tensor) -> VectorStates:
        """Set the next number of each state to its action (S,)."""
        value = states.value.scatter(1, states.step[:, None], actions.to(states.value.dtype)[:, None])
        step = states.step + 1
        return VectorStates(step == self.width, value, step)

    def backstep(self, states: VectorStates, actions: Tensor) -> VectorStates:
        """Take the last number away."""
        del actions
        step = states.step - 1
        return VectorStates(torch.zeros_like(states.done), states.value.scatter(1, step[:, None], 0.0), step)

    def undo(self, states: VectorStates, actions: Tensor) -> Tensor:
        """Return zeros (S,)."""
        del actions
        return torch.zeros_like(states.step)

    def redo(self, states: VectorStates, actions: Tensor) -> Tensor:
        """Return the last numbers (S,)."""
        del actions
        last = states.value.gather(1, states.step[:, None] - 1)[:, 0]
        return last if self.continuous else last.long()

    def room(self, states: VectorStates) -> Tensor:
        """Return (S,) float64: the upper end of what the next number may be, if it is real: 1, or what is left of 1."""
        if not self._fractions:
            return torch.ones_like(states.value[:, 0])
        taken = (states.value * self._before[states.step]).sum(1)
        return (1.0 - taken).clamp(min=_EDGE)

    def keys(self, states: VectorStates) -> list[Hashable]:
        """Return the numbers that are set."""
        pairs = zip(states.value.tolist(), states.step.tolist(), strict=True)
        return [tuple(row[:step]) for row, step in pairs]

    def decode(self, states: VectorStates) -> list[tuple[float | int, ...]]:
        """Return one row of numbers for each terminal state: floats, integers of levels, all fractions of a group."""
        return [self._row(numbers) for numbers in states.value.tolist()]

    def _row(self, numbers: list[float]) -> tuple[float | int, ...]:
        row: list[float | int] = []
        for variable, start in zip(self.variables, self.starts, strict=True):
            if isinstance(variable, Levels):
                row.append(int(numbers[start]))
            elif isinstance(variable, Fractions):
                part = numbers[start : start + variable.n - 1]
                row += [*part, max(0.0, 1.0 - math.fsum(part))]
            else:
                row.append(numbers[start])
        return tuple(row)

    def encode(self, rows: Sequence[Sequence[float]]) -> VectorStates:
        """Return the terminal states of rows of numbers as `decode` returns them.

        Raises:
            ValueError: a row has the wrong length, or a number outside its range; fractions do not sum to one.
        """
        parts = [self._steps(row) for row in rows]
        value = torch.tensor(parts, dtype=torch.float64).reshape(len(parts), self.width).to(self.after.device)
        step = self.levels.new_full((len(parts),), self.width)
        return VectorStates(torch.ones_like(step, dtype=torch.bool), value, step)

    def states_of(self, objects: Sequence[Sequence[float]], generator: torch.Generator) -> VectorStates:
        """Return the terminal states of rows of numbers; nothing is drawn.

        Raises:
            ValueError: as `encode`.
        """
        del generator
        return self.encode(objects)

    def grid(self, cells: int) -> VectorStates | None:
        """Return terminal states at the midpoints of up to `cells` equal cells, all levels crossed.

        None where there is no such grid: with fractions, or where it would have fewer than 16 midpoints of a real.
        """
        reals = sum(isinstance(variable, Real) for variable in self.variables)
        levels = math.prod(variable.n for variable in self.variables if isinstance(variable, Levels))
        most = int((cells / levels) ** (1.0 / reals) + 1e-9) if reals else 1
        if self._fractions or most < min(16, 16 * reals) or levels > cells:
            return None
        midpoints = ((torch.arange(most) + 0.5) / most).double()
        axes = [torch.arange(v.n).double() if isinstance(v, Levels) else midpoints for v in self.variables]
        value = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, self.width).to(self.after.device)
        step = self.levels.new_full((len(value),), self.width)
        return VectorStates(torch.ones_like(step, dtype=torch.bool), value, step)

    def _steps(self, row: Sequence[float]) -> list[float]:
        if len(row) != self.numbers:
            raise ValueError(f"The row {tuple(row)} has {len(row)} numbers; expected {self.numbers}, one per variable.")
        steps: list[float] = []
        place = 0
        for variable in self.variables:
            n = variable.n if isinstance(variable, Fractions) else 1
            part = [float(number) for number in row[place : place + n]]
            place += n
            if isinstance(variable, Levels):
                if part[0] not in range(variable.n):
                    raise ValueError(
                        f"A level of {tuple(row)} is {part[0]}; expected an integer 0 .. {variable.n - 1}."
                    )
            elif not all(0.0 <= number <= 1.0 for number in part):
                raise ValueError(f"The row {tuple(row)} has {part}; expected numbers from 0 to 1.")
            if isinstance(variable, Fractions):
                if abs(math.fsum(part) - 1.0) > _SUM:
                    raise ValueError(
                        f"The fractions {part} of {tuple(row)} sum to {math.fsum(part)}; expected 1. Divide by the sum."
                    )
                part = part[:-1]
            steps += part
        return steps

    def k_hot(self, states: VectorStates) -> Tensor:
        """Return (S, W) int64: which level of which variable, of those that are set.

        Raises:
            NotProvided: a variable is real.
        """
        if self.continuous:
            return super().k_hot(states)
        unset = torch.arange(self.width, device=states.step.device) >= states.step[:, None]
        return (states.value.long() + self._offset).masked_fill(unset, self.n_features)

    def log_paths(self, states: VectorStates) -> Tensor:
        """Return zeros (S,) float64: one trajectory leads to each state."""
        return torch.zeros_like(states.value[:, 0])

    def log_reward(self, states: VectorStates) -> Tensor:
        """Return (S,) float64: the log of two products of densities, which integrates to 2."""
        first, second = torch.zeros_like(states.value[:, 0]), torch.zeros_like(states.value[:, 0])
        for variable, start in zip(self.variables, self.starts, strict=True):
            x = states.value[:, start]
            if isinstance(variable, Levels):
                total = variable.n * (variable.n + 1) / 2
                first, second = first + ((variable.n - x) / total).log(), second + ((x + 1) / total).log()
                continue
            powers: tuple[float, ...] = _PEAK
            parts = x[:, None]
            if isinstance(variable, Fractions):
                powers = (6.0, *[2.0] * (variable.n - 1))
                parts = states.value[:, start : start + variable.n - 1]
            parts = torch.cat([parts, 1.0 - parts.sum(1, keepdim=True)], 1).clamp(min=_EDGE)
            first, second = first + _dirichlet(parts, powers), second + _dirichlet(parts, powers[::-1])
        return torch.logaddexp(first, second)


def _dirichlet(parts: Tensor, powers: Sequence[float]) -> Tensor:
    """Return (S,): the log-density of parts (S, n), with respect to the Lebesgue measure of all but the last."""
    constant = math.lgamma(math.fsum(powers)) - math.fsum(math.lgamma(power) for power in powers)
    exponents = parts.new_tensor(powers) - 1.0
    out: Tensor = constant + (parts.log() * exponents).sum(1)
    return out
