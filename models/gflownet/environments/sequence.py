"""Strings over an alphabet, grown at their end, at both ends, or anywhere.

An action is a slot and a letter: action slot * V + letter puts the letter there, backward action `slot` takes it away.
Two actions that lead to the same string are one edge of the state graph, so only one of them is legal (letters that
are put beside an equal one go to its right); otherwise sums over parents would count that parent twice.
"""

from __future__ import annotations

import string
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.environments.numbering import row_codes, strings
from models.registry import Component

LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
"""Letters of an alphabet that is given by its size."""


@dataclass(frozen=True)
class SequenceStates(States):
    """S strings of at most L letters.

    Attributes:
        letter: (S, L) int64, 0 .. V - 1, V after the end.
        length: (S,) int64.
    """

    letter: Tensor
    length: Tensor

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Select states."""
        return type(self)(self.done[index], self.letter[index], self.length[index])


class Growth(ABC):
    """Where letters may be put: `slots` slots, and which of them are legal."""

    def __init__(self, alphabet: int, length: int) -> None:
        self.alphabet, self.length = alphabet, length
        self.slots = self.count()

    @abstractmethod
    def count(self) -> int:
        """Return the number of slots."""

    @abstractmethod
    def place(self, slot: Tensor, length: Tensor) -> Tensor:
        """Return the place (S,) of the letter in the longer string; `length` (S,) is that of the shorter one."""

    @abstractmethod
    def forward(self, states: SequenceStates) -> Tensor:
        """Return (S, slots * V) bool, one true entry per distinct longer string."""

    @abstractmethod
    def backward(self, states: SequenceStates) -> Tensor:
        """Return (S, slots) bool, one true entry per distinct shorter string."""

    def log_paths(self, states: SequenceStates) -> Tensor | None:
        """Return (S,) float64, the log of the number of trajectories; None if there is no closed form."""
        del states
        return None


class Append(Growth):
    """One slot, the end: a tree."""

    def count(self) -> int:
        """Return 1."""
        return 1

    def place(self, slot: Tensor, length: Tensor) -> Tensor:
        """Return the end."""
        del slot
        return length

    def forward(self, states: SequenceStates) -> Tensor:
        """Return all true."""
        return torch.ones_like(states.done)[:, None].expand(-1, self.alphabet)

    def backward(self, states: SequenceStates) -> Tensor:
        """Return whether there is a letter."""
        return (states.length > 0)[:, None]

    def log_paths(self, states: SequenceStates) -> Tensor:
        """Return zeros."""
        return torch.zeros(len(states), dtype=torch.float64, device=states.done.device)


class PrependAppend(Growth):
    """Slot 0 is the end, slot 1 the front. Both give one string where all letters are equal: then it is the end."""

    def count(self) -> int:
        """Return 2."""
        return 2

    def place(self, slot: Tensor, length: Tensor) -> Tensor:
        """Return the end, or 0."""
        return torch.where(slot == 0, length, 0)

    def forward(self, states: SequenceStates) -> Tensor:
        """Return all true but for the letter of a string of equal letters at its front, and the empty front."""
        letters = torch.arange(self.alphabet, device=states.done.device)
        first = states.letter[:, :1]
        same = self._uniform(states)[:, None] & ((first == letters) | (first == self.alphabet))
        return torch.cat([torch.ones_like(same), ~same], 1)

    def backward(self, states: SequenceStates) -> Tensor:
        """Return whether there is a letter, and whether not all are equal."""
        return torch.stack([states.length > 0, ~self._uniform(states)], 1)

    def _uniform(self, states: SequenceStates) -> Tensor:
        letter = states.letter
        return ((letter == letter[:, :1]) | (letter == self.alphabet)).all(1)

    def log_paths(self, states: SequenceStates) -> Tensor:
        """Count by length of substring: N(w) = N(w without first) + N(w without last); 1 where all letters are equal.

        Counts stay below 2^L, which a double holds for any length that is allowed.
        """
        letter = states.letter
        count = torch.ones(letter.shape, dtype=torch.float64, device=letter.device)
        uniform = torch.ones_like(letter, dtype=torch.bool)
        out = count[:, 0]
        for width in range(2, letter.shape[1] + 1):
            uniform = uniform[:, :-1] & (letter[:, width - 1 :] == letter[:, : -width + 1])
            count = torch.where(uniform, 1.0, count[:, :-1] + count[:, 1:])
            out = torch.where(states.length == width, count[:, 0], out)
        return out.log()


class Insert(Growth):
    """Slot p is place p. A letter is never put before an equal one, and the last of a run of letters is taken away."""

    def count(self) -> int:
        """Return the greatest length."""
        return self.length

    def place(self, slot: Tensor, length: Tensor) -> Tensor:
        """Return the slot."""
        del length
        return slot

    def forward(self, states: SequenceStates) -> Tensor:
        """Return true up to the end of the string, for letters other than the one that stands there."""
        letters = torch.arange(self.alphabet, device=states.done.device)
        place = torch.arange(self.length, device=letters.device)[:, None]
        legal = (states.letter[:, :, None] != letters) & (place <= states.length[:, None, None])
        return legal.flatten(1)

    def backward(self, states: SequenceStates) -> Tensor:
        """Return the ends of runs."""
        letter = states.letter
        following = torch.cat([letter[:, 1:], torch.full_like(letter[:, :1], self.alphabet)], 1)
        return letter != following


GROWTHS: Mapping[str, type[Growth]] = {"append": Append, "prepend_append": PrependAppend, "insert": Insert}


class SequenceEnvironment(Environment[SequenceStates]):
    """Strings of `min_length` to `max_length` letters.

    With one length, the last letter ends a trajectory; with several, only the stop does, at the greatest length too.
    The reward comes from outside: see `models.gflownet.rewards.base`.
    """

    kind: ClassVar[str] = "sequence"
    cites: ClassVar[tuple[str, ...]] = ("shen2023towards",)
    small: ClassVar[Mapping[str, Any]] = {"alphabet": "AB", "min_length": 2, "max_length": 4, "mode": "insert"}

    class Options(Component.Options):
        """Options of the sequences."""

        alphabet: str | int = Field("ACGT", description="The letters, or how many.")
        min_length: int | None = Field(None, ge=0, description="Least length; null: max_length.")
        max_length: int = Field(8, ge=1, le=1000)
        mode: Literal["append", "prepend_append", "insert"] = Field("append", description="Where letters are put.")

        @property
        def letters(self) -> str:
            """The letters in order."""
            return self.alphabet if isinstance(self.alphabet, str) else LETTERS[: self.alphabet]

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if isinstance(self.alphabet, int) and not 1 <= self.alphabet <= len(LETTERS):
                raise ValueError(
                    f"an alphabet by size has 1 to {len(LETTERS)} letters; got {self.alphabet}. Give the letters"
                )
            if not self.letters or len(set(self.letters)) < len(self.letters) or "\0" in self.letters:
                raise ValueError(f"an alphabet has distinct characters; got {self.alphabet!r}. Name each letter once")
            if self.min_length is not None and self.min_length > self.max_length:
                raise ValueError(
                    f"no string has at least {self.min_length} and at most {self.max_length} letters. Lower min_length"
                )
            return self

    def __init__(self, options: SequenceEnvironment.Options | None = None, /, **values: object) -> None:
        super().__init__(options, **values)
        chosen: SequenceEnvironment.Options = self.options
        self.letters, self.max_length = chosen.letters, chosen.max_length
        self.min_length = chosen.max_length if chosen.min_length is None else chosen.min_length
        self.size = len(self.letters)
        self._growth = GROWTHS[chosen.mode](self.size, self.max_length)
        moves = self._growth.slots * self.size
        if self.min_length < self.max_length:
            self.stop, self.every_state_stops = moves, self.min_length == 0
        self.n_actions = moves + (self.stop is not None)
        self.n_backward = self._growth.slots + (self.stop is not None)
        self.n_features = self.max_length * self.size
        self._place = torch.arange(self.max_length)
        self._text = np.array([*self.letters, ""])

    def source(self, n: int) -> SequenceStates:
        """Return n empty strings."""
        length = self._place.new_zeros(n)
        letter = torch.full((n, self.max_length), self.size, device=length.device)
        return SequenceStates(torch.zeros_like(length, dtype=torch.bool), letter, length)

    def forward_mask(self, states: SequenceStates) -> Tensor:
        """Return (S, slots * V) bool, and the stop if there is one: one true entry per distinct child."""
        if self.stop is None:
            return self._growth.forward(states) & ~states.done[:, None]
        going = ~states.done
        grow = self._growth.forward(states) & (going & (states.length < self.max_length))[:, None]
        return torch.cat([grow, (going & (states.length >= self.min_length))[:, None]], 1)

    def backward_mask(self, states: SequenceStates) -> Tensor:
        """Return (S, slots) bool, and the stop if there is one: one true entry per distinct parent."""
        shrink = self._growth.backward(states)
        if self.stop is None:
            return shrink
        return torch.cat([shrink & ~states.done[:, None], states.done[:, None]], 1)

    def step(self, states: SequenceStates, actions: Tensor) -> SequenceStates:
        """Take legal forward actions (S,)."""
        slot = actions // self.size
        at = self._growth.place(slot, states.length).clamp(max=self.max_length - 1)[:, None]
        source = self._place - (self._place > at).long()
        letter = states.letter.gather(1, source).scatter(1, at, (actions % self.size)[:, None])
        if self.stop is None:
            length = states.length + 1
            return SequenceStates(length == self.max_length, letter, length)
        stop = actions == self.stop
        return SequenceStates(stop, torch.where(stop[:, None], states.letter, letter), states.length + (~stop).long())

    def backstep(self, states: SequenceStates, actions: Tensor) -> SequenceStates:
        """Take legal backward actions (S,)."""
        at = self._taken(states, actions)
        source = (self._place + (self._place >= at).long()).clamp(max=self.max_length - 1)
        letter = states.letter.gather(1, source)
        letter[:, -1] = self.size
        length = states.length - 1
        if self.stop is not None:
            stop = actions == self.n_backward - 1
            letter, length = torch.where(stop[:, None], states.letter, letter), torch.where(stop, states.length, length)
        return SequenceStates(torch.zeros_like(states.done), letter, length)

    def _taken(self, states: SequenceStates, actions: Tensor) -> Tensor:
        """Return the places (S, 1) of the letters that backward actions take; any valid one for the stop."""
        return self._growth.place(actions, states.length - 1).clamp(0, self.max_length - 1)[:, None]

    def undo(self, states: SequenceStates, actions: Tensor) -> Tensor:
        """Return the slots (S,); the stop is a slot of its own."""
        del states
        return actions // self.size

    def redo(self, states: SequenceStates, actions: Tensor) -> Tensor:
        """Return the forward actions (S,)."""
        letter = states.letter.gather(1, self._taken(states, actions))[:, 0]
        if self.stop is not None:
            letter = letter.masked_fill(actions == self.n_backward - 1, 0)
        return actions * self.size + letter

    def keys(self, states: SequenceStates) -> list[Hashable]:
        """Return the strings and whether they are done."""
        return list(zip(self.decode(states), states.done.tolist(), strict=True))

    def codes(self, states: SequenceStates) -> Tensor:
        """Return (S,) int64, equal exactly where keys are equal."""
        return 2 * row_codes(states.letter, self.size + 1) + states.done

    def decode(self, states: SequenceStates) -> list[str]:
        """Return the strings."""
        return strings(self._text, states.letter)

    def states_of(self, objects: Sequence[str], generator: torch.Generator) -> SequenceStates:
        """Return the terminal states of strings; nothing is drawn.

        Raises:
            ValueError: as `encode`.
        """
        del generator
        return self.encode(objects)

    def encode(self, texts: Sequence[str]) -> SequenceStates:
        """Return the terminal states of strings.

        Raises:
            ValueError: a string has another length or letter than the space has.
        """
        rows = []
        for text in texts:
            if not self.min_length <= len(text) <= self.max_length or not set(text) <= set(self.letters):
                raise ValueError(
                    f"The string {text!r} is outside the space: expected {self.min_length} to {self.max_length} "
                    f"letters of {self.letters!r}. Leave it out, or widen the space."
                )
            row = [self.letters.index(letter) for letter in text]
            rows.append(row + [self.size] * (self.max_length - len(row)))
        letter = torch.tensor(rows, device=self._place.device).view(-1, self.max_length)
        length = (letter < self.size).sum(1)
        return SequenceStates(torch.ones_like(length, dtype=torch.bool), letter.long(), length)

    def k_hot(self, states: SequenceStates) -> Tensor:
        """Return (S, L) int64: i V + letter of each place i before the end."""
        return torch.where(states.letter < self.size, states.letter + self._place * self.size, self.n_features)

    def log_paths(self, states: SequenceStates) -> Tensor:
        """Return (S,) float64: 0 when appending, a count over substrings when prepending too.

        Raises:
            NotProvided: letters are inserted anywhere.
        """
        out = self._growth.log_paths(states)
        return super().log_paths(states) if out is None else out
