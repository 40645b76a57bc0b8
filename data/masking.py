"""Passwords stay out of what is printed, logged, stored and handed to children."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
# A password with a sign that should have been written as %40 or %2F counts to the last @, as its writer meant it.
_IN_URL = re.compile(
    r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<user>[^\s:/@?#]*):(?P<value>[^\s@]+(?:@[^\s@\"'<>]+)*)@"
)
# Of a query or of libpq's `name = 'value'`: quoted with \' inside, or up to the next blank, which \ may stand before.
_NAMED = r"(?P<name>(?:^|[?&;,\s'\"])(?:password|passwd|pwd|token|api_key|sslpassword|secret)\s*=\s*)"
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_IN_QUERY = re.compile(rf"{_NAMED}(?P<value>{_QUOTED}|(?:\\.|[^&\s;'\"\\])+)", re.I | re.S)
# Where a whole value of the environment is an address, a blank in it ends nothing.
_ALL_URL = re.compile(r"\s*[a-z][a-z0-9+.-]*://[^:/@?#]*:(?P<value>.+)@", re.I | re.S)
_ALL_QUERY = re.compile(rf"{_NAMED}(?P<value>[^&;]+)", re.I)
_IN_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_KEY|AUTH_STRING|CREDENTIAL", re.I)
SHORTEST = 4
"""Characters of a secret that is looked for by itself: a shorter one would blot out ordinary words."""


def masked(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a text with the passwords of URLs, and those that the environment holds, replaced by `***`.

    Args:
        text: any.
        environment: whose passwords are looked for; this process's if left out.
    """
    for secret in _secrets(os.environ if environment is None else environment):
        text = text.replace(secret, MASK)  # first: the patterns would leave the end of a password with a blank
    text = _IN_URL.sub(rf"\g<scheme>\g<user>:{MASK}@", text)
    return _IN_QUERY.sub(rf"\g<name>{MASK}", text)


def is_secret(name: str, value: str) -> bool:
    """Return whether a variable of the environment holds a password: by its name, or in a URL."""
    return bool(_IN_NAME.search(name) or any(form.search(value) for form in (_IN_URL, _IN_QUERY, _ALL_URL)))


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of our services' settings a child may know that needs none of them: nothing with a password.

    Variables that are not ours (an oracle's own key, for example) are left as they are.
    """
    ours = ("DISCOVER_", "MLFLOW_", "PREFECT_")
    return {
        name: value
        for name, value in environment.items()
        if not (name.startswith(ours) and is_secret(name, value)) and name != "DISCOVER_LEDGER"
    }


def _secrets(environment: Mapping[str, str]) -> list[str]:
    found: set[str] = set()
    for name, value in environment.items():
        if not name.startswith(("DISCOVER_", "MLFLOW_", "PREFECT_")):
            continue
        if _IN_NAME.search(name):
            found |= {value, *([value.partition(":")[2]] if name.endswith("AUTH_STRING") else [])}
        whole = [_ALL_URL, *([_ALL_QUERY] if "://" in value else [])]
        for pattern in (_IN_URL, _IN_QUERY, *whole):
            for match in pattern.finditer(value):
                bare = match["value"].strip("'\"")
                found |= {written for form in (match["value"], bare) for written in _spellings(form)}
    return sorted((secret for secret in found if len(secret) >= SHORTEST), key=len, reverse=True)


def _spellings(secret: str) -> set[str]:
    """Return a secret as it is, as an address has it and as programs print it."""
    plain = unquote(secret)
    unescaped = re.sub(r"\\(.)", r"\1", secret)
    return {secret, plain, unescaped, quote(plain), quote(plain, safe=""), quote_plus(plain), repr(plain)[1:-1]}


class MaskingFilter(logging.Filter):
    """Masks the passwords in log records; to be added to handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask a record's message; every record passes."""
        message = record.getMessage()
        hidden = masked(message)
        if hidden != message:
            record.msg, record.args = hidden, ()
        return True
