"""Workers for tests: of this process, and of a scheduler of Dask on loopback whose processes can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.engines import unit
from tasks.engines.base import EngineGone, Lost


@dataclass
class Here:
    """One worker in this process, which can lose units, answer nonsense, or be gone after so many."""

    told: str = "A fleet"
    sends: int = 3
    loses: Callable[[int], bool] = lambda n: False
    says: Callable[[int, str], str] = lambda n, reply: reply
    gone_after: int | None = None
    workers: int = 1
    orders: list[dict[str, Any]] = field(default_factory=list)
    flying: deque[int] = field(default_factory=deque)
    revoked: list[int] = field(default_factory=list)

    def slots(self) -> int:
        return self.workers

    def send(self, order: str, *, once: bool) -> int:
        self.orders.append(json.loads(order))
        self.flying.append(len(self.orders) - 1)
        return self.flying[-1]

    def answered(self, seconds: float) -> list[int]:
        if self.gone_after is not None and len(self.orders) > self.gone_after:
            raise EngineGone("The scheduler is gone.")
        return [self.flying.popleft()] if self.flying and self.workers else []

    def take(self, handle: int) -> str | Lost | None:
        if handle in self.flying:
            return None
        if self.loses(handle):
            return Lost("Its worker ended.")
        return self.says(handle, unit.measure(json.dumps(self.orders[handle])))

    def revoke(self, handle: int) -> bool:
        self.revoked.append(handle)
        return True

    def close(self) -> None:
        pass


class Cluster:
    """A scheduler of Dask and its workers, each a process of its own with one thread."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self.log = (folder / "cluster.log").open("a")
        self.scheduler = self._start("scheduler", "--port", "0", "--no-dashboard")
        until = time.monotonic() + 60
        while not self.file.exists():
            assert time.monotonic() < until, "the scheduler did not start"
            time.sleep(0.05)
        self.address = json.loads(self.file.read_text())["address"]
        self.workers: list[subprocess.Popen[bytes]] = []

    def add_worker(self, **environment: str) -> subprocess.Popen[bytes]:
        worker = self._start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", **environment)
        self.workers.append(worker)
        return worker

    def _start(self, what: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", f"distributed.cli.dask_{what}", "--host", "127.0.0.1"),
                *("--scheduler-file", str(self.file)),
                *arguments,
            ],
            stdout=self.log,
            stderr=self.log,
            cwd=self.file.parent,
            env={**os.environ, **environment},
        )

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(30)
        self.log.close()


@contextmanager
def cluster_of_dask(folder: Path, workers: int) -> Iterator[Cluster]:
    """Have a cluster for a block."""
    cluster = Cluster(folder)
    try:
        for _ in range(workers):
            cluster.add_worker()
        yield cluster
    finally:
        cluster.end()
