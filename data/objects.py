"""Objects as values: a text, what its space knows of it, and its handle; made without knowing any kind of object."""

from __future__ import annotations

from base64 import b32encode
from hashlib import blake2b
from typing import Protocol

HANDLE_LENGTH = 25
"""Characters of a handle."""


class NotStandardError(ValueError):
    """The text has no standard form, or is outside the space; the message is a phrase that says why."""


class Space(Protocol):
    """What the text of an object means. Every method is a pure function of its arguments and the space's options."""

    @property
    def kind(self) -> str:
        """Name of the kind of objects."""

    @property
    def nouns(self) -> tuple[str, str]:
        """One object and several, such as ("molecule", "molecules"), for messages and pages."""

    def glance(self, text: str) -> str | None:
        """Return why a text is outside, as far as that can be told in microseconds; None: it has to be read."""

    def admit(self, text: str) -> str:
        """Return the standard form of the object that a text means, which is inside the space.

        Raises:
            NotStandardError: it means no object, or one outside the space.
        """

    def identity(self, obj: str) -> str:
        """Return at most 64 characters that are equal exactly for equal objects.

        Raises:
            ValueError: the text means no object.
        """

    def family(self, obj: str) -> str:
        """Return what objects share that must not stand on both sides of a split; empty: the object stands alone."""

    def outside(self, obj: str) -> str | None:
        """Return why an object is outside the space, a phrase; None: it is inside."""

    def key(self) -> str:
        """Return a hash of all that the answers depend on: options, rules, versions of libraries."""


def handle(text: str) -> str:
    """Return the short name of a canonical text: `m` and 24 lower-case base32 characters of its blake2b hash.

    Equal texts have equal handles and different texts different ones (120 bits of hash); the letter in front keeps
    spreadsheets from taking one for a number. Ledgers hold handles, and the migration of old ones makes them: this must
    stay the pure function of the text that it is.
    """
    return "m" + b32encode(blake2b(text.encode(), digest_size=15).digest()).decode("ascii").lower()
