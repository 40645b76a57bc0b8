"""Secrets of servers: from the environment or a file of mode 600, never from a configuration or an argument."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from data.config import ConfigError
from tasks.private_files import OTHERS

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")


def private_text(path: Path, what: str) -> str:
    """Return the text of a file with secrets.

    Args:
        path: the file.
        what: it holds, for messages.

    Raises:
        ConfigError: it cannot be read, or others may read it.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read() if stat.S_ISREG(status.st_mode) else None
    except OSError as error:
        raise ConfigError(
            f"The file {path} with {what} cannot be read ({error.strerror}). Make it, with mode 600, or mend its path."
        ) from error
    if content is None:
        raise ConfigError(f"{path} is no file; expected one with {what}. Name a file of mode 600.")
    if status.st_mode & OTHERS:
        raise ConfigError(
            f"The file {path} with {what} has mode {stat.S_IMODE(status.st_mode):o}, so that others may read or change "
            f"it; expected 600. Take that right from them: chmod 600 {shlex.quote(str(path))}. If others may have read "
            "it, make new ones."
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"The file {path} with {what} is another user's; expected your own or root's. Copy it, with mode 600."
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"The file {path} with {what} is not UTF-8 text. Write it anew.") from error


def secrets_of(path: Path | None, environment: Mapping[str, str]) -> dict[str, str]:
    """Return secrets by name: those of a file of lines `NAME=VALUE`, and over them those of the environment.

    Raises:
        ConfigError: the file cannot be used.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(private_text(path, "secrets").splitlines() if path is not None else (), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            raise ConfigError(f"Line {number} of {path} is no `NAME=VALUE`. Mend it; its text is not shown here.")
        value = match["value"]
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        found[match["name"]] = value[1:-1] if quoted else value
    return found | dict(environment)
