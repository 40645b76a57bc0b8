"""How the objects of a search were made of one another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

from data.records import Origin


class Origins:
    """Who was made of whom; each object as it was made when it was first reached, so that none is its own ancestor.

    Args:
        made: object -> how it was made.
        starts: objects that the search begins with: none of them is made.
    """

    def __init__(self, made: Mapping[str, Origin] | None = None, starts: Iterable[str] = ()) -> None:
        self._made = dict(made or {})
        self._given = {*starts, *(parent for origin in self._made.values() for parent in origin.parents)}

    def record(self, obj: str, origin: Origin) -> None:
        """Note how an object was made, unless it was there before."""
        if obj not in self._made and obj not in self._given:
            self._made[obj] = origin
            self._given.update(origin.parents)

    def closure(self, objects: Iterable[str]) -> dict[str, Origin]:
        """Return how each of some objects and of their ancestors was made; starts have no entry."""
        found: dict[str, Origin] = {}
        waiting = list(objects)[::-1]
        while waiting:
            obj = waiting.pop()
            origin = self._made.get(obj)
            if origin is not None and obj not in found:
                found[obj] = origin
                waiting += origin.parents[::-1]
        return found


KEY = "origins"
"""Where the `state` of a generator has what `to_state` makes: whoever holds the state alone finds it there."""


def to_state(made: Mapping[str, Origin]) -> dict[str, Any]:
    """Return origins as flat lists of texts and numbers: thirteen bytes an object whose text a state has anyway."""
    objects = list(dict.fromkeys([*made, *(parent for origin in made.values() for parent in origin.parents)]))
    place = {obj: number for number, obj in enumerate(objects)}
    ways = [(origin.operation, len(origin.parents)) for origin in made.values()]
    kinds = list(dict.fromkeys(ways))
    return {
        "objects": objects,
        "operations": [operation for operation, _ in kinds],
        "numbers": [number for _, number in kinds],
        "made": [kinds.index(way) for way in ways],
        "parents": [place[parent] for origin in made.values() for parent in origin.parents],
    }


def from_state(state: Mapping[str, Any] | None) -> dict[str, Origin]:
    """Return what was given to `to_state`; nothing of a state that has none, as those of before."""
    if not state:
        return {}
    objects, parents = state["objects"], iter(state["parents"])
    return {
        obj: Origin(state["operations"][kind], tuple(objects[next(parents)] for _ in range(state["numbers"][kind])))
        for obj, kind in zip(objects, state["made"], strict=False)
    }


Told = Callable[[Sequence[str]], Mapping[str, Origin]]
"""What one source of origins knows of some objects and their ancestors, as `Remembering.lineage`."""


def joined(sources: Sequence[Told], objects: Sequence[str], starts: Container[str] = ()) -> dict[str, Origin]:
    """Return the origins of objects and all their ancestors from several sources, one beginning where others end.

    Where several know an object, the way of fewest generations is believed (`grounded`). Measured objects and those of
    a library are to be among the `starts`: one search may have made what another began with.
    """
    known: list[dict[str, Origin]] = [{} for _ in sources]
    asked, waiting = set[str](), list(dict.fromkeys(objects))
    while waiting:
        asked.update(waiting)
        for found, source in zip(known, sources, strict=True):
            found.update(source(waiting))
        met = {obj: None for found in known for made, origin in found.items() for obj in (made, *origin.parents)}
        waiting = [obj for obj in met if obj not in asked]
    return grounded(
        lambda obj: [] if obj in starts else [found[obj] for found in known if obj in found],
        objects,
    )


def grounded(ways: Callable[[str], Sequence[Origin]], objects: Iterable[str]) -> dict[str, Origin]:
    """Return one way to make each of some objects and of their ancestors, such that none is its own ancestor.

    What is made of nothing, or has no way at all, is there from the beginning; everything else once all parents of one
    of its ways are there. So what was made in a circle, by two searches that began with each other's objects, is traced
    to where it came into the circle.

    Args:
        ways: how an object may have been made, the likeliest first.
        objects: those that are asked for.
    """
    known: dict[str, Sequence[Origin]] = {}
    waiting = list(objects)
    while waiting:
        obj = waiting.pop()
        if obj not in known:
            known[obj] = ways(obj)
            waiting += [parent for way in known[obj] for parent in way.parents]
    needed_by: dict[str, list[tuple[str, Origin, set[str]]]] = {}
    chosen, there = dict[str, Origin](), dict[str, None]()
    for obj, told in known.items():
        if not told:
            there[obj] = None
        for way in told:
            lacking = (obj, way, set(way.parents))
            if not way.parents and obj not in there:
                chosen[obj], there[obj] = way, None
            for parent in lacking[2]:
                needed_by.setdefault(parent, []).append(lacking)
    queue, left = deque(there), list(known)
    while queue or left:
        if not queue:
            # A circle that nothing leads into, as where one of two memories is lost: its far end counts as there.
            last = left.pop()
            queue += [] if last in there else [last]
            there[last] = None
            continue
        parent = queue.popleft()
        for obj, way, lacking_parents in needed_by.get(parent, ()):
            lacking_parents.discard(parent)
            if not lacking_parents and obj not in there:
                chosen[obj], there[obj] = way, None
                queue.append(obj)
    return Origins(chosen).closure(objects)
