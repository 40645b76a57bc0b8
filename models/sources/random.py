"""No library: objects drawn from the space itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from data.tables.readers import Row
from models.generators.random import random_objects
from models.registry import Component
from models.spaces.base import BaseSpace


class Random(Component["Random.Options"]):
    """Objects drawn from the space: the initial design, and what generators begin with.

    The design comes first and is spread over the space where the space knows how (a Sobol sequence of real variables).
    """

    group = "source"
    kind = "random"
    ordered = True
    """The initial design takes the first objects."""

    class Options(Component.Options):
        """Options of the source `random`."""

        size: int = Field(default=256, ge=1, le=1_000_000, description="objects that are drawn")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._objects: Sequence[str] = ()
        self._fingerprint = ""

    def prepare(self, space: BaseSpace[Any], seed: int) -> None:
        """Draw the objects."""
        design = space.design(self.options.size, seed)
        self._objects = random_objects(space, self.options.size, seed) if design is None else design
        self._fingerprint = f"random {space.key()} {seed} {self.options.size}"

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the objects, numbered from 1."""
        return (Row(number, text, "") for number, text in enumerate(self._objects, start=1))

    def fingerprint(self, base: Path) -> str:
        """Return what changes when the rows do."""
        return self._fingerprint
