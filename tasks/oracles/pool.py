"""Oracle calls in child processes: a call that hangs is killed, a call that crashes ends nobody else's."""

from __future__ import annotations

import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from data.records import Measurement
from data.wording import counted
from models.oracles.base import bound, printable, usable
from models.registry import build
from models.spaces.base import BaseSpace
from tasks.oracles.child import Child, ChildDied, OracleStartError, uninterrupted
from tasks.oracles.lasting import keep, taken

__all__ = ["OraclePool", "OracleStartError"]

Job = tuple[str, str]
"""(idempotency key, text of an object in standard form)."""
OnSubmit = Callable[[list[str]], None]
OnResult = Callable[[str, Measurement], None]


@dataclass
class _Call:
    """A chunk in flight."""

    child: Child
    number: int
    jobs: Sequence[Job]
    started: float
    deadline: float
    lost: bool = False
    """Its process was killed; what it had not answered has failed."""
    arrived: list[Measurement] = field(default_factory=list)
    delivered: int = 0
    """How many of `arrived` the caller has been told."""


@dataclass
class _Run:
    """What one `run` still has to do."""

    waiting: deque[Sequence[Job]]
    on_submit: OnSubmit
    on_result: OnResult
    flying: dict[Child, _Call] = field(default_factory=dict)


class OraclePool:
    """Worker processes that run one oracle; a context manager.

    Enter and use it in one thread: on Linux the kernel ties a worker's life to the thread that started it. Callbacks
    run in that thread, one at a time.

    Args:
        oracle_config: `{kind: ..., option: ...}` of an oracle.
        space: of the objects that are asked for; None: molecules.
        workers: processes; started together on entry.
        search_path: folders in which a worker looks for the user's modules first (the campaign file's folder).
        start_timeout: seconds in which a worker must have loaded the oracle.
        lasting: identity of an oracle whose idle workers wait for the next pool of the same one
            (`tasks.oracles.lasting`); None: they end with the pool.

    Raises:
        ComponentError: on construction, if the oracle is misnamed.
        OracleStartError: on entry, if a worker cannot load the oracle; nothing was asked of it yet.
    """

    def __init__(
        self,
        oracle_config: Mapping[str, Any],
        space: BaseSpace[Any] | None = None,
        *,
        workers: int,
        search_path: Sequence[Path] = (),
        start_timeout: float = 120.0,
        lasting: str | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"An oracle pool needs at least 1 worker; got {workers}.")
        oracle = build("oracle", oracle_config)
        self._chunk = int(oracle.chunk)
        self._timeout = float(oracle.timeout)
        self._start = {"oracle": dict(oracle_config), "search_path": [str(path.resolve()) for path in search_path]}
        self._nouns = ("molecule", "molecules")
        if space is not None:
            bound(oracle, space)
            self._nouns = space.nouns
            self._start |= {"space": space.config(), "nouns": space.nouns}
        self._question: Callable[[str], Any] = getattr(oracle, "question", str)
        self._program: Path | None = getattr(oracle, "worker", None)
        self._workers = workers
        self._lasting = lasting
        self._start_timeout = start_timeout
        self._idle: list[Child] = []
        self._busy: list[Child] = []
        self._calls = 0
        self._thread: int | None = None

    def __enter__(self) -> Self:
        self._thread = threading.get_ident()
        try:
            with uninterrupted():
                self._idle = [] if self._lasting is None else taken(self._start, self._lasting)
            self._fill(self._workers)
        except BaseException:
            self._kill_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._lasting is not None and not self._busy:
            with uninterrupted():
                keep(self._start, self._lasting, self._idle)
                self._idle = []
        self._kill_all()

    def run(
        self, jobs: Sequence[Job], on_submit: OnSubmit, on_result: OnResult, on_left: OnResult | None = None
    ) -> None:
        """Measure every job; return when each has been answered once.

        A chunk is killed after `timeout` seconds per object in it, and its unanswered objects fail with class
        `timeout`; if its process dies they fail with class `crashed` and the end of what it printed. The process is
        replaced in both cases.

        Args:
            jobs: (key, text of the object) pairs.
            on_submit: called with the keys of a chunk before it is sent.
            on_result: called with key and measurement as soon as each answer is there.
            on_left: called with what had arrived, and not been told to its end, when the run was interrupted.

        Raises:
            OracleStartError: no process is left and none can be started; what was not submitted stays so.
            Exception: whatever a callback raised, after the calls in flight were answered and told.
            KeyboardInterrupt: at once; calls in flight that have not answered are killed.
        """
        if self._thread != threading.get_ident():
            raise RuntimeError(
                "An OraclePool runs in the thread that entered it; enter it with `with` where it is used."
            )
        chunks = (jobs[start : start + self._chunk] for start in range(0, len(jobs), self._chunk))
        run = _Run(deque(chunks), on_submit, on_result)
        try:
            self._work(run)
        except Exception:
            raise
        except BaseException:
            with uninterrupted():
                self._leave(run, on_left)
            self._kill_all()
            raise

    def _work(self, run: _Run) -> None:
        try:
            self._fill(self._workers)
            while run.waiting or run.flying:
                while run.waiting and self._idle:
                    self._submit(run)
                self._collect(run)
                for call in list(run.flying.values()):
                    self._deliver(run, call)
                self._refill(run)
        except Exception:
            self._drain(run)
            raise

    @staticmethod
    def _leave(run: _Run, on_left: OnResult | None) -> None:
        """Tell of the answers that are there, without waiting for any."""
        calls = [call for call in run.flying.values() if not call.lost]
        with selectors.DefaultSelector() as selector:
            for call in calls:
                selector.register(call.child, selectors.EVENT_READ, call)
            ready = [key.data for key, _ in selector.select(0)]
        for call in ready:
            with suppress(ChildDied):
                call.arrived += _measurements(call, call.child.receive())
        for call in run.flying.values() if on_left else ():
            first = max(call.delivered - 1, 0)  # the telling of that one may have been cut short
            for (key, _), measurement in list(zip(call.jobs, call.arrived, strict=False))[first:]:
                on_left(key, measurement)  # type: ignore[misc]

    def _submit(self, run: _Run) -> None:
        jobs = run.waiting.popleft()
        keys, objects = [key for key, _ in jobs], [self._question(obj) for _, obj in jobs]
        run.on_submit(keys)
        child = self._idle.pop()
        self._busy.append(child)
        self._calls += 1
        now = time.monotonic()
        run.flying[child] = _Call(child, self._calls, jobs, now, now + self._timeout * len(jobs))
        child.send({"call": self._calls, "keys": keys, "objects": objects})

    def _collect(self, run: _Run) -> None:
        """Wait for the next answers or the next deadline."""
        calls = [call for call in run.flying.values() if not call.lost]
        with selectors.DefaultSelector() as selector:
            for call in calls:
                selector.register(call.child, selectors.EVENT_READ, call)
            patience = min(call.deadline for call in calls) - time.monotonic()
            ready = [key.data for key, _ in selector.select(max(patience, 0))]
        for call in ready:
            try:
                with uninterrupted():  # what was read must not be dropped
                    call.arrived += _measurements(call, call.child.receive())
            except ChildDied as death:
                self._lose(call, "crashed", str(death))
        now = time.monotonic()
        for call in calls:
            if not call.lost and call.deadline <= now and len(call.arrived) < len(call.jobs):
                limit = f"{self._timeout * len(call.jobs):g} s for {counted(len(call.jobs), *self._nouns)}"
                self._lose(call, "timeout", f"No answer within {limit}; the process was killed.")

    def _lose(self, call: _Call, error: str, message: str) -> None:
        """Kill the process of a call; its unanswered objects have failed."""
        call.lost = True  # first: an interruption must not listen to a process that is gone
        call.child.kill()
        self._busy.remove(call.child)
        seconds = time.monotonic() - call.started
        unanswered = call.jobs[len(call.arrived) :]
        call.arrived += [Measurement(obj, None, error, message, seconds) for _, obj in unanswered]

    def _deliver(self, run: _Run, call: _Call) -> None:
        """Tell the caller what has arrived; a call that is complete frees its process."""
        while call.delivered < len(call.arrived):
            key, measurement = call.jobs[call.delivered][0], call.arrived[call.delivered]
            call.delivered += 1
            run.on_result(key, measurement)
        if call.delivered == len(call.jobs):
            del run.flying[call.child]
            if not call.lost:
                self._busy.remove(call.child)
                self._idle.append(call.child)

    def _drain(self, run: _Run) -> None:
        """Wait for the calls in flight, which are paid for, and tell the caller; nothing new is sent."""
        tell = run.on_result

        def tell_quietly(key: str, measurement: Measurement) -> None:
            # The first error is the one that is raised; a caller that refuses again was told all the same.
            with suppress(Exception):
                tell(key, measurement)

        run.on_result = tell_quietly
        while run.flying:
            for call in list(run.flying.values()):
                self._deliver(run, call)
            if run.flying:
                self._collect(run)

    def _refill(self, run: _Run) -> None:
        wanted = min(self._workers, len(run.waiting) + len(run.flying))
        try:
            self._fill(wanted)
        except OracleStartError:
            # Calls in flight elsewhere are paid for: only when nobody is left is this the end.
            if not self._idle and not self._busy:
                raise

    def _fill(self, wanted: int) -> None:
        """Start processes, all at once, until there are `wanted`; one that died idle is replaced."""
        for child in [child for child in self._idle if not child.alive()]:
            self._idle.remove(child)
            child.kill()
        fresh: list[Child] = []
        try:
            with uninterrupted():
                for _ in range(wanted - len(self._idle) - len(self._busy)):
                    fresh.append(Child(self._start, self._program))
            while fresh:
                fresh[0].wait_ready(self._start_timeout)
                self._idle.append(fresh.pop(0))
        finally:
            for child in fresh:
                child.kill()

    def _kill_all(self) -> None:
        for child in [*self._idle, *self._busy]:
            child.kill()
        self._idle.clear()
        self._busy.clear()


def _measurements(call: _Call, answers: Sequence[Mapping[str, Any]]) -> list[Measurement]:
    found = []
    for (_, obj), answer in zip(call.jobs[len(call.arrived) :], answers, strict=False):
        if answer.get("call") != call.number:
            told = f"The process answered {answer!r}; expected an answer to call {call.number}."
            raise ChildDied(printable(told))
        try:
            found.append(usable(obj, answer))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ChildDied(printable(f"The process sent what is no answer, {answer!r}: {error}.")) from error
    return found
