"""Components of other distributions: modules named under the entry-point group `discovery_flows.components`.

A plugin that fails is left out, with a sentence that says why; it never takes another one, or ours, with it.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Any

from models.component import Component, Options, nearest, subclasses

ENTRY_POINT_GROUP = "discovery_flows.components"


@dataclass(frozen=True, slots=True)
class Plugins:
    """What the other distributions gave."""

    origin: dict[type[Component[Any]], str]
    """Class that may be used -> name and version of its distribution."""
    refused: frozenset[type[Component[Any]]]
    """Classes that were defined and may not be used."""
    problems: tuple[str, ...]
    """One sentence for whatever was left out."""


@cache
def plugins(groups: tuple[str, ...]) -> Plugins:
    """Import the plugins of this environment, once per process.

    Args:
        groups: of components that there are.
    """
    entries, problems = _entries()
    origin: dict[type[Component[Any]], str] = {}
    refused: set[type[Component[Any]]] = set()
    for entry in entries:
        before = set(subclasses())
        failure = _failure(entry)
        classes = [cls for cls in subclasses() if cls not in before]
        if failure is not None:
            refused.update(classes)
            problems.append(
                f"The plugin {_distribution(entry)} ({entry.value}) was left out, since it cannot be imported: "
                f"{failure}. Mend it or uninstall it; everything else goes on without it."
            )
            continue
        for cls in classes:
            fault = _fault(cls, groups)
            if fault is None:
                origin[cls] = _distribution(entry)
            else:
                refused.add(cls)
                problems.append(f"The class {cls.__qualname__} of the plugin {_distribution(entry)} {fault}.")
    return Plugins(origin, frozenset(refused), tuple(problems))


def _entries() -> tuple[list[EntryPoint], list[str]]:
    """Return the plugins' entries by name; damaged metadata of one distribution hides no other."""
    try:
        return sorted(entry_points(group=ENTRY_POINT_GROUP), key=_order), []
    except Exception:  # of a distribution that need not be a plugin
        pass
    entries: dict[tuple[str, str], EntryPoint] = {}
    problems = []
    for distribution in distributions():
        try:
            for entry in distribution.entry_points.select(group=ENTRY_POINT_GROUP):
                entries.setdefault((entry.name, entry.value), entry)
        except Exception as error:
            where = getattr(distribution, "_path", distribution)
            problems.append(
                f"The entry points of {where} cannot be read ({_one_line(error)}), so that a plugin in it is not "
                "found. Install that distribution again."
            )
    return sorted(entries.values(), key=_order), problems


def _order(entry: EntryPoint) -> tuple[str, str]:
    return entry.name, entry.value


def _failure(entry: EntryPoint) -> str | None:
    """Import a plugin; return why that failed, or None. What it prints goes to standard error."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also a plugin that calls `sys.exit` must not end our process
        return _one_line(error)
    return None


def _fault(cls: type[Component[Any]], groups: Sequence[str]) -> str | None:
    """Return what keeps a class from being used, or None; a base without a kind of its own is no component."""
    if cls.kind == "":
        return None
    if not isinstance(cls.kind, str) or not isinstance(cls.group, str):
        return f"was left out: its group {cls.group!r} and kind {cls.kind!r} must be texts"
    if cls.group not in groups:
        known = ", ".join(sorted(groups))
        hint = nearest(cls.group, list(groups)).rstrip("?")
        return f"was left out: there is no component group {cls.group!r}; the groups are {known}.{hint}"
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(vars(cls).get("__abstractmethods__", ())))
        return f"was left out: it lacks {missing}, which every {cls.group} has"
    if not (isinstance(cls.Options, type) and issubclass(cls.Options, Options)):
        return "was left out: its `Options` must derive from models.registry.Options"
    return None


def distribution_of(cls: type[Component[Any]], loaded: Plugins | None) -> str:
    """Return where a class comes from, for messages."""
    if loaded is not None and cls in loaded.origin:
        return f"{cls.__qualname__} of the plugin {loaded.origin[cls]}"
    return f"{cls.__module__}.{cls.__qualname__}"


def clashes(classes: Iterable[type[Component[Any]]], loaded: Plugins | None) -> str:
    """Return the classes that claim one kind, in words."""
    return " and ".join(sorted(distribution_of(cls, loaded) for cls in classes))


def _distribution(entry: EntryPoint) -> str:
    dist = entry.dist
    return f"{dist.name} {dist.version}" if dist is not None else entry.name


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": .")
