"""Which process is this, and is the process that holds a campaign still alive?

A process is told from others by the boot of its kernel, its pid namespace, its pid and the clock ticks since that boot
at which it started: none of these moves when somebody sets the clock. Where a kernel does not tell them, the start time
by the clock stands in.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

_PROC = Path("/proc")
_MARK = re.compile(r"(?P<pid>[0-9]{1,9})@(?P<host>[^/]*)/(?P<space>[0-9]*)/(?P<started>[0-9]{1,12})")
_START_TICKS = 22
"""Field of `/proc/PID/stat`, counted from one (proc(5))."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """What tells a process from every other one; empty or None where this kernel does not say."""

    host: str
    pid: int
    started: float
    """Start time by the clock, seconds since the epoch."""
    boot: str
    """Random id of the kernel's boot."""
    namespace: str
    """Pid namespace: the same pid in another one is another process."""
    ticks: int | None
    """Clock ticks from the boot to the start of the process."""

    @classmethod
    def of_this_process(cls) -> ProcessIdentity:
        """Return the identity of the calling process."""
        pid = os.getpid()
        return cls(
            host=platform.node(),
            pid=pid,
            started=psutil.Process().create_time(),
            boot=_boot(),
            namespace=_namespace(),
            ticks=_start_ticks(pid),
        )

    def row(self) -> dict[str, Any]:
        """Return the columns of a row in `locks`."""
        return asdict(self)

    def mark(self) -> str:
        """Return it as one word, for views: `1234@lab-3/4026531836/1795867002`."""
        return f"{self.pid}@{self.host}/{self.namespace.strip('pid:[]')}/{int(self.started)}"


def is_dead_by_mark(mark: str) -> bool:
    """Return whether the process of a mark is provably dead; of what is no mark nothing is known."""
    found = _MARK.fullmatch(mark)
    if found is None or found["host"] != platform.node() or found["space"] != _namespace().strip("pid:[]"):
        return False
    return _is_gone(int(found["pid"]), None, float(found["started"]))


def is_dead(row: Mapping[str, Any]) -> bool:
    """Return whether the owner of a lock is provably dead.

    Args:
        row: of `locks`. An owner on another host, or in a pid namespace that cannot be seen from here, is never proven
            dead; one whose kernel was booted anew is.
    """
    if row["host"] != platform.node():
        return False
    boot, namespace = _boot(), _namespace()
    if row.get("boot") and boot and row.get("boot") != boot:
        return _ended_before_this_boot(row["heartbeat"])
    if row.get("namespace") and row.get("namespace") != namespace:
        return False
    return _is_gone(row["pid"], row.get("ticks"), row["started"])


def described_owner(row: Mapping[str, Any]) -> str | None:
    """Return who holds a campaign by its row in `locks`, or None if that process is provably dead."""
    if is_dead(row):
        return None
    inside = ""
    if row["host"] == platform.node() and row.get("namespace") and row.get("namespace") != _namespace():
        inside = f" in another container ({row['namespace']})"
    return f"process {row['pid']} on {row['host']}{inside} (last heartbeat {row['heartbeat']})"


def _is_gone(pid: int, ticks: int | None, started: float) -> bool:
    """Return whether a process of this boot and namespace has ended; its pid may have been given out again."""
    if not psutil.pid_exists(pid):
        return True
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        present = _start_ticks(pid)
        if ticks is not None and present is not None:
            return present != ticks
        return bool(abs(process.create_time() - started) > 1.0)
    except psutil.NoSuchProcess:
        return not psutil.pid_exists(pid)  # /proc may be closed to us: that proves nothing
    except psutil.AccessDenied:
        return False


def _ended_before_this_boot(heartbeat: str) -> bool:
    """Return whether an owner of another boot was last seen before this one; else it lives on a host of our name."""
    try:
        return datetime.fromisoformat(heartbeat).timestamp() < psutil.boot_time()
    except ValueError:
        return False


def _boot() -> str:
    return _text(_PROC / "sys/kernel/random/boot_id")


def _namespace() -> str:
    try:
        return os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return ""


def _start_ticks(pid: int) -> int | None:
    # The name in parentheses may hold blanks and parentheses itself; the state, field 3, follows the last one.
    fields = _text(_PROC / str(pid) / "stat").rpartition(")")[2].split()
    return int(fields[_START_TICKS - 3]) if len(fields) > _START_TICKS - 3 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
