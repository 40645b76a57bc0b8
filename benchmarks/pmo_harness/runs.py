"""The file of finished runs: a line of JSON each, only ever appended to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

KEY = ("method", "settings", "task", "seed", "budget")
"""What tells one run from another."""

Run = dict[str, Any]


def key_of(run: Run) -> tuple[str, ...]:
    """Return what tells a run, or a run to be done, from others."""
    return tuple(json.dumps(run[name]) for name in KEY)


def read_runs(path: Path) -> dict[tuple[str, ...], Run]:
    """Return the finished runs of a file by key; a line that a crash cut off is passed over and told of."""
    found: dict[tuple[str, ...], Run] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.is_file() else (), start=1):
        try:
            run = json.loads(line)
            found[key_of(run)] = run
        except (ValueError, KeyError, TypeError):
            print(f"Line {number} of {path} is no finished run and is passed over.", file=sys.stderr)
    return found


def append(path: Path, run: Run) -> None:
    """Write a run at the end of a file, on a line of its own whatever a crash has left there."""
    with path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(run).encode() + b"\n")
