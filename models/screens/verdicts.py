"""Verdicts that follow from an object alone, remembered for a while: generators, stages and rounds ask for the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Verdicts = dict[str, str | None]

_MOST = 100_000
"""Verdicts that are remembered of one judge."""

_UNKNOWN = ""
"""No verdict is empty: a screen says None or a sentence."""


def remembered(known: Verdicts, objects: Sequence[str], judge: Callable[[str], str | None]) -> list[str | None]:
    """Return verdicts on objects: those that are known, and new ones, which are then known."""
    verdicts = []
    for obj in objects:
        verdict = known.get(obj, _UNKNOWN)
        if verdict == _UNKNOWN:
            if len(known) >= _MOST:
                known.clear()
            verdict = known[obj] = judge(obj)
        verdicts.append(verdict)  # not looked up again: another thread may have forgotten it since
    return verdicts
