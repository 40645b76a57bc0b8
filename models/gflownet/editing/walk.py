"""The random walk of edits that the target is relative to: where it starts, and how it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from data.records import Making, Origin
from models.spaces.base import Variation

_TRIES = 3
"""Edits tried per edit asked for: some fail, and the walk is the one of those that do not."""


@dataclass(frozen=True)
class EditWalk:
    """Starts at one of some objects, all alike, and edits it 1 to `depth` times, each number as likely.

    Attributes:
        variation: the edits of the space.
        starts: where it begins; crossovers are with one of them.
        depth: most edits.
        mutation_share: share of the edits that change one object; the others cross it with a start.
        reached: object -> the edit by which it was first reached; starts have none. It grows as the walk goes.
    """

    variation: Variation
    starts: tuple[str, ...]
    depth: int
    mutation_share: float
    reached: dict[str, Origin] = field(default_factory=dict, compare=False, repr=False)

    def children(self, parent: str, n: int, rng: np.random.Generator) -> list[str]:
        """Return up to n independent draws of one edit of an object; the same child may come several times."""
        drawn: list[str] = []
        for _ in range(_TRIES * n):
            if len(drawn) == n:
                break
            child = self._edit(parent, rng)
            if child is not None:
                drawn.append(child)
        return drawn

    def _edit(self, parent: str, rng: np.random.Generator) -> str | None:
        if rng.random() < self.mutation_share:
            return self._reach(self.variation.mutate(parent, rng), Making.MUTATION, parent)
        other = self.starts[int(rng.integers(len(self.starts)))]
        return self._reach(self.variation.crossover(parent, other, rng), Making.CROSSOVER, parent, other)

    def _reach(self, child: str | None, operation: Making, *parents: str) -> str | None:
        if child is not None and child not in self.reached and child not in self.starts:
            self.reached[child] = Origin(str(operation), tuple(dict.fromkeys(parents)))
        return child
