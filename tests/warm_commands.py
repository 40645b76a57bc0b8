"""`discover` in processes forked from one that has imported everything: each a command of its own, at no start.

`Warm` asks a process of this module. One JSON line in, `{"arguments", "environment", "log", "umask", "pictures"}`, where an
environment variable that is null is unset; one line out, `{"pid"}`. The command writes what it prints to the log and, when it
ends by itself, its exit code to `log.exit`. Reports have no pictures unless they are asked for: they take half of the time, and
have tests of their own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass
class Command:
    """A `discover` in a process of its own; `code` is its exit code once it has ended."""

    pid: int
    log: Path
    code: int | None = None

    @property
    def has_ended(self) -> bool:
        return self.log.with_name(self.log.name + ".exit").exists()

    def ended(self, seconds: float = 150.0) -> str:
        """Wait for it; returns what it printed, on one line.

        Raises:
            TimeoutError: it is still running.
        """
        until = time.monotonic() + seconds
        while not self.has_ended:
            if time.monotonic() > until:
                raise TimeoutError(self.log.read_text())
            time.sleep(0.02)
        self.code = int(self.log.with_name(self.log.name + ".exit").read_text())
        return " ".join(self.log.read_text().split())

    def kill(self) -> None:
        """Kill it if it still runs, and see it gone."""
        while not self.has_ended and Path(f"/proc/{self.pid}").exists():
            os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.02)


class Warm:
    """The process that has imported everything.

    Args:
        process: of this module.
        folder: takes the logs.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder = process, folder
        self._count = 0

    def start(
        self,
        arguments: tuple[str, ...],
        environment: Mapping[str, str | None],
        *,
        umask: int = 0o022,
        pictures: bool = False,
    ) -> Command:
        """Start a command with changes to the environment, from a shell with this umask."""
        self._count += 1
        log = self._folder / f"{self._count}.log"
        order = {
            "arguments": arguments,
            "environment": dict(environment),
            "log": str(log),
            "umask": umask,
            "pictures": pictures,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Command(json.loads(self._process.stdout.readline())["pid"], log)


@contextmanager
def warm_process(folder: Path) -> Iterator[Warm]:
    """Have such a process for a block; its logs go to a folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.warm_commands"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Warm(process, folder)
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def _command(order: dict[str, Any]) -> None:
    import tasks.reporting.report

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = order["log"]
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    for name, value in order["environment"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if not order["pictures"]:
        tasks.reporting.report.round_figures = lambda *_: {}
    from pipelines.cli import guarded
    from tasks.private_files import keep_private

    os.umask(order["umask"])
    keep_private()
    code = 70
    try:
        code = guarded(order["arguments"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        partial = Path(f"{log}.partial")
        partial.write_text(str(code))
        partial.rename(f"{log}.exit")
        os._exit(code)


def _serve() -> None:
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    import tasks.reporting.report  # noqa: F401  # with the libraries of the pictures
    from models.registry import GROUPS, kinds

    for group in GROUPS:
        kinds(group)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _command(json.loads(line))
        answers.write(json.dumps({"pid": child}) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
