"""Files and folders that only their owner may read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_folder(path: Path) -> None:
    """Make a folder with mode 700, and tighten an empty one.

    A folder with files in it keeps its mode (it may be more than ours), and so does one that its owner shares on
    purpose, marked by the set-group-id or sticky bit.

    Raises:
        OSError: it cannot be made.
    """
    if not path.exists():
        path.mkdir(parents=True, mode=0o700, exist_ok=True)
    elif not any(path.iterdir()):
        tighten(path)


def tighten(path: Path) -> None:
    """Take a file's or folder's rights from everybody but its owner, as far as it is ours to do."""
    with suppress(OSError):
        mode = path.stat().st_mode
        shared = mode & (stat.S_ISGID | stat.S_ISVTX) or path.parent.stat().st_mode & stat.S_ISGID
        if mode & OTHERS and not shared:
            path.chmod(stat.S_IMODE(mode) & ~OTHERS)


def private_database(path: Path) -> None:
    """Have an SQLite database with mode 600: an empty file is one, and its journal takes its mode.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    for file in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        if file.exists():
            tighten(file)


@contextmanager
def private_file(path: Path) -> Iterator[Path]:
    """Have a block write a file under another name; it takes its place, with mode 600, if the block succeeds."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    os.close(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
