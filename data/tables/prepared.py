"""A library file in standard form, part by part, kept on disk so that the work is done once.

A part is what `PART_ROWS` rows of the file gave: the canonical SMILES of those that are inside the space, in the order
of the file, without repeats within the part, and the counts of those that were refused. A part is written at once or
not at all, so that a preparation that is killed goes on with the part it was at; a part that does not have the sha256
in its first line is made again, and where none can be written it is said and left out. No part depends on another:
memory does not grow with the file.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from data.kept_files import keep_file, kept_bytes
from data.objects import NotStandardError, Space
from data.records import Refusal
from data.tables.library_file import LibraryFile, standard_object
from data.tables.readers import Row, SourceError
from data.tables.remarks import reason_kind, reasons_told

logger = logging.getLogger(__name__)

PART_ROWS = 10_000
"""Rows of the file in a part: some ten seconds of work, and a megabyte of memory."""

FIRST = 3
"""Refused rows that are named; of the others only the reason is counted."""

_FORMAT = 3
_WHAT = "The library in standard form"


@dataclass(frozen=True, slots=True)
class Part:
    """What some rows of a library gave.

    Attributes:
        molecules: canonical SMILES in standard form, distinct, in the order of the file.
        rows: rows that were read.
        refused: reason -> rows refused for it.
        first: the first refused rows.
    """

    molecules: tuple[str, ...]
    rows: int
    refused: dict[str, int] = field(default_factory=dict)
    first: tuple[Refusal, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the part as JSON-able values."""
        first = [[item.line, item.text, item.reason] for item in self.first]
        return {"molecules": list(self.molecules), "rows": self.rows, "refused": self.refused, "first": first}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Part:
        """Return the part that `to_json` returned."""
        first = tuple(Refusal(line, text, reason) for line, text, reason in told["first"])
        return cls(tuple(told["molecules"]), told["rows"], told["refused"], first)


class PreparedLibrary:
    """The molecules of a library file that are inside a space, in standard form, in the order of the file.

    Args:
        file: the library.
        space: that every molecule must be in.
        cache: folder in which parts are kept, by the content of the file; None: they are made again each time.
    """

    def __init__(self, file: LibraryFile, space: Space, cache: Path | None = None) -> None:
        self.file, self.space = file, space
        self._folder = None if cache is None else cache / f"library-{self.key()[:16]}"

    def key(self) -> str:
        """Return a hash of all that the parts depend on: file, columns and space.

        Raises:
            SourceError: no such file.
        """
        named = self.file.text or list(self.file.fields) or None
        told = [
            [_FORMAT, PART_ROWS, self.space.key()],
            [
                self.file.sha256(),
                self.file.kind(),
                named,
                self.file.delimiter,
            ],
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def parts(self, start: int = 0) -> Iterator[Part]:
        """Yield the parts from number `start` on.

        Raises:
            SourceError: the file cannot be read.
        """
        number = start
        while (kept := self._read(number)) is not None:
            if not kept.rows:
                return
            yield kept
            number += 1
        rows = islice(self.file.rows(), number * PART_ROWS, None)
        while block := list(islice(rows, PART_ROWS)):
            yield self._write(number, prepared(block, self.space))
            number += 1
        self._write(number, Part((), 0))

    def require_molecule(self) -> None:
        """Read up to the first molecule that is inside the space.

        Raises:
            SourceError: there is none; the message counts the reasons and names the first refused rows.
        """
        if any(kept.molecules for kept in self._first_kept()):
            return
        rows, refused = 0, Counter[str]()
        first: list[Refusal] = []
        for row in self.file.rows():
            rows += 1
            try:
                standard_object(row, self.space.admit)
            except NotStandardError as error:
                refused[reason_kind(str(error))] += 1
                first += [Refusal(row.line, row.text, str(error))] if len(first) < FIRST else []
            else:
                return
        raise SourceError(nothing_left(self.file.path, rows, refused, first, self.space))

    def _first_kept(self) -> Iterator[Part]:
        kept = self._read(0)
        if kept is not None:
            yield kept

    def _path(self, number: int) -> Path | None:
        return None if self._folder is None else self._folder / f"part-{number:05d}.json"

    def _read(self, number: int) -> Part | None:
        path = self._path(number)
        told = None if path is None else kept_bytes(path, _WHAT)
        if told is None:
            return None
        sha256, _, text = told.partition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != sha256:
            logger.warning("The prepared part %s of a library is damaged; it is made again.", path)
            return None
        return Part.from_json(json.loads(text))

    def _write(self, number: int, part: Part) -> Part:
        path = self._path(number)
        if path is not None:
            text = json.dumps(part.to_json()).encode()
            content = hashlib.sha256(text).hexdigest().encode() + b"\n" + text
            keep_file(path, lambda partial: partial.write_bytes(content), _WHAT)
        return part


def prepared(rows: list[Row], space: Space) -> Part:
    """Return the part that some rows make."""
    molecules: dict[str, None] = {}
    refused: Counter[str] = Counter()
    first: list[Refusal] = []
    for row in rows:
        try:
            molecules[standard_object(row, space.admit)] = None
        except NotStandardError as error:
            refused[reason_kind(str(error))] += 1
            if len(first) < FIRST:
                first.append(Refusal(row.line, row.text[:200], str(error)))
    return Part(tuple(molecules), len(rows), dict(refused), tuple(first))


def nothing_left(path: Path, rows: int, refused: Counter[str], first: list[Refusal], space: Space) -> str:
    """Return the sentence for a library without one usable row."""
    if not rows:
        return f"The library {path} has no rows; expected at least one {space.nouns[0]}."
    named = "; ".join(f"line {item.line}: {item.text[:60]!r}, {item.reason}" for item in first)
    return (
        f"None of the {rows} rows of the library {path} is a {space.nouns[0]} inside the space; the commonest reasons "
        f"are {reasons_told(refused)}. The first are {named}. Check its format, the column of {space.column} and the "
        "bounds of the space."
    )
