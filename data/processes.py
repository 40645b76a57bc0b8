"""Is the process that holds a campaign still alive?"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import psutil


def is_dead(host: str, pid: int, started: float) -> bool:
    """Return whether a process is provably dead: it was one of this host and does not exist any more.

    Args:
        host: name of its host; a process of another one cannot be proven dead from here.
        pid: its id.
        started: its start time, seconds since the epoch: an id alone can be given out again.
    """
    if host != platform.node():
        return False
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return bool(abs(process.create_time() - started) > 1.0)
    except psutil.NoSuchProcess:
        return True


def described_owner(row: Mapping[str, Any]) -> str | None:
    """Return who holds a campaign by its row in `locks`, or None if that process is provably dead."""
    if is_dead(row["host"], row["pid"], row["started"]):
        return None
    return f"process {row['pid']} on {row['host']} (last heartbeat {row['heartbeat']})"
