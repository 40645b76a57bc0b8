"""The handle of an object: a short name of its canonical text, made without knowing any chemistry."""

from __future__ import annotations

from base64 import b32encode
from hashlib import blake2b

HANDLE_LENGTH = 25
"""Characters of a handle."""


def handle(text: str) -> str:
    """Return the short name of a canonical text: `m` and 24 lower-case base32 characters of its blake2b hash.

    Equal texts have equal handles and different texts different ones (120 bits of hash); the letter in front keeps
    spreadsheets from taking one for a number. Ledgers hold handles, and the migration of old ones makes them: this must
    stay the pure function of the text that it is.
    """
    return "m" + b32encode(blake2b(text.encode(), digest_size=15).digest()).decode("ascii").lower()
