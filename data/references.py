"""Papers, software and data sets that parts cite by key: `data/resources/references.bib`, read, written and told.

The dialect is a narrow one, so that every program that reads BibTeX understands it: ASCII, one entry after another,
one field a line in braces, sorted by key.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

FILE = "references.bib"

_ENTRY = re.compile(r"@([a-z]+)\{([a-z][a-z0-9_]*),\n((?:  [a-z]+ = \{.*\},\n)+)\}\n")
_FIELD = re.compile(r"  ([a-z]+) = \{(.*)\},\n")
_ACCENTS = {'"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", "c": "\u0327", "v": "\u030c"}
_ACCENT = re.compile(r"\{\\([\"'`^~]|[cv](?=[ {]))[ {]*(\\i|[A-Za-z])\}*\}")
_LETTERS = {"{\\L}": "Ł", "{\\l}": "ł", "{\\O}": "Ø", "{\\o}": "ø", "{\\ss}": "ß"}
_BODY = re.compile(r"\{[^{}]*\}")
"""An author that is no person."""
_IN_FULL = 2
"""Authors of more than so many are told by the first."""


class ReferencesError(ValueError):
    """The file of references is not in its dialect."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One entry.

    Attributes:
        key: by which parts cite it.
        kind: of BibTeX: article, inproceedings, book, misc, software ...
        fields: as they stand in the file, in its order, without the outer braces.
    """

    key: str
    kind: str
    fields: Mapping[str, str]

    def bibtex(self) -> str:
        """Return the entry as the file has it."""
        lines = "".join(f"  {name} = {{{value}}},\n" for name, value in self.fields.items())
        return f"@{self.kind}{{{self.key},\n{lines}}}\n"

    @property
    def surnames(self) -> tuple[str, ...]:
        """Surnames of the authors that are named; empty where there is none."""
        authors = [one for one in self.fields.get("author", "").split(" and ") if one and one != "others"]
        return tuple(plain(one if _BODY.fullmatch(one) else one.split(", ")[0]) for one in authors)

    def told(self, *, title: bool = True) -> str:
        """Return it in a line: authors, title, venue, year, arXiv number.

        Args:
            title: whether the title is told; of what has no venue it always is.
        """
        fields, names = self.fields, self.surnames
        venue, year = self._venue(), fields.get("year", "")
        number = ", ".join(filter(None, (fields.get("volume"), fields.get("pages", "").partition("--")[0])))
        many = len(names) > _IN_FULL or "and others" in fields.get("author", "")
        where = (venue, number, f"({year})") if self.kind == "article" else (venue, year)
        parts = [
            "" if not names else f"{names[0]} et al." if many else " and ".join(names),
            plain(fields["title"]) if title or not venue else "",
            " ".join(filter(None, where)),
            f"arXiv:{fields['eprint']}" if fields.get("archiveprefix") == "arXiv" else "",
            fields.get("url", ""),
        ]
        return ", ".join(filter(None, parts))

    def _venue(self) -> str:
        told = plain(self.fields.get("journal") or self.fields.get("booktitle") or self.fields.get("publisher") or "")
        short = re.search(r"\(([^()]+)\)$", told)
        return short[1] if short else told


def plain(text: str) -> str:
    """Return the text that a field of BibTeX stands for."""
    for code, letter in _LETTERS.items():
        text = text.replace(code, letter)
    text = _ACCENT.sub(lambda at: unicodedata.normalize("NFC", at[2].lstrip("\\") + _ACCENTS[at[1]]), text)
    text = re.sub(r"\\([&%$#_])", r"\1", text)
    return re.sub(r"[{}]", "", text).replace("--", "–")


def parsed(text: str) -> dict[str, Reference]:
    """Return the entries of a text by key.

    Raises:
        ReferencesError: it is not in the dialect, or a key stands twice.
    """
    found: dict[str, Reference] = {}
    rest = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("%"))
    while rest := rest.lstrip("\n"):
        match = _ENTRY.match(rest)
        if match is None:
            raise ReferencesError(f"There is no entry of the dialect of {FILE} at {rest[:60]!r}.")
        key, fields = match[2], _FIELD.findall(match[3])
        if key in found or len(dict(fields)) < len(fields):
            raise ReferencesError(f"The entry {key!r} of {FILE}, or one of its fields, stands twice.")
        found[key] = Reference(key, match[1], dict(fields))
        rest = rest[match.end() :]
    return found


@cache
def references() -> Mapping[str, Reference]:
    """Return every entry of the file that is shipped, by key."""
    return parsed((files("data.resources") / FILE).read_text(encoding="ascii"))


def told(keys: Iterable[str]) -> str:
    """Return references in words, software only where there is nothing else; one is told with its title.

    A key that is not of the file is told as it is.
    """
    known, keys = references(), tuple(keys)
    papers = tuple(key for key in keys if key not in known or known[key].kind != "software") or keys
    return "; ".join(known[key].told(title=len(papers) == 1) if key in known else key for key in papers)
