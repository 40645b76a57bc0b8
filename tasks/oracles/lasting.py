"""Processes of oracles that wait for the next round: starting one takes longer than many a round's measurements.

Only oracles that say so (`lasting`) have them: some of ours, which measure in the process itself and remember nothing.
A process waits for the oracle, space and identity that it was started with and for the thread that started it, since on
Linux that thread's end is its own; at the end of a campaign, however it ends, `dismiss` ends it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.oracles.child import Child, uninterrupted

_waiting: dict[tuple[int, str], list[Child]] = {}


def _key(start: Mapping[str, Any], identity: str) -> tuple[int, str]:
    return threading.get_ident(), json.dumps([start, identity], sort_keys=True)


def keep(start: Mapping[str, Any], identity: str, children: Sequence[Child]) -> None:
    """Let idle processes wait; those that wait for anything else in this thread are ended.

    Args:
        start: the first message of these processes.
        identity: of the oracle, whatever decides its values.
        children: which answered everything they were asked.
    """
    dismiss()
    _waiting[_key(start, identity)] = list(children)


def taken(start: Mapping[str, Any], identity: str) -> list[Child]:
    """Return the processes that wait for this, now the caller's; all others of this thread are ended.

    A caller who can be interrupted holds that back until he has them.
    """
    found = _waiting.pop(_key(start, identity), [])
    dismiss()
    return found


def dismiss(thread: int | None = None) -> None:
    """End all processes that wait for a thread; None: for this one."""
    owner = threading.get_ident() if thread is None else thread
    with uninterrupted():
        for key in [key for key in list(_waiting) if key[0] == owner]:  # other threads add theirs meanwhile
            for child in _waiting.pop(key, []):
                child.kill()
