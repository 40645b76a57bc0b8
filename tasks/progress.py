"""Progress of the running stage, for whoever listens in this process: the terminal, or nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from data.wording import figure
from models.protocols import Progress


@dataclass(frozen=True, slots=True)
class Event:
    """A stage began (total = 0) or got further."""

    round: int
    stage: str
    done: int = 0
    total: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    known: bool = False
    """Whether an earlier run has finished the stage: it is looked at, and not done again."""

    def __str__(self) -> str:
        """A line for people, as `progress=print` shows it: `round 2, train proxy, 3 of 8: loss 0.1235`."""
        far = f", {self.done} of {self.total}" if self.total else ""
        told = ", ".join(f"{name} {figure(value)}" for name, value in self.metrics.items())
        return f"round {self.round}, {self.stage.replace('_', ' ')}{far}" + (f": {told}" if told else "")


Listener = Callable[[Event], object]

_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have `listener` called for every event during a block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def retold(translate: Callable[[Event], None]) -> Iterator[None]:
    """Have `translate` called for every event during a block, instead of whoever listens; what it emits they hear.

    For a stage that runs stages of something else inside it, which are not those of what is being listened to.
    """
    outer = list(_listeners)

    def passed_on(event: Event) -> None:
        inner = _listeners[:]
        _listeners[:] = outer
        try:
            translate(event)
        finally:
            _listeners[:] = inner

    _listeners[:] = [passed_on]
    try:
        yield
    finally:
        _listeners[:] = outer


def emit(event: Event) -> None:
    """Tell the listeners."""
    for listener in list(_listeners):
        listener(event)


def stage_progress(round: int, stage: str) -> Progress:
    """Return a callback that turns a component's progress into events of a stage."""
    return lambda done, total, metrics: emit(Event(round, stage, done, total, metrics))
