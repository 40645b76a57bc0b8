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
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import IO

from rdkit import Chem

from data.chemistry.molecules import quiet_rdkit
from data.tables.rows import SourceError

_HEADER = re.compile(r">[^<]*<(.*)>[^>]*$")
_END = "M  END"
_COUNTS = re.compile(r"(?=.*\d)[ \d]{6}")
_VERSION = re.compile(r"V[23]000\s*$")
_ATOM = re.compile(r"(\s*-?\d+\.\d*){3}\s*[A-Za-z*]")


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
    problem: str | None = None
    """Why it cannot be told what belongs to this record."""
    loose: dict[str, int] = field(default_factory=dict)
    """Name -> line of a text that stands behind the empty line that ends that item, and belongs to none."""

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
    """Yield the records; a last one without `$$$$` too, and those between which that line is missing.

    Where a second drawing begins without it, the records are parted if it is certain where the first one ends: at
    `M  END`, or at the empty line behind a value. Else each of them has a `problem`.
    """
    before: Record | None = None
    for start, chunk in _chunks(lines):
        for record in _parted(start, chunk):
            if before is not None:
                yield before if record.block else replace(before, cut=True)
            before = record
    if before is not None:
        yield before


def _parted(start: int, chunk: list[str]) -> Iterator[Record]:
    """Yield the records of what stands before a `$$$$`: one, unless that line is missing between them."""
    ends = sum(line.startswith(_END) for line in chunk)
    if ends < 2 and ends + sum("V2000" in line or "V3000" in line for line in chunk) < 3:
        yield _record(start, chunk)
        return
    begins, certain = _drawings(chunk)
    if certain:
        for first, last in pairwise([*begins, len(chunk)]):
            yield _record(start + first, chunk[first:last])
        return
    lines = " and ".join(str(start + at) for at in begins[1:])
    problem = f"another drawing from line {lines} on, without a line $$$$ that says where this record ends"
    for first, last in pairwise([*begins, len(chunk)]):
        yield replace(_record(start + first, chunk[first:last]), problem=problem)


def _drawings(chunk: list[str]) -> tuple[list[int], bool]:
    """Return where drawings begin, the chunk's own first, and whether each begins where the one before has ended."""
    begins, certain = [0], True
    text: int | None = None  # where the item that is being read begins; an empty line ends it
    empty = drawn = False
    for i, line in enumerate(chunk):
        if item_name(line) is not None:
            text, empty = i, True
        elif text is not None and not line.strip():
            text = None
        elif text is not None:
            # A drawing that is the whole text of an item has its three lines and its counts right behind the name.
            if _is_counts(chunk, i) and i - text != 4:
                begins, certain = [*begins, i - 3], False
            empty = False
        elif _is_counts(chunk, i):
            if i > 4:
                above = chunk[i - 4]
                begins.append(i - 3)
                certain &= not empty and (not above.strip() or above.startswith(_END))
                certain &= not any(item_name(header) is not None for header in chunk[i - 3 : i])
            drawn = True
        elif line.startswith(_END):
            if not drawn:  # of a drawing whose counts were not seen
                begins, certain = ([*begins, i] if len(begins) == 1 else begins), False
            drawn = empty = False
    return begins, certain


def _is_counts(chunk: list[str], at: int) -> bool:
    if _COUNTS.match(chunk[at]) is None:
        return False
    return _VERSION.search(chunk[at]) is not None or (at + 1 < len(chunk) and _ATOM.match(chunk[at + 1]) is not None)


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
    loose: dict[str, int] = {}
    for name, value, behind in _items(chunk[end:]):
        if items.setdefault(name, value) != value:
            twice.add(name)
        if behind is not None:
            loose.setdefault(name, start + end + behind)
    text = "\n".join(chunk[:end]) + "\n" if drawn else ""
    return Record(start, text, items, frozenset(twice), loose=loose)


def _items(lines: list[str]) -> Iterator[tuple[str, str, int | None]]:
    """Yield names, values, and where text stands behind the value that belongs to no item.

    A line of blanks ends a value, and so does the next item's first line.
    """
    name: str | None = None
    value: list[str] = []
    ended, behind = False, None
    for i, line in enumerate(lines):
        beginning = item_name(line)
        if beginning is not None:
            if name is not None:
                yield name, "\n".join(value).strip(), behind
            name, value, ended, behind = beginning, [], False, None
        elif not line.strip():
            ended = True
        elif not ended:
            value.append(line)
        elif behind is None:
            behind = i
    if name is not None:
        yield name, "\n".join(value).strip(), behind
