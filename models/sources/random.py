"""No library: objects drawn from the space itself."""

from __future__ import annotations

from collections.abc import Iterator
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
        self._space: BaseSpace[Any] | None = None
        self._seed = 0

    def prepare(self, space: BaseSpace[Any], seed: int) -> None:
        """Keep what the objects are drawn from."""
        self._space, self._seed = space, seed

    def rows(self, base: Path) -> Iterator[Row]:
        """Draw the objects; yield them numbered from 1."""
        space, size = self._prepared(), self.options.size
        design = space.design(size, self._seed)
        objects = random_objects(space, size, self._seed) if design is None else design
        return (Row(number, text, "") for number, text in enumerate(objects, start=1))

    def fingerprint(self, base: Path) -> str:
        """Return what changes when the rows do."""
        return f"random {self._prepared().key()} {self._seed} {self.options.size}"

    def _prepared(self) -> BaseSpace[Any]:
        if self._space is None:
            raise RuntimeError("The source has no space yet; call `prepare` before its rows are read.")
        return self._space
