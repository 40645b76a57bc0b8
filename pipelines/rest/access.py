"""Who may use the REST interface: bearer tokens with names and roles.

A line of the file, or of the variable `DISCOVER_API_TOKENS`, is `NAME ROLE TOKEN`; `#` begins a note. Only hashes of
the tokens are kept in memory.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from data.config import ConfigError
from pipelines.private_settings import private_text

TOKENS_VARIABLE = "DISCOVER_API_TOKENS"
SHORTEST = 24
"""Characters of a token: random ones of base64 have six bits each."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # what a bearer token may consist of
_MAKE_ONE = "`openssl rand -hex 32` makes one"


class Role(StrEnum):
    """What a token is for."""

    READ = "read"
    TELL = "tell"
    """And to read."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever has a token.

    Attributes:
        name: that is noted beside what they tell.
        role: what they may.
    """

    name: str
    role: Role


class Tokens:
    """The tokens that are let in."""

    def __init__(self, holders: Mapping[bytes, Holder]) -> None:
        self._holders = dict(holders)

    def __len__(self) -> int:
        return len(self._holders)

    def holder(self, token: str) -> Holder | None:
        """Return who has a token; all are compared, each in constant time."""
        told, found = _digest(token), None
        for digest, holder in self._holders.items():
            if hmac.compare_digest(digest, told):
                found = holder
        return found

    @classmethod
    def parsed(cls, text: str, where: str) -> Tokens:
        """Return the tokens of a text.

        Args:
            text: lines `NAME ROLE TOKEN`; semicolons end lines, too.
            where: it stands, for messages, which never show a token.

        Raises:
            ConfigError: there is none, or a line is wrong.
        """
        holders: dict[bytes, Holder] = {}
        for number, line in enumerate(re.split(r"[\n;]", text), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            at = f"Line {number} of {where}"
            if len(words) != 3:
                raise ConfigError(f"{at} has {len(words)} words; expected three: NAME ROLE TOKEN.")
            name, role, token = words
            if not _NAME.fullmatch(name):
                raise ConfigError(f"{at} has the name {name!r}; expected letters, digits and . _ @ -, at most 64.")
            if role not in list(Role):
                raise ConfigError(f"{at} has the role {role!r}; expected {' or '.join(Role)}.")
            if len(token) < SHORTEST or not _TOKEN.fullmatch(token):
                raise ConfigError(
                    f"{at} has a token of {len(token)} characters; expected at least {SHORTEST} random letters, digits "
                    f"or . _ ~ + / = -. {_MAKE_ONE}."
                )
            if _digest(token) in holders or name in {one.name for one in holders.values()}:
                raise ConfigError(f"{at} has a name or a token that another line has. Give each holder one of its own.")
            holders[_digest(token)] = Holder(name, Role(role))
        if not holders:
            raise ConfigError(f"{where} has no token; expected lines NAME ROLE TOKEN. {_MAKE_ONE}.")
        return cls(holders)

    @classmethod
    def found(cls, path: Path | None, environment: Mapping[str, str]) -> Tokens:
        """Return the tokens of a file of mode 600, or else of the environment.

        Raises:
            ConfigError: there are none.
        """
        if path is not None:
            return cls.parsed(private_text(path, "tokens of the REST interface"), str(path))
        return cls.parsed(environment.get(TOKENS_VARIABLE, ""), TOKENS_VARIABLE)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
