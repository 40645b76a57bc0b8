"""Records of an SD file as people's programs write them: where each begins, its drawing and its data items.

Read here and not by RDKit's supplier, which takes a line of blanks for a part of the value, ends names at their first
`>`, and passes over an item that has no empty line before it: the value of a record would be lost without a word.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rdkit import Chem

from data.molecules import quiet_rdkit
from data.rows import SourceError

_HEADER = re.compile(r">[^<]*<(.*)>[^>]*$")
_END = "M  END"


def _one_byte(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("one-byte", _one_byte)


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
        line: where it begins.
        block: text of the drawing, to `M  END`; empty: the record has none.
        items: name -> value of its data items, lines joined.
        twice: names that it has more than once, with different values.
    """

    line: int
    block: str
    items: dict[str, str]
    twice: frozenset[str] = frozenset()
    cut: bool = False
    """Whether what follows its `$$$$` is no record: that line may stand inside a text of this one."""

    def molecule(self) -> Chem.Mol | None:
        """Return the drawn molecule, None where RDKit cannot read it."""
        with quiet_rdkit():
            return Chem.MolFromMolBlock(self.block) if self.block else None


@contextmanager
def sd_text(path: Path) -> Iterator[IO[str]]:
    """Open an SD file: UTF-8, and Latin-1 where a line is no UTF-8 (names of properties have mu and degree signs).

    Raises:
        SourceError: it is no whole gzip file, or UTF-16.
    """
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", errors="one-byte") as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{path} cannot be unpacked ({error}); get it again.") from error


def sd_records(lines: Iterable[str]) -> Iterator[Record]:
    """Yield the records; a last one without `$$$$` too."""
    before: Record | None = None
    for start, chunk in _chunks(lines):
        record = _record(start, chunk)
        if before is not None:
            yield before if record.block else Record(before.line, before.block, before.items, before.twice, cut=True)
        before = record
    if before is not None:
        yield before


def _chunks(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    start, number = 1, 0
    chunk: list[str] = []
    for number, line in enumerate(lines, start=1):
        if line.strip() != "$$$$":
            chunk.append(line.rstrip("\r\n"))
            continue
        if any(text.strip() for text in chunk):
            yield start, chunk
        start, chunk = number + 1, []
    if any(text.strip() for text in chunk):
        yield start, chunk


def item_name(line: str) -> str | None:
    """Return the name of the data item that a line begins, None where it begins none; `<` and `>` may be in it."""
    match = _HEADER.match(line) if line.startswith(">") else None
    return None if match is None else match[1].strip()


def _record(start: int, chunk: list[str]) -> Record:
    end = next((i + 1 for i, line in enumerate(chunk) if line.startswith(_END)), None)
    if end is None:  # not even a counts line: no drawing at all
        end = next((i for i, line in enumerate(chunk) if i > 3 and item_name(line) is not None), len(chunk))
        drawn = len(chunk) > 3 and re.match(r"[ \d]{6}", chunk[3]) is not None
    else:
        drawn = True
    items: dict[str, str] = {}
    twice: set[str] = set()
    for name, value in _items(chunk[end:]):
        if items.setdefault(name, value) != value:
            twice.add(name)
    return Record(start, "\n".join(chunk[:end]) + "\n" if drawn else "", items, frozenset(twice))


def _items(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield names and values. A line of blanks ends a value, and so does the next item's first line."""
    name: str | None = None
    value: list[str] = []
    for line in [*lines, ""]:
        beginning = item_name(line)
        if name is not None and (beginning is not None or not line.strip()):
            yield name, "\n".join(value).strip()
            name = None
        elif name is not None:
            value.append(line)
        if beginning is not None:
            name, value = beginning, []
