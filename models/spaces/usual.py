"""The space of parts that stand alone: what no campaign has bound to a space is asked for molecules."""

from __future__ import annotations

from functools import cache
from typing import Any

from models.registry import build
from models.spaces.base import BaseSpace


@cache
def usual_space() -> BaseSpace[Any]:
    """Return the space of molecules."""
    space: BaseSpace[Any] = build("space", {"kind": "molecules"})
    return space
