"""Checkpoints that know whether they are whole: the sha256 of the content stands before it."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from data.kept_files import kept_bytes

logger = logging.getLogger(__name__)


class DamagedCheckpoint(ValueError):
    """A checkpoint is not what was written."""


def write_sealed(state: Mapping[str, Any], path: Path) -> None:
    """Write plain values and tensors atomically: a reader sees the old file or the new one."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    content = buffer.getvalue()
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def read_sealed(path: Path) -> dict[str, Any]:
    """Return what `write_sealed` wrote.

    Raises:
        DamagedCheckpoint: the content does not have the sha256 that stands before it.
    """
    return unsealed(path.read_bytes(), path)


def unsealed(sealed: bytes, path: Path) -> dict[str, Any]:
    """Return what `write_sealed` wrote, of its bytes; `path` is where they were, for the message.

    Raises:
        DamagedCheckpoint: as `read_sealed`.
    """
    sha256, _, content = sealed.partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != sha256:
        raise DamagedCheckpoint(
            f"The checkpoint {path} is damaged: its content does not have the sha256 that it was written with. Remove "
            "it, and give the same command again to train anew."
        )
    state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True)
    return state


def kept_sealed(path: Path, what: str) -> dict[str, Any] | None:
    """Return what is kept in a file that can be made anew; None: it is not there, or is damaged, which is said.

    Args:
        path: of the file, as `write_sealed` wrote it.
        what: it is, for the message.
    """
    content = kept_bytes(path, what)
    if content is None:
        return None
    try:
        return unsealed(content, path)
    except DamagedCheckpoint:
        logger.warning("%s in %s is damaged; it is made anew.", what, path)
        return None
