"""The best of many objects, not too many of one family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence


def spread(objects: Sequence[str], family: Callable[[str], str], n: int, per_family: int) -> tuple[str, ...]:
    """Return the first n of objects in order, of each family `per_family` at most; then, if those are too few, others.

    Args:
        objects: best first.
        family: of an object; asked for no more of them than needed.
        n: how many.
        per_family: at least 1.
    """
    counts: Counter[str] = Counter()
    chosen: list[str] = []
    rest: list[str] = []
    for obj in objects:
        if len(chosen) == n:
            break
        name = family(obj)
        counts[name] += 1
        (chosen if counts[name] <= per_family else rest).append(obj)
    return tuple([*chosen, *rest][:n])
