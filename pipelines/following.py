"""A campaign outlives the Prefect server that shows it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.services import end_prefect, prefect_answers, prefect_has_ended, prefect_is_stopped

log = logging.getLogger("discover.prefect")

POLL = 1.0
"""Seconds between two looks at the server: its client tries for seven before it complains, once for each message."""
HELD = 10
"""Looks in a row at which the server was held by a signal, after which it is ended: nobody can use it."""
GONE = "Prefect: its server does not answer any more; the campaign goes on without it, and its pages stay behind."


class Following:
    """Whether this process's flow still has a server that follows it."""

    lost = False
    reason: BaseException | None = None
    """What ended the flow itself: Prefect's error on telling a dead server of it takes its place."""

    @classmethod
    def lose(cls) -> None:
        """Say once that the server has gone."""
        if not cls.lost:
            log.warning(GONE)
            _silence()
        cls.lost = True


def following_prefect(flow: Callable[[], Any]) -> None:
    """Run a flow; that its end could not be told to a server which has gone is no failure of the flow.

    Raises:
        Exception: what the flow raised, as long as the server answers or the flow itself failed.
        KeyboardInterrupt: the flow was interrupted.
    """
    Following.lost, Following.reason = False, None
    try:
        with _watching():
            flow()
    except Exception as error:
        if not is_of_prefect(error) or prefect_answers():
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
    """Notice within seconds that our own server has ended, also while a stage is at work; end one that hangs."""
    over = threading.Event()

    def look() -> None:
        held = 0
        while not over.wait(POLL):
            held = held + 1 if prefect_is_stopped() else 0
            if held >= HELD or prefect_has_ended():
                Following.lose()
                end_prefect()
                return

    watch = threading.Thread(target=look, name="prefect-watch", daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _silence() -> None:
    """Have Prefect's client neither send to nobody, for seconds per message, nor tell of each that nobody took it."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler, APILogWorker

    async def dropped(*_: Any) -> None: ...

    EventsWorker._handle = dropped  # type: ignore[method-assign,assignment]
    APILogWorker._handle_batch = dropped  # type: ignore[method-assign,assignment]
    logging.raiseExceptions = False  # Prefect heeds it where a message was on its way
    logging.getLogger("prefect._internal.concurrency").disabled = True
    for logger in [logging.root, *logging.Logger.manager.loggerDict.values()]:
        for handler in list(getattr(logger, "handlers", ())):
            if isinstance(handler, APILogHandler):
                logger.removeHandler(handler)  # type: ignore[union-attr]  # placeholders have no handlers


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
