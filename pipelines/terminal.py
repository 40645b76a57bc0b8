"""The terminal as this project uses it: what users wrote is shown as they wrote it, whatever it looks like.

rich reads `[...]` as markup and `:smile:` as an emoji; molecules are full of brackets. A `Terminal` does neither, for
no text, in no table; nothing else here makes a console or a `Text`. Styles are given as arguments.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Collection, Sequence
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions, Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from data.wording import harmless

WIDE = 100_000
"""Columns of what is no terminal: nothing is wrapped or cut for a file or another program."""

PROSE = 100
"""Columns of what is read and never parsed, such as the help, where it goes into a file or another program."""

_SPOKEN = {"±": "+-", "−": "-", "–": "-", "—": "-", "…": "...", "µ": "u", "μ": "u", "°": "deg", "×": "x", "Å": "A"}
"""What is written for a character that an output cannot encode; others become `?`."""


class Terminal(Console):
    """A console that takes no text for markup, never cuts, and is silent when nobody reads any more.

    Attributes:
        wide: whether lines are as long as they are, as into a pipe.
        widest: columns of what is no terminal.
    """

    def __init__(self, *, stderr: bool = False, widest: int = WIDE, like: Terminal | None = None) -> None:
        """Make a console of a standard stream, or one in memory, as wide and as coloured as another.

        Args:
            stderr: that of errors.
            widest: columns of what is no terminal.
            like: the other one.
        """
        more: dict[str, Any] = {} if like is None else {"file": io.StringIO(), "force_terminal": like.is_terminal}
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, **more)
        self.wide: bool = like is not None and like.wide
        self.widest: int = widest if like is None else like.widest

    @property
    def size(self) -> ConsoleDimensions:
        """Columns and lines; as many columns as wanted where the output is no terminal, or `wide` is set."""
        if self.wide or not self.is_terminal:
            return ConsoleDimensions(self.widest, 25)
        return super().size

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as it is: no markup, no emoji codes, nothing that steers the terminal."""
        options |= {"markup": False, "emoji": False, "highlight": False, "highlighter": None}
        return super().render_str(harmless(text), **options)

    def say(self, *parts: str | tuple[str, str], whole: bool = True) -> None:
        """Print a line.

        Args:
            parts: texts, or (text, style).
            whole: leave long lines to the terminal, so that addresses stay clickable and can be copied.
        """
        styled = [part if isinstance(part, tuple) else (part, "") for part in parts]
        self.print(Text.assemble(*((harmless(text), style) for text, style in styled)), soft_wrap=whole)

    def records(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[str]],
        long: Sequence[int] = (-1,),
        *,
        numbers: Sequence[int] = (),
    ) -> None:
        """Print rows as a table; where it does not fit, each row as a block of lines. Nothing is cut.

        Args:
            headers: of the columns.
            rows: texts, one for each column.
            long: columns of texts that go on below; the last one, if left out.
            numbers: columns that are aligned to the right.
        """
        wraps = {position % len(headers) for position in long}
        if not self.is_terminal and not any("\n" in text for row in rows for text in row):
            self.raw(aligned(headers, rows, numbers=numbers))
            return
        if self.fits(headers, rows, long):
            self.print(table(headers, rows, numbers=numbers, long=wraps))
            return
        for row in rows:
            pairs = [(header, text) for header, text in zip(headers, row, strict=True) if text]
            self.print(table(["", ""], pairs, headed=False, long=(1,)))
            self.print()

    def fits(self, headers: Sequence[str], rows: Sequence[Sequence[str]], long: Sequence[int] = (-1,)) -> bool:
        """Return whether a table has room, its long texts wrapped."""
        wraps = {position % len(headers) for position in long}
        needed = 0
        for position in range(len(headers)):
            widest = max(cell_len(line) for row in (headers, *rows) for line in (row[position] + " ").splitlines())
            needed += min(widest, _LONG) + 1 if position in wraps else widest + 1
        return needed <= self.options.max_width

    def raw(self, text: str) -> None:
        """Write an export, or lines that are laid out already, as they are."""
        if self.quiet:
            return
        try:
            self.file.write(text)
            self.file.flush()
        except BrokenPipeError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Go on in silence: a campaign does not end because a reader had seen enough."""
        self.quiet = True
        hush(self.file)


HEAD = 2
"""Lines that stay at the top of a text which is taller than the terminal."""


def printed_already(text: str, note: str, console: Console) -> RenderableType:
    """Return what a `Terminal` has printed elsewhere, its styles included, with a note below.

    Where it is taller than the terminal its middle is left out, and that is said: findings stand at its end.
    """
    lines = list(Text.from_ansi(text).wrap(console, console.width))
    end = max(1, console.height - HEAD - 3)  # a line for what was left out, the note, and the cursor
    hidden = len(lines) - HEAD - end
    if hidden > 1:
        said = Text(f"... {hidden} lines do not fit into this window ...", style="dim")
        lines = [*lines[:HEAD], said, *lines[-end:]]
    return Group(*lines, Text(note, style="dim"))


_LONG = 16
"""Columns that a long text must have at least, before it goes on below."""


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[RenderableType]],
    *,
    numbers: Sequence[int] = (),
    long: Collection[int] = (),
    headed: bool = True,
) -> Table:
    """Return a table without lines, in which the columns `long` wrap at any character and the others are kept whole."""
    made = Table(box=None, show_header=headed, padding=(0, 2, 0, 0))
    for position, header in enumerate(headers):
        side: JustifyMethod = "right" if position in numbers else "left"
        made.add_column(header, justify=side, overflow="fold", no_wrap=position not in long)
    for row in rows:
        made.add_row(*row)
    return made


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """Return the lines of a table where nothing wraps, as in a file: rich takes a millisecond for each."""
    cells = [list(headers), *([harmless(text) for text in row] for row in rows)]
    columns = list(zip(*([cell_len(text) for text in row] for row in cells), strict=True))
    widest = [max(column) for column in columns]
    lines = []
    for line, row in enumerate(cells):
        padded = []
        for position, text in enumerate(row):
            space = " " * (widest[position] - columns[position][line])
            padded.append(space + text if position in numbers else text + space)
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines) + "\n"


def hush(stream: Any) -> None:
    """Have whatever is still written to a stream that nobody reads go nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def forgive_encodings() -> None:
    """Have the standard streams replace what they cannot encode."""
    codecs.register_error("discover", _replacement)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="discover")


def close_streams() -> None:
    """Write what is left; a reader who has gone is no error."""
    streams: tuple[TextIO | None, ...] = (sys.stdout, sys.stderr)  # None: the caller closed it
    for stream in streams:
        try:
            if stream is not None:
                stream.flush()
        except OSError:  # a full disk was told when it was met
            hush(stream)


def _replacement(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_SPOKEN.get(letter, "?") for letter in letters), error.end
