"""Bit strings written from left to right in words of k bits."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.environments.numbering import row_codes, strings
from models.registry import Component

BLOCKS = ("00000000", "11111111", "11110000", "00001111", "00111100")
"""Modes are made of these (Malkin et al., appendix)."""


@dataclass(frozen=True)
class WordStates(States):
    """S prefixes of at most L words.

    Attributes:
        word: (S, L) int64, 0 .. 2^k - 1, the first bit the highest; 2^k where not written yet.
        length: (S,) int64, words written.
    """

    word: Tensor
    length: Tensor

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Select states."""
        return type(self)(self.done[index], self.word[index], self.length[index])


class BitSequence(Environment[WordStates]):
    """Strings of n bits; action w appends word w, and the last word ends a trajectory: the states are a tree.

    R(x) = exp(-beta min over the modes m of Hamming(x, m) / n), up to the constant exp(beta) of the paper. The modes
    are distinct strings of random blocks of eight bits.
    """

    kind: ClassVar[str] = "bit_sequence"
    cites: ClassVar[tuple[str, ...]] = ("malkin2022tb",)
    small: ClassVar[Mapping[str, Any]] = {"bits": 8, "word": 2, "modes": 3}

    class Options(Component.Options):
        """Options of the bit sequences."""

        bits: int = Field(120, ge=8, multiple_of=8, description="n, the length of a string.")
        word: int = Field(8, ge=1, le=16, description="k, the bits of an action; divides n.")
        modes: int = Field(60, ge=1, description="Number of modes.")
        beta: float = Field(3.0, gt=0, description="Sharpness of the reward.")
        seed: int = Field(0, ge=0, description="Seed of the modes.")

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.bits % self.word:
                raise ValueError(
                    f"words must fill the string: got {self.bits} bits in words of {self.word}. Take a divisor"
                )
            if self.modes > len(BLOCKS) ** (self.bits // 8):
                raise ValueError(
                    f"there are only {len(BLOCKS) ** (self.bits // 8)} strings of the {len(BLOCKS)} blocks in "
                    f"{self.bits} bits; got {self.modes} modes. Ask for fewer, or for longer strings"
                )
            return self

    def __init__(self, options: BitSequence.Options | None = None, /, **values: object) -> None:
        super().__init__(options, **values)
        self.bits: int = self.options.bits
        self.word: int = self.options.word
        self.words, self._empty = self.bits // self.word, 2**self.word
        self.n_actions, self.n_backward = 2**self.word, 1
        self.n_features = self.words * self.n_actions
        self._offset = torch.arange(self.words) * self.n_actions
        shift = torch.arange(self.word - 1, -1, -1)
        signs = 2.0 * (torch.arange(self.n_actions)[:, None] >> shift & 1) - 1.0
        self._signs = torch.cat([signs, torch.zeros(1, self.word)])
        self._text = np.array([f"{word:0{self.word}b}" for word in range(self.n_actions)] + [""])
        self.modes = _modes(self.bits // 8, self.options.modes, self.options.seed)
        self._modes = torch.tensor([[2.0 * int(bit) - 1.0 for bit in mode] for mode in self.modes])

    def source(self, n: int) -> WordStates:
        """Return n empty strings."""
        length = self._offset.new_zeros(n)
        word = torch.full((n, self.words), self._empty, device=length.device)
        return WordStates(torch.zeros_like(length, dtype=torch.bool), word, length)

    def forward_mask(self, states: WordStates) -> Tensor:
        """Return (S, 2^k) bool: any word, until the string is full."""
        return (~states.done)[:, None].expand(-1, self.n_actions)

    def backward_mask(self, states: WordStates) -> Tensor:
        """Return (S, 1) bool: the last word can be taken away."""
        return (states.length > 0)[:, None]

    def step(self, states: WordStates, actions: Tensor) -> WordStates:
        """Append words (S,)."""
        word, length = states.word.scatter(1, states.length[:, None], actions[:, None]), states.length + 1
        return WordStates(length == self.words, word, length)

    def backstep(self, states: WordStates, actions: Tensor) -> WordStates:
        """Take the last words away."""
        del actions
        length = states.length - 1
        return WordStates(torch.zeros_like(states.done), states.word.scatter(1, length[:, None], self._empty), length)

    def undo(self, states: WordStates, actions: Tensor) -> Tensor:
        """Return zeros (S,): the only backward action."""
        del states
        return torch.zeros_like(actions)

    def redo(self, states: WordStates, actions: Tensor) -> Tensor:
        """Return the last words (S,)."""
        del actions
        return states.word.gather(1, states.length[:, None] - 1)[:, 0]

    def keys(self, states: WordStates) -> list[Hashable]:
        """Return the bits so far."""
        return list(self.decode(states))

    def codes(self, states: WordStates) -> Tensor:
        """Return (S,) int64, equal exactly where keys are equal."""
        return row_codes(states.word, self._empty + 1)

    def decode(self, states: WordStates) -> list[str]:
        """Return strings of 0 and 1."""
        return strings(self._text, states.word)

    def k_hot(self, states: WordStates) -> Tensor:
        """Return (S, L) int64: i 2^k + word of each place i that is written."""
        return torch.where(states.word < self._empty, states.word + self._offset, self.n_features)

    def log_paths(self, states: WordStates) -> Tensor:
        """Return zeros (S,) float64: one trajectory leads to each state."""
        return torch.zeros(len(states), dtype=torch.float64, device=states.done.device)

    def log_reward(self, states: WordStates) -> Tensor:
        """Return (S,) float64; of a prefix, that of its distance to the nearest prefix of a mode."""
        signs = self._signs[states.word].flatten(1)
        # The product of signs is (equal bits) - (different bits), exactly, as these are small integers.
        nearest = (signs @ self._modes.T).amax(1)
        distance = (states.length * self.word - nearest.double()) / 2
        out: Tensor = -self.options.beta * distance / self.bits
        return out

    def log_partial(self, states: WordStates) -> Tensor:
        """Return (S,) float64: `log_reward` of the prefix."""
        return self.log_reward(states)


def _modes(blocks: int, n: int, seed: int) -> list[str]:
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, None] = {}
    while len(found) < n:
        places = torch.randint(len(BLOCKS), (blocks,), generator=generator).tolist()
        found["".join(BLOCKS[place] for place in places)] = None
    return list(found)
