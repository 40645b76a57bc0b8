"""Files that can be made again, kept so that the work is done once; where none can be kept, it is said and left out."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

logger = logging.getLogger(__name__)


def keep_file(
    path: Path, write: Callable[[Path], object], what: str, *, unwritable: tuple[type[Exception], ...] = ()
) -> bool:
    """Write a file, all of it or nothing, and return whether it is there now; what keeps it from that is said once.

    Args:
        path: of the file, whose folder is made where there is none.
        write: writes its content to the path that it is given.
        what: is kept, for the message: `The library in standard form`.
        unwritable: errors beside `OSError` by which `write` says that it cannot.
    """
    obstacles: tuple[type[Exception], ...] = (OSError, *unwritable)
    partial = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        os.replace(partial, path)
    except obstacles as error:
        _say(path.parent, what, "kept", _reason(error))
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        return False
    return True


def kept_bytes(path: Path, what: str) -> bytes | None:
    """Return the content of a kept file, None where there is none; one that cannot be read is said once.

    Args:
        path: of the file.
        what: it is, for the message.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _say(path.parent, what, "read", _reason(error))
        return None


def unwritable_folder(folder: Path) -> str | None:
    """Return why nothing can be kept in a folder or in one of those in it, None: it can; leaves nothing behind."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place in (folder, *(path for path in sorted(folder.iterdir()) if path.is_dir())):
            probe = place / f".probe.{os.getpid()}.{secrets.token_hex(4)}"
            try:
                probe.write_bytes(b"0")
            finally:
                with suppress(OSError):
                    probe.unlink(missing_ok=True)
    except OSError as error:
        return f"{error.filename or folder}: {_reason(error)}"
    return None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


@cache  # a library has a part for every ten thousand rows, and a round asks for each
def _say(folder: Path, what: str, done: str, reason: str) -> None:
    logger.warning(
        "%s cannot be %s in %s (%s); the campaign goes on without, and makes it anew each time. Free the place, or "
        "give the right to write there.",
        what,
        done,
        folder,
        reason,
    )
