"""The search space itself as a screen: bounds, and what must not be bought although it may be known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.screens.verdicts import Verdicts, remembered
from models.spaces.base import BaseSpace

_known: dict[str, Verdicts] = {}
"""Key of a space -> what it said of objects; generators, the stage `screen` and the next round ask for the same."""


class InSpace:
    """Refuse objects outside a space, and those that its rules forbid to buy; every campaign's first screen."""

    kind = "space"

    def __init__(self, space: BaseSpace[Any]) -> None:
        self.space = space
        self._known = _known.setdefault(space.key(), {})

    def counted_as(self, obj: str) -> str:
        """Return as what a refused object is counted: outside the space, or inside but unfit to be bought."""
        return self.kind if self.space.outside(obj) is not None else self.space.unfit_kind

    def refuse(self, objects: Sequence[str]) -> list[str | None]:
        """Return, per object, None if it passes or one sentence that says why it is refused."""
        reasons = remembered(self._known, objects, self.space.unfit)
        return [None if reason is None else f"Outside the space: {reason}." for reason in reasons]
