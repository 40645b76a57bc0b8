"""Files and folders that only their owner may read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UMASK_VARIABLE = "DISCOVER_UMASK"
"""Has the caller's umask, in octal digits, for what is the user's own: files they name, their oracles' files."""
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def keep_private() -> None:
    """Have this process and what it starts make files for their owner only; the caller's umask is noted."""
    caller = os.umask(OTHERS)
    os.umask(caller | OTHERS)
    os.environ[UMASK_VARIABLE] = f"{caller:o}"


def callers_umask() -> int:
    """Return the umask that was in force before `keep_private`; -1, which means the present one, if it never was."""
    try:
        return int(os.environ.get(UMASK_VARIABLE, ""), 8)
    except ValueError:
        return -1


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


def others_may_write(path: Path) -> bool:
    """Return whether users besides the owner may put files into a folder that is not marked as shared on purpose."""
    mode = path.stat().st_mode
    group = 0 if mode & stat.S_ISGID else stat.S_IWGRP
    return bool(mode & (group | stat.S_IWOTH)) and not mode & stat.S_ISVTX


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
