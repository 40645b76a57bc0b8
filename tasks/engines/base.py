"""What an engine is: workers elsewhere that take units of work, and tell what became of each."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol
from unittest.mock import patch

from data.config import ConfigError

Handle = Any
"""What a unit that was sent is known by."""


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer to a unit will come: its worker ended, or another one had begun it before.

    Attributes:
        why: a complete sentence.
    """

    why: str


class EngineGone(Exception):
    """The scheduler, or its last worker, is gone: a complete sentence. Units in flight will not be answered."""


class Fleet(Protocol):
    """Workers that take units of work, each executed by one of them, or by several where it may be."""

    told: str
    """What is used, for people: `dask at tcp://127.0.0.1:8786`."""
    sends: int
    """How often a unit that may be repeated is sent to a worker that dies before it is given up."""

    def slots(self) -> int:
        """Return how many units are executed side by side now."""

    def send(self, order: str, *, once: bool) -> Handle:
        """Send a unit; with `once` no second worker ever begins it.

        Raises:
            EngineGone: it cannot be sent.
        """

    def answered(self, seconds: float) -> list[Handle]:
        """Return units that have an answer or are lost; waits for the first one.

        Raises:
            EngineGone: the scheduler does not answer any more.
        """

    def take(self, handle: Handle) -> str | Lost | None:
        """Return what became of a unit: the worker's answer, or that it is lost; None: nothing yet."""

    def revoke(self, handle: Handle) -> bool:
        """Take a unit back; returns whether it is certain that no worker has begun it or ever will."""

    def close(self) -> None:
        """Let go of the workers; a cluster of one's own ends."""


Tell = Callable[[str], None]
"""Takes a line for the user."""


@contextmanager
def signals_kept() -> Iterator[None]:
    """Keep libraries from taking Ctrl-C and SIGTERM for themselves: they are the campaign's, which ends in order.

    `dask_jobqueue` sets handlers when it is imported, which fails outside the main thread, and Ray when it starts.
    """
    if threading.current_thread() is not threading.main_thread():
        with patch.object(signal, "signal", lambda *_: None):
            yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def require(module: str, extra: str, what: str) -> None:
    """Look whether a library of an extra is installed.

    Raises:
        ConfigError: it is not; the sentence has the command.
    """
    if find_spec(module) is None:
        raise ConfigError(
            f"{what} needs the package {module.replace('_', '-')}, which is not installed here. Install it with "
            f"`pip install 'discovery-flows[{extra}]'`, in a checkout `pip install -e '.[{extra}]'`, or leave the "
            "engine out: the oracle is then asked by processes of this machine."
        )
