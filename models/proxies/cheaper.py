"""What is known of objects at the levels below the truth, as a proxy of several levels is trained on it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from data.records import FloatArray


@dataclass(frozen=True)
class CheaperLevel:
    """The n measurements of one level, in the order of their objects' ids."""

    ids: tuple[str, ...]
    objects: tuple[str, ...]
    values: FloatArray

    def without(self, ids: Collection[str]) -> CheaperLevel:
        """Return the level without some objects."""
        kept = [i for i, key in enumerate(self.ids) if key not in ids]
        return CheaperLevel(tuple(self.ids[i] for i in kept), tuple(self.objects[i] for i in kept), self.values[kept])


@dataclass(frozen=True)
class CheaperLevels:
    """The levels below the truth, from the cheapest."""

    levels: tuple[CheaperLevel, ...]

    def without(self, ids: Collection[str]) -> CheaperLevels:
        """Return the levels without some objects: what is held out is held out at every level."""
        return CheaperLevels(tuple(level.without(ids) for level in self.levels)) if ids else self

    def told(self) -> list[Any]:
        """Return all of it as JSON, numbers to the bit: equal data, equal values."""
        return [
            [list(one.ids), list(one.objects), [value.hex() for value in one.values.tolist()]] for one in self.levels
        ]
