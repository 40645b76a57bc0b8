"""The calls of one oracle by workers elsewhere: as `tasks.oracles.pool.OraclePool` makes them here.

A unit, a few objects, is entered in the ledger as sent, goes to a worker and comes back whole. A worker that dies costs
what it had in hand: it is sent again, or, where a call must not be made twice, its objects are lost and in doubt.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from data.records import Measurement
from data.version import version
from models.oracles.base import usable
from models.spaces.base import BaseSpace
from tasks.engines.base import EngineGone, Fleet, Handle, Lost
from tasks.oracles.child import OracleStartError, uninterrupted
from tasks.oracles.pool import Job, OnResult, OnSubmit

LARGEST_UNIT = 50
"""Objects in a unit where the campaign file does not say."""
UNITS_EACH = 4
"""Units that each place gets where there is work enough: the last ones then end at about the same time."""
AHEAD = 2
"""Units sent for each place, so that none waits for its next one."""
POLL_SECONDS = 1.0


class WorkerRefused(OracleStartError):
    """A worker cannot or must not measure; the calls that it was sent were not made."""


@dataclass(frozen=True)
class Asked:
    """What is asked: an oracle as the ledger knows it.

    Attributes:
        oracle: `{kind: ..., option: ...}` as the campaign file has it.
        space: of the objects.
        folder: of the campaign file, the same on all workers.
        campaign: name.
        identity: of the oracle; a worker that has another measures nothing.
        chunk: objects in a call.
        once: whether a call must not be made twice.
        lasting: what the processes that measure wait for between two units.
    """

    oracle: dict[str, Any]
    space: BaseSpace[Any]
    folder: Path
    campaign: str
    identity: str
    chunk: int
    once: bool
    lasting: str

    def order(self, jobs: Sequence[Job]) -> str:
        """Return a unit as `tasks.engines.unit` takes it."""
        return json.dumps(
            {
                "version": version(),
                "folder": str(self.folder),
                "campaign": self.campaign,
                "identity": self.identity,
                "oracle": self.oracle,
                "space": self.space.config(),
                "lasting": self.lasting,
                "jobs": [list(job) for job in jobs],
            }
        )


@dataclass
class _Unit:
    jobs: list[Job]
    sent: int = 0


@dataclass
class _Run:
    waiting: deque[_Unit]
    on_submit: OnSubmit
    on_result: OnResult
    flying: dict[Handle, _Unit] = field(default_factory=dict)
    arrived: deque[tuple[str, Measurement]] = field(default_factory=deque)
    """Answers that the caller has not been told."""
    seen: float = field(default_factory=time.monotonic)
    """When there was a worker last."""


class RemoteCalls:
    """Asks an oracle by a fleet of workers; a context manager with the same `run` as an `OraclePool`.

    Args:
        fleet: the workers; stays open.
        asked: the oracle.
        release: takes back calls that were entered as sent and certainly were not made.
        batch: objects in a unit; None: see `unit_size`.
        patience: seconds without any worker after which it gives up.
    """

    def __init__(
        self,
        fleet: Fleet,
        asked: Asked,
        release: Callable[[list[str]], object],
        *,
        batch: int | None = None,
        patience: float = 300.0,
    ) -> None:
        self._fleet, self._asked, self._release = fleet, asked, release
        self._batch, self._patience = batch, patience

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def run(
        self, jobs: Sequence[Job], on_submit: OnSubmit, on_result: OnResult, on_left: OnResult | None = None
    ) -> None:
        """Measure every job; return when each has been answered once.

        Args:
            jobs: (key, text of the object) pairs.
            on_submit: called with the keys of a unit before it is sent.
            on_result: called with key and measurement when the unit of it has come back.
            on_left: called with what had come back, and not been told to its end, when the run was interrupted.

        Raises:
            WorkerRefused: a worker has another oracle, or cannot load it; its calls were taken back.
            EngineGone: the scheduler or the last worker is gone.
            Exception: whatever a callback raised, after the units in flight had come back and were told.
            KeyboardInterrupt: at once; units that no worker had begun are taken back.
        """
        size = self._batch or unit_size(len(jobs), self._fleet.slots(), self._asked.chunk, once=self._asked.once)
        units = (_Unit(list(jobs[start : start + size])) for start in range(0, len(jobs), size))
        run = _Run(deque(units), on_submit, on_result)
        try:
            self._work(run)
        except Exception:
            raise
        except BaseException:
            with uninterrupted():
                self._leave(run, on_left)
            raise

    def _work(self, run: _Run) -> None:
        try:
            while run.waiting or run.flying:
                room = self._fleet.slots() * (1 if self._asked.once else AHEAD)
                while run.waiting and len(run.flying) < room:
                    self._send(run, run.waiting.popleft())
                self._collect(run)
                self._deliver(run)
        except EngineGone:
            self._deliver_quietly(run)
            raise
        except Exception:
            self._drain(run)
            raise

    def _send(self, run: _Run, unit: _Unit) -> None:
        if not unit.sent:
            run.on_submit([key for key, _ in unit.jobs])
        unit.sent += 1
        with uninterrupted():  # a unit that nobody knows of would be measured for nothing
            run.flying[self._fleet.send(self._asked.order(unit.jobs), once=self._asked.once)] = unit

    def _collect(self, run: _Run) -> None:
        """Wait a while for units to come back.

        Raises:
            EngineGone: there was no worker for too long, or the scheduler is gone.
            WorkerRefused: a worker refused a unit.
        """
        if self._fleet.slots():
            run.seen = time.monotonic()
        elif time.monotonic() - run.seen > self._patience:
            self._take_back(run)
            raise EngineGone(
                f"{self._fleet.told} has had no worker for {self._patience:g} s. Start workers, or raise "
                "`engine.patience`, and give the same command again."
            )
        refusals = []
        for handle in self._fleet.answered(POLL_SECONDS):
            with uninterrupted():  # what was taken must not be dropped
                reply = self._fleet.take(handle)
                if reply is not None and handle in run.flying:
                    refusals += self._enter(run, run.flying.pop(handle), reply)
        if refusals:
            raise WorkerRefused(refusals[0])

    def _enter(self, run: _Run, unit: _Unit, reply: str | Lost) -> list[str]:
        """Take what became of a unit; return why it was refused, if it was."""
        if isinstance(reply, Lost):
            if not self._asked.once and unit.sent < self._fleet.sends:
                run.waiting.appendleft(unit)
            else:
                told = reply.why if unit.sent == 1 else f"{reply.why} It was sent {unit.sent} times."
                run.arrived += [(key, Measurement(obj, None, "crashed", told, 0.0)) for key, obj in unit.jobs]
            return []
        try:
            told = json.loads(reply)
            answers, refused, begun = dict(told["answers"]), told["refused"], bool(told["begun"])
            found = [(key, usable(obj, answers[key])) for key, obj in unit.jobs if key in answers]
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            why = f"The worker sent what is no answer: {type(error).__name__}: {error}."
            run.arrived += [(key, Measurement(obj, None, "crashed", why, 0.0)) for key, obj in unit.jobs]
            return []
        run.arrived += found
        unanswered = [key for key, _ in unit.jobs if key not in answers]
        if unanswered and not begun:
            self._release(unanswered)
        return [str(refused)] if refused else []

    def _deliver(self, run: _Run) -> None:
        """Tell the caller what has arrived."""
        while run.arrived:
            key, measurement = run.arrived[0]
            try:
                run.on_result(key, measurement)
            except Exception:
                run.arrived.popleft()  # it was told, and the caller refused
                raise
            run.arrived.popleft()

    def _deliver_quietly(self, run: _Run) -> None:
        while run.arrived:
            # The first error is the one that is raised; a caller that refuses again was told all the same.
            with suppress(Exception):
                self._deliver(run)

    def _drain(self, run: _Run) -> None:
        """Wait for the units in flight, which are paid for, and tell the caller; nothing new is sent."""
        sent_again = [unit for unit in run.waiting if unit.sent]
        self._release_all(sent_again)
        run.waiting.clear()
        self._deliver_quietly(run)
        while run.flying:
            with suppress(WorkerRefused):
                try:
                    self._collect(run)
                except EngineGone:
                    run.flying.clear()
            self._release_all(list(run.waiting))  # what came back lost is not sent again
            run.waiting.clear()
            self._deliver_quietly(run)

    def _leave(self, run: _Run, on_left: OnResult | None) -> None:
        """Tell of the answers that are there, and take back what nobody has begun, without waiting for any."""
        for handle in list(run.flying):
            with suppress(EngineGone):
                reply = self._fleet.take(handle)
                if isinstance(reply, str):
                    self._enter(run, run.flying.pop(handle), reply)
        for key, measurement in run.arrived if on_left else ():
            on_left(key, measurement)  # type: ignore[misc]
        with suppress(EngineGone):
            self._take_back(run)

    def _take_back(self, run: _Run) -> None:
        self._release_all([unit for handle, unit in run.flying.items() if self._fleet.revoke(handle)])

    def _release_all(self, units: Sequence[_Unit]) -> None:
        keys = [key for unit in units for key, _ in unit.jobs]
        if keys:
            self._release(keys)


def unit_size(jobs: int, slots: int, chunk: int, *, once: bool) -> int:
    """Return how many objects a unit has where the campaign file does not say.

    A worker that dies costs its unit, so calls that must not be made twice go one by one. Others go in units that give
    each place some, of whole calls.

    Args:
        jobs: objects in all.
        slots: units that are worked on side by side.
        chunk: objects in a call of the oracle.
        once: whether a call must not be made twice.
    """
    if once:
        return chunk
    wanted = min(LARGEST_UNIT, jobs // (UNITS_EACH * max(1, slots)))
    return max(1, wanted // chunk) * chunk
