"""A campaign outlives the Prefect server that shows it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from pipelines.services import (
    end_prefect,
    prefect_answers,
    prefect_has_ended,
    prefect_is_anothers,
    prefect_is_stopped,
)

log = logging.getLogger("discover.prefect")

POLL = 1.0
"""Seconds between two looks at the server: its client tries for seven before it complains, once for each message."""
HELD = 10
"""Looks in a row at which the server was held by a signal, after which it is ended: nobody can use it."""
PATIENCE = 2
"""Looks in a row at which the server of somebody else did not answer, after which nothing is sent to it."""
GONE = "Prefect: its server does not answer any more; the campaign goes on without it, and its pages stay behind."
BACK = "Prefect: its server answers again; its pages show the campaign from here on, and not what happened meanwhile."


class Following:
    """Whether this process's flow still has a server that follows it."""

    lost = False
    reason: BaseException | None = None
    """What ended the flow itself: Prefect's error on telling a dead server of it takes its place."""
    outcome: Any = None
    """What the flow came to, if it remembered that."""

    @classmethod
    def lose(cls) -> None:
        """Say once that the server has gone."""
        if not cls.lost:
            log.warning(GONE)
            _silence()
        cls.lost = True

    @classmethod
    def find(cls) -> None:
        """Say once that it is back."""
        if cls.lost:
            log.warning(BACK)
            _speak()
        cls.lost = False


def following_prefect(flow: Callable[[], Any]) -> None:
    """Run a flow; that its end could not be told to a server which has gone is no failure of the flow.

    Raises:
        Exception: what the flow raised, as long as the server answers or the flow itself failed.
        KeyboardInterrupt: the flow was interrupted.
    """
    from prefect import tags

    from pipelines.zombies import process_tag

    Following.lost, Following.reason, Following.outcome = False, None, None
    try:
        with _watching(), tags(process_tag()):
            flow()
    except Exception as error:
        if not is_of_prefect(error) or (prefect_answers() and not Following.lost):
            raise
        Following.lose()
        if isinstance(Following.reason, Exception):
            raise Following.reason from None
        if Following.reason is not None:  # a signal, whatever Prefect calls it
            raise KeyboardInterrupt from None


@contextmanager
def remembering_the_end() -> Iterator[None]:
    """Remember what ended a flow, for `following_prefect`; to be put around all that the flow does."""
    try:
        yield
    except BaseException as error:
        Following.reason = error
        raise


@contextmanager
def _watching() -> Iterator[None]:
    """Notice within seconds that the server has ended, also while a stage is at work; end one of our own that hangs."""
    over = threading.Event()
    watch = threading.Thread(
        target=_watch_anothers if prefect_is_anothers() else _watch_own,
        args=(over,),
        name="prefect-watch",
        daemon=True,
    )
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _watch_own(over: threading.Event) -> None:
    held = 0
    while not over.wait(POLL):
        held = held + 1 if prefect_is_stopped() else 0
        if held >= HELD or prefect_has_ended():
            Following.lose()
            end_prefect()
            return


def _watch_anothers(over: threading.Event) -> None:
    """Look whether a server answers that others keep running, and may start again."""
    misses = 0
    while not over.wait(3 * POLL):
        misses = 0 if prefect_answers() else misses + 1
        if misses >= PATIENCE:
            Following.lose()
        elif misses == 0:
            Following.find()


_dropped: list[Callable[[], object]] = []
"""What undoes the silence, in order."""


def _silence() -> None:
    """Have Prefect's client neither send to nobody, for seconds per message, nor tell of each that nobody took it."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler, APILogWorker

    async def dropped(*_: Any) -> None: ...

    concurrency = logging.getLogger("prefect._internal.concurrency")
    for holder, name, value in (
        (EventsWorker, "_handle", dropped),
        (APILogWorker, "_handle_batch", dropped),
        (logging, "raiseExceptions", False),  # Prefect heeds it where a message was on its way
        (concurrency, "disabled", True),
    ):
        _dropped.append(partial(setattr, holder, name, getattr(holder, name)))
        setattr(holder, name, value)
    for logger in [logging.root, *logging.Logger.manager.loggerDict.values()]:
        for handler in list(getattr(logger, "handlers", ())):
            if isinstance(handler, APILogHandler) and isinstance(logger, logging.Logger):
                logger.removeHandler(handler)
                _dropped.append(partial(logger.addHandler, handler))


def _speak() -> None:
    while _dropped:
        _dropped.pop()()


def is_of_prefect(error: BaseException) -> bool:
    """Return whether an error is about reaching Prefect's server."""
    import httpx
    from prefect.exceptions import PrefectException

    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, httpx.HTTPError | PrefectException):
            return True
        chain = chain.__cause__
    return False
