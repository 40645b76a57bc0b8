"""Cells of a delimited text, line by line, for files that quote (RFC 4180) and for raw exports that do not.

A cell that begins with a quote is a quoted one only if the next single quote closes it: a delimiter or the end of the
line follows. Any other quote is a letter of the cell, as in exports that quote nothing: no cell can swallow the rows
below it because a name begins with a quote. A quoted cell may hold line breaks; where its lines are whole rows too,
both readings are possible and all of them are refused.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LONGEST_CELL = 1000
"""Lines that one quoted cell may span."""


_SEPARATOR = re.compile(r"sep=.", re.I)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells that begin on one line, or why they cannot be told."""

    line: int
    cells: list[str]
    problem: str | None = None


class _Lines:
    """Lines of a file with a look ahead; every line without its end."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines, self._ahead = iter(lines), deque[str]()
        self.number = 0

    def next(self) -> str | None:
        """Return the next line, None at the end."""
        line = self._ahead.popleft() if self._ahead else next(self._lines, None)
        if line is None:
            return None
        self.number += 1
        return line.rstrip("\r\n")

    def peek(self, distance: int) -> str | None:
        """Return the line so many lines ahead, 0 being the next."""
        while len(self._ahead) <= distance:
            line = next(self._lines, None)
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[distance].rstrip("\r\n")


def records(text: Iterable[str], delimiter: str) -> Iterator[Cells]:
    """Yield the cells of each row; the first has the names of the columns.

    Empty lines are passed over, and so is a first line `sep=;`, by which Excel is told the delimiter.

    Args:
        text: lines with their ends.
        delimiter: one character.
    """
    lines = _Lines(text)
    width: int | None = None
    while (line := lines.next()) is not None:
        number = lines.number
        if not line or (number == 1 and _SEPARATOR.fullmatch(line)):
            continue
        if '"' not in line:
            cells, extent = line.split(delimiter), [line]
        else:
            cells, extent = _quoted(line, lines, delimiter)
        if width is not None and _ambiguous(extent, delimiter, width):
            for shift, part in enumerate(extent):
                yield Cells(number + shift, [part], _AMBIGUOUS.format(number, number + len(extent) - 1))
        else:
            yield Cells(number, cells)
        width = len(cells) if width is None else width


_AMBIGUOUS = "a quote opens in line {} and closes in line {}, and the lines are whole rows too: quotes are unbalanced"


def _ambiguous(extent: list[str], delimiter: str, width: int) -> bool:
    """Whether lines that one quoted cell joins could be rows by themselves: the first and last, or one between."""
    if len(extent) == 1:
        return False
    whole = [part.count(delimiter) + 1 == width for part in extent]
    return (whole[0] and whole[-1]) or any(whole[1:-1])


def _quoted(line: str, lines: _Lines, delimiter: str) -> tuple[list[str], list[str]]:
    """Return the cells of a row that has quotes, and the lines it takes."""
    cells: list[str] = []
    extent, at = [line], 0
    while True:
        text = extent[-1]
        closed = _closed(text, at + 1, lines, delimiter) if text.startswith('"', at) else None
        if closed is None:
            end = text.find(delimiter, at)
            end = len(text) if end < 0 else end
            cells.append(text[at:end])
        else:
            cell, further, end = closed
            cells.append(cell)
            extent += [str(lines.next()) for _ in range(further)]
        if end >= len(extent[-1]):
            return cells, extent
        at = end + 1


def _closed(text: str, at: int, lines: _Lines, delimiter: str) -> tuple[str, int, int] | None:
    """Return a quoted cell from behind its opening quote: content, further lines, and where the last of them ends."""
    parts: list[str] = []
    for further in range(LONGEST_CELL):
        content = ""
        while (quote := text.find('"', at)) >= 0:
            content += text[at:quote]
            if not text.startswith('"', quote + 1):
                end = quote + 1
                if end < len(text) and text[end] != delimiter:
                    return None
                return "\n".join([*parts, content]), further, end
            content, at = content + '"', quote + 2
        parts.append(content + text[at:])
        ahead = lines.peek(further)
        if ahead is None:
            return None
        text, at = ahead, 0
    return None
