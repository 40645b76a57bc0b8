"""Which servers of a workspace run: a note in it, believed only for this very folder and after the server's proof."""

from __future__ import annotations

import hmac
import json
import secrets
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any, Protocol, TypeVar

from pipelines.server_child import PROOF, proof
from tasks.private_files import private_file
from tasks.workspace import Workspace

ANSWER_TIMEOUT = 3.0
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Loopback is never asked through the user's proxy."""


class Noted(Protocol):
    """A server as it was noted."""

    @property
    def home(self) -> str:
        """Folder of its workspace."""

    @property
    def inode(self) -> int:
        """Inode of that folder."""

    def alive(self) -> bool:
        """Return whether its process exists."""


S = TypeVar("S", bound=Noted)


def known_server(workspace: Workspace, name: str, kind: Callable[..., S]) -> S | None:
    """Return the living server that is noted for this folder, or None; a copied note is of another folder."""
    try:
        server = kind(**_known(workspace)[name])
    except (KeyError, TypeError, ValueError):
        return None
    home = workspace.home.resolve()
    here = (server.home, server.inode) == (str(home), home.stat().st_ino)
    return server if here and server.alive() else None


def note(workspace: Workspace, name: str, server: Mapping[str, Any]) -> None:
    """Note a server, so that other commands of the workspace find it."""
    _write(workspace, {**_known(workspace), name: dict(server)})


def forget(workspace: Workspace, name: str, pid: int) -> None:
    """Take back the note of a server that has ended, unless another one took its place."""
    known = _known(workspace)
    if known.get(name, {}).get("pid") == pid:
        _write(workspace, {key: value for key, value in known.items() if key != name})


def address_of(workspace: Workspace, url: str) -> bool:
    """Return whether the server at an address proves that it serves this workspace."""
    nonce = secrets.token_hex(16)
    try:
        with _direct.open(f"{url}{PROOF}?nonce={nonce}", timeout=ANSWER_TIMEOUT) as answer:
            told = answer.read(200).decode(errors="replace")
    except (OSError, ValueError, HTTPException):  # whatever is there may speak another language
        return False
    return hmac.compare_digest(told.encode(), proof(workspace.token(), workspace.home, nonce).encode())


def _known(workspace: Workspace) -> dict[str, Any]:
    try:
        known = json.loads((workspace.services / "servers.json").read_text())
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in known.items() if isinstance(value, dict)} if isinstance(known, dict) else {}


def _write(workspace: Workspace, known: Mapping[str, Any]) -> None:
    with private_file(workspace.services / "servers.json") as partial:
        partial.write_text(json.dumps(known))
