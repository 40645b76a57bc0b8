"""Objects as values: a text, what its space knows of it, and its handle; made without knowing any kind of object.

An object that is told by several named values, such as a row of a table, is the text `name=value, name=value`.
"""

from __future__ import annotations

import json
from base64 import b32encode
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

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

    @property
    def column(self) -> str:
        """Name of the column of a table that has the texts, where no other is named."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the columns of a table that tell an object together; empty: one column has its text."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Field -> its column in the user's files, where it may be called otherwise; empty: it may not."""

    @property
    def files(self) -> Mapping[str, Any]:
        """Formats of library files of such objects beside tables: name -> `data.tables.library_file.Format`."""

    def standard(self, text: str) -> str:
        """Return the standard form of the object that a text means, inside the space or outside.

        Raises:
            NotStandardError: it means none.
        """

    def glance(self, text: str) -> str | None:
        """Return why a text is outside, as far as that can be told in microseconds; None: it has to be read."""

    def admit(self, text: str) -> str:
        """Return the standard form of the object that a text means, which is inside the space.

        Raises:
            NotStandardError: it means no object, or one outside the space.
        """

    def settled(self, text: str, obj: str) -> str:
        """Return what reading a text as an object changed beside the spelling, a phrase; empty: nothing."""

    def identity(self, obj: str) -> str:
        """Return at most 64 characters that are equal exactly for equal objects.

        Raises:
            ValueError: the text means no object.
        """

    def named(self, text: str) -> str:
        """Return the identity of the object that a text means as it is written, with all that `settled` tells.

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


def joined(names: Sequence[str], cells: Sequence[str]) -> str:
    """Return the text of an object that is told by named cells: `name=cell, name=cell`.

    A cell that would be read otherwise (a comma, a quotation mark, blanks at its ends) stands in quotation marks, as in
    JSON; so does a name, which may have an equals sign in it besides.
    """
    return ", ".join(f"{_quoted(name, ',=')}={_quoted(cell, ',')}" for name, cell in zip(names, cells, strict=True))


def split(text: str) -> dict[str, str]:
    """Return the cells by name of a text that `joined` made; blanks around commas and equals signs may differ.

    Raises:
        NotStandardError: it is no such text, or a name stands there twice.
    """
    if '"' not in text:
        pairs = [part.partition("=") for part in text.split(",")]
        if not all(sign for _, sign, _ in pairs):
            raise NotStandardError("a text that is not `name=value, name=value`")
        cells = {name.strip(): cell.strip() for name, _, cell in pairs}
    else:
        pairs, cells = [], {}
        at = 0
        while at < len(text):
            name, at = _word(text, at, "=")
            cell, at = _word(text, at, ",")
            pairs.append((name, "=", cell))
            cells[name] = cell
    if len(cells) < len(pairs):
        raise NotStandardError("a name that stands there twice")
    return cells


NOTHING = "{}"
"""The text of a list without a name; an empty text would be a cell that was not filled in."""


def listed(names: Sequence[str]) -> str:
    """Return the text of an object that is a list of names: `name, name`; quotation marks as in `joined`."""
    if list(names) == [NOTHING]:
        return json.dumps(NOTHING)
    return ", ".join(_quoted(name, ",") for name in names) or NOTHING


def unlisted(text: str) -> list[str]:
    """Return the names of a text that `listed` made; blanks around commas may differ.

    Raises:
        NotStandardError: a name is empty, or a quotation mark is not closed.
    """
    text = text.strip()
    if text == NOTHING:
        return []
    if '"' not in text:
        names = [name.strip() for name in text.split(",")]
    else:
        names, at = [], 0
        while at <= len(text):
            name, at = _word(text, at, ",")
            names.append(name)
    if not all(names):
        raise NotStandardError("a list with an empty name")
    return names


def _quoted(word: str, marks: str) -> str:
    plain = word == word.strip() and word.isprintable() and not any(mark in word for mark in marks + '"')
    return word if plain and word else json.dumps(word, ensure_ascii=not word.isprintable())


def _word(text: str, at: int, end: str) -> tuple[str, int]:
    """Return the word that begins at a place, and the place behind the mark that ends it."""
    while at < len(text) and text[at] == " ":
        at += 1
    if text[at : at + 1] == '"':
        try:
            word, behind = json.JSONDecoder().raw_decode(text, at)
        except ValueError as error:
            raise NotStandardError("a quotation mark that is not closed") from error
        while behind < len(text) and text[behind] == " ":
            behind += 1
        if behind < len(text) and text[behind] != end:
            raise NotStandardError("a text behind a closed quotation mark")
    else:
        found = text.find(end, at)
        behind = len(text) if found < 0 else found
        word = text[at:behind].strip()
    if behind == len(text) and end == "=":
        raise NotStandardError("a text that is not `name=value, name=value`")
    return word, behind + 1
