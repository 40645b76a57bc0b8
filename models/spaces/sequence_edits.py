"""Edits of sequences: point mutation, insertion, deletion, two-point crossover."""

from __future__ import annotations

import re

import numpy as np

_TRIES = 30
"""Edits that are tried until one stays inside the space and changes something."""


class SequenceEdits:
    """Random edits of sequences that stay within alphabet, lengths and pattern.

    Args:
        letters: the alphabet.
        shortest: fewest letters.
        longest: most letters.
        pattern: what a whole sequence matches; None: any does.
    """

    def __init__(self, letters: str, shortest: int, longest: int, pattern: re.Pattern[str] | None = None) -> None:
        self.letters, self.shortest, self.longest, self.pattern = letters, shortest, longest, pattern

    def mutate(self, obj: str, rng: np.random.Generator) -> str | None:
        """Return a sequence with one letter changed (half of the draws, or all of one length), put in or taken out."""
        for _ in range(_TRIES):
            edited = self._edited(obj, rng)
            if edited != obj and self._inside(edited):
                return edited
        return None

    def crossover(self, first: str, second: str, rng: np.random.Generator) -> str | None:
        """Return the second with its middle between the ends of the first; ends are counted from both sides.

        So the child is as long as the second, and sequences of one length exchange letters at equal places.
        """
        room = min(len(first), len(second))
        for _ in range(_TRIES):
            left, right = sorted(int(cut) for cut in rng.integers(0, room + 1, size=2))
            tail = room - right
            child = first[:left] + second[left : len(second) - tail] + first[len(first) - tail :]
            if child not in (first, second) and self._inside(child):
                return child
        return None

    def _edited(self, obj: str, rng: np.random.Generator) -> str:
        draw = rng.random()
        inserts = self.shortest < self.longest and draw < 0.25
        place = int(rng.integers(len(obj) + inserts))
        letter = self.letters[int(rng.integers(len(self.letters)))]
        if inserts:
            return obj[:place] + letter + obj[place:]
        if self.shortest == self.longest or draw < 0.75:
            return obj[:place] + letter + obj[place + 1 :]
        return obj[:place] + obj[place + 1 :]

    def _inside(self, obj: str) -> bool:
        if not self.shortest <= len(obj) <= self.longest:
            return False
        return self.pattern is None or self.pattern.fullmatch(obj) is not None
