"""One command, run to its end or killed with all it started, within a time and with bounded output."""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import termios
import time
from array import array
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LARGEST_OUTPUT = 64 * 2**20
"""Bytes of output after which a command is stopped: no table of values is that long."""

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_TAIL = 2000
_READ = 65536


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended.

    Attributes:
        code: exit code, negative for a signal; None where it was killed or could not be started.
        output: what it wrote to standard output.
        errors: the end of what it wrote to standard error.
        reason: why it was killed or not started; None where it ended by itself.
    """

    code: int | None
    output: bytes
    errors: str
    reason: str | None = None


def run(command: Sequence[str], *, given: bytes, folder: Path, seconds: float) -> Finished:
    """Run a command and return how it ended; whatever it started is gone when this returns.

    It is also gone when this process ends in any way, SIGKILL included. Only what makes a session of its own (a daemon)
    gets away.

    Args:
        command: program and arguments; no shell.
        given: its standard input.
        folder: where it runs.
        seconds: after which it is killed.
    """
    with ExitStack() as stack:
        # Closed on the way out in any case: the supervisor then kills whatever is left.
        life, hold = (stack.enter_context(end) for end in _pipe())
        told, status = (stack.enter_context(end) for end in _pipe())
        stdin = stack.enter_context(tempfile.TemporaryFile())
        stdin.write(given)
        stdin.seek(0)
        ends = (life.fileno(), status.fileno())
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SUPERVISOR), *map(str, ends), *command],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            pass_fds=ends,
            start_new_session=True,
        )
        stack.enter_context(process)
        stack.callback(_kill_group, process)
        life.close()
        status.close()
        del hold  # stays open until the stack closes it
        return _follow(process, told, time.monotonic() + seconds, seconds)


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb", 0), os.fdopen(writing, "wb", 0)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _follow(process: subprocess.Popen[bytes], told: IO[bytes], deadline: float, seconds: float) -> Finished:
    """Collect what the command writes until it has ended, the time is over or it has written too much."""
    output, errors, exit_code = bytearray(), bytearray(), bytearray()
    assert process.stdout is not None
    assert process.stderr is not None
    reason = None
    with selectors.DefaultSelector() as selector:
        for stream, sink in ((process.stdout, output), (process.stderr, errors), (told, exit_code)):
            selector.register(stream, selectors.EVENT_READ, sink)
        # Once the exit code is told, all that the command wrote is in the pipes. Their end is not waited for: a daemon
        # that it left in a session of its own may hold them open for ever.
        while told.fileno() in selector.get_map() and reason is None:
            ready = selector.select(max(deadline - time.monotonic(), 0))
            if not ready:
                reason = f"it did not end within {seconds:g} s"
            for key, _ in ready:
                data = os.read(key.fd, _READ)
                key.data.extend(data)
                if not data:
                    selector.unregister(key.fileobj)
            del errors[:-_TAIL]
            if len(output) > LARGEST_OUTPUT:
                reason = f"it wrote more than {LARGEST_OUTPUT // 2**20} MiB to standard output"
        for stream, sink in ((process.stdout, output), (process.stderr, errors)):
            sink.extend(_what_is_there(stream))
    return _finished(bytes(output), errors.decode(errors="replace").strip(), exit_code.decode(), reason)


def _what_is_there(pipe: IO[bytes]) -> bytes:
    """Return what a pipe holds at this moment, without waiting for more."""
    held = array("i", [0])
    fcntl.ioctl(pipe.fileno(), termios.FIONREAD, held)
    return os.read(pipe.fileno(), held[0]) if held[0] else b""


def _finished(output: bytes, errors: str, exit_code: str, reason: str | None) -> Finished:
    if reason is None and exit_code.startswith("!"):
        reason = f"it cannot be started: {exit_code[1:]}"
    if reason is None and not exit_code:
        reason = "it was killed from outside"
    return Finished(None if reason is not None else int(exit_code), output, errors, reason)
