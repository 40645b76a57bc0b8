"""One oracle process as its parent sees it: start, send, receive, kill."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from data.masking import without_secrets
from models.oracles.base import printable
from tasks.private_files import callers_umask

_TAIL_LINES = 12
_TAIL_BYTES = 6000
_READ_BYTES = 65536
_LARGEST_ANSWER = 2**20
_LAST_SECONDS = 2.0
"""Seconds that a process which has closed its end is given to end by itself."""

# One thread each: processes share the cores, and sums do not depend on how a library splits them.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_STACKSIZE": "64M",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
}

# `-m tasks.oracles.worker`, of our packages whatever PYTHONPATH has of the same names.
_WORKER = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
import data, models, tasks
del sys.path[0]
from tasks.oracles.worker import main
raise SystemExit(main(int(sys.argv[1])))
"""


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C, SIGTERM and SIGHUP for a block that takes moments; they come at its end.

    In the middle of starting a process they would leave one that nobody knows of. Blocking them is no way: the process
    would be started with them blocked. Other threads are not interrupted by signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    heard = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in heard:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


class OracleStartError(RuntimeError):
    """The oracle cannot be loaded in its process: a complete sentence with the process's own words."""


class ChildDied(Exception):
    """The process ended or broke the protocol; the message has the end of what it printed."""


class Child:
    """A worker process; `fileno` is readable when an answer is there.

    Args:
        start: its first message.
        program: script that it runs; None for the worker that builds oracles by name.
    """

    def __init__(self, start: Mapping[str, Any], program: Path | None = None) -> None:
        # -P keeps the current folder off sys.path: a user's folder named `data` must not shadow ours. A session of
        # its own lets `kill` reach whatever the oracle started, and keeps Ctrl-C with the parent, which decides.
        runs = ["-c", _WORKER] if program is None else [str(program)]
        self._process = subprocess.Popen(
            [sys.executable, "-P", *runs, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**without_secrets(os.environ), **_ENVIRONMENT},
            start_new_session=True,
            umask=callers_umask(),  # what an oracle writes is its user's
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._buffer = b""
        self._printed = bytearray()
        # Read all the time: a full pipe would stop an oracle that prints much.
        self._drain = threading.Thread(target=self._read_printed, daemon=True)
        self._drain.start()
        self.send(start)

    def fileno(self) -> int:
        """Return the descriptor on which answers arrive."""
        return self._stdout.fileno()

    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; a process that has died is noticed when its answer is read."""
        with suppress(BrokenPipeError):
            self._stdin.write(json.dumps(message).encode() + b"\n")
            self._stdin.flush()

    def receive(self) -> list[dict[str, Any]]:
        """Return the complete messages that are there; waits for the first byte only.

        Raises:
            ChildDied: the process has closed its end, or sent what is no message.
        """
        data = os.read(self.fileno(), _READ_BYTES)
        if not data:
            raise ChildDied(self._obituary())
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > _LARGEST_ANSWER:
            raise ChildDied(f"The process sent an answer of more than {_LARGEST_ANSWER} bytes.")
        try:
            return [dict(json.loads(line)) for line in lines]
        except (ValueError, TypeError, RecursionError) as error:
            raise ChildDied(printable(f"The process sent what is no answer: {lines!r}.")) from error

    def wait_ready(self, seconds: float) -> None:
        """Wait until the oracle is loaded.

        Raises:
            OracleStartError: it cannot be loaded, or is not within `seconds`.
        """
        deadline = time.monotonic() + seconds
        messages: list[dict[str, Any]] = []
        while not messages:
            with selectors.DefaultSelector() as selector:
                selector.register(self, selectors.EVENT_READ)
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    raise OracleStartError(
                        f"The oracle was not loaded within {seconds:g} s; {self._tail()} Loading a module must not "
                        "measure: move the work into the function."
                    )
            try:
                messages = self.receive()
            except ChildDied as death:
                raise OracleStartError(f"The oracle's process ended while loading it. {death}") from death
        if "error" in messages[0]:
            raise OracleStartError(f"The oracle cannot be loaded. {printable(str(messages[0]['error']))}")

    def kill(self) -> None:
        """End the process and everything it started, at once; does nothing to one that is gone."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        try:
            self._process.wait()  # one that the kernel holds (a dead network disk) must not keep Ctrl-C waiting
        finally:
            with uninterrupted():
                with suppress(BrokenPipeError):
                    self._stdin.close()
                self._stdout.close()
                self._drain.join(timeout=1.0)

    def _read_printed(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        with stream:
            while data := os.read(stream.fileno(), _READ_BYTES):
                self._printed += data
                del self._printed[:-_TAIL_BYTES]

    def _obituary(self) -> str:
        try:
            code = self._process.wait(timeout=_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            return f"The process closed the descriptor of its answers; {self._tail()}"
        self._drain.join(timeout=1.0)
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"The process ended {how}; {self._tail()}"

    def _tail(self) -> str:
        lines = bytes(self._printed).decode(errors="replace").splitlines()[-_TAIL_LINES:]
        printed = " | ".join(line[-500:].strip() for line in lines if line.strip())
        return f"its last words: {printable(printed)}." if printed else "it printed nothing."
