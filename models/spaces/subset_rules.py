"""Which items may stand together in a subset, and subsets made by these rules: grown, listed, varied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from numpy.typing import NDArray

Members = tuple[int, ...]
"""Places of the members among the items, ascending."""

_LISTED = 20_000
"""Subsets, and steps on the way to them, up to which a space is listed, not drawn from."""
_TRIES = 20
"""Edits, or draws per subset that is asked for, until one is given up."""


@dataclass(frozen=True)
class Rules:
    """Bounds of the size, and pairs that exclude each other.

    Attributes:
        items: number of items.
        smallest: fewest members.
        largest: most members.
        excluded: shape `(items, items)`, symmetric, true where two items must not both be members; None: no pair.
    """

    items: int
    smallest: int
    largest: int
    excluded: NDArray[np.bool_] | None = None

    def free(self, members: Iterable[int]) -> NDArray[np.intp]:
        """Return the places of the items that could be added, ascending."""
        chosen = list(members)
        allowed: NDArray[np.bool_] = np.ones(self.items, dtype=bool)
        if self.excluded is not None and chosen:
            allowed = ~np.any(self.excluded[chosen], axis=0)
        allowed[chosen] = False
        return np.flatnonzero(allowed)

    def grown(self, members: Sequence[int], size: int, rng: np.random.Generator) -> Members:
        """Return members with random items added, one by one, up to a size or until no other item fits."""
        chosen = list(members)
        order = rng.permutation(self.items)
        allowed = np.zeros(self.items, dtype=bool)
        allowed[self.free(chosen)] = True
        for place in order:
            if len(chosen) >= size:
                break
            if allowed[place]:
                chosen.append(int(place))
                if self.excluded is not None:
                    allowed &= ~self.excluded[place]
        return tuple(sorted(chosen))

    @cached_property
    def all(self) -> list[Members] | None:
        """All subsets, where listing them takes no longer than drawing; None: they are too many."""
        if self.excluded is None and sum(comb(self.items, size) for size in range(self.largest + 1)) > _LISTED:
            return None
        found: list[Members] = []
        level: list[Members] = [()]
        steps = 0
        for size in range(self.largest + 1):
            if size >= self.smallest:
                found += level
            larger: list[Members] = []
            for members in level if size < self.largest else ():
                later = self.free(members)
                later = later[later > members[-1]] if members else later
                steps += 1 + len(later)
                if steps > _LISTED:
                    return None
                larger += [(*members, int(place)) for place in later]
            level = larger
        return found

    def drawn(self, n: int, rng: np.random.Generator, *, by_size: bool) -> list[Members]:
        """Return up to n distinct subsets: uniform where all can be listed or no pair is excluded, else grown.

        Args:
            n: subsets that are asked for.
            rng: of the draws.
            by_size: whether a size is drawn first, all being equally likely.
        """
        if self.all is not None and (not by_size or len(self.all) <= n):
            return [self.all[at] for at in rng.permutation(len(self.all))[:n]]
        sizes = range(self.smallest, self.largest + 1)
        top = max(comb(self.items, size) for size in sizes)
        even = by_size or self.excluded is not None
        # Ratios of whole numbers: numbers of subsets are beyond any float.
        weights = np.array([1.0 if even else comb(self.items, size) / top for size in sizes])
        found: dict[Members, None] = {}
        for size in rng.choice(sizes, size=_TRIES * n + 100, p=weights / weights.sum()):
            if len(found) >= n:
                break
            members = self.grown((), int(size), rng)
            if len(members) >= self.smallest:
                found[members] = None
        return list(found)

    def mutated(self, members: Members, rng: np.random.Generator) -> Members | None:
        """Return members with one item exchanged (half of the draws, or all of one size), added or dropped."""
        for _ in range(_TRIES):
            draw = rng.random()
            chosen = list(members)
            if chosen and (draw < 0.75 or self.smallest == self.largest):
                del chosen[int(rng.integers(len(chosen)))]
            if draw < 0.5 or draw >= 0.75 or self.smallest == self.largest:
                free = [place for place in self.free(chosen) if place not in members]
                if free:
                    chosen.append(int(free[int(rng.integers(len(free)))]))
            edited = tuple(sorted(chosen))
            if edited != members and self.smallest <= len(edited) <= self.largest:
                return edited
        return None

    def crossed(self, first: Members, second: Members, rng: np.random.Generator) -> Members | None:
        """Return a subset of the union of two: what they share, then the others in random order as they fit.

        Its size is drawn between those of the two; where the union has too few that go together, other items are added.
        """
        shared = sorted(set(first) & set(second))
        others = sorted(set(first) ^ set(second))
        low, high = sorted((len(first), len(second)))
        for _ in range(_TRIES):
            size = int(rng.integers(low, high + 1))
            chosen = list(shared)
            for at in rng.permutation(len(others)):
                if len(chosen) >= size:
                    break
                place = others[at]
                if self.excluded is None or not self.excluded[place, chosen].any():
                    chosen.append(place)
            child = tuple(sorted(chosen))
            if len(child) < self.smallest:
                child = self.grown(child, self.smallest, rng)
            if len(child) >= self.smallest and child not in (first, second):
                return child
        return None
