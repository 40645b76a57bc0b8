"""A view that stays: printed again and again until it is interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime

from rich.live import Live

from pipelines.terminal import Terminal, printed_already

WATCH_SECONDS = 2.0


def watch(show: Callable[[Terminal], None], console: Terminal) -> int:
    """Show something again and again until it is interrupted; returns the exit code.

    In a terminal the picture stays in place; elsewhere it is printed again whenever it changes.
    """
    before = ""
    try:
        with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as live:
            while True:
                text = _printed(show, console)
                if live is not None:
                    at = f"{datetime.now():%H:%M:%S}; Ctrl-C ends this view, not the campaign."
                    live.update(printed_already(text, at, console), refresh=True)
                elif text != before:
                    console.raw(text + "\n")
                before = text
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return 0


def _printed(show: Callable[[Terminal], None], console: Terminal) -> str:
    """Return what would be printed; not through the console itself, which draws the view around whatever it prints."""
    aside = Terminal(like=console)
    show(aside)
    return str(aside.file.getvalue())  # type: ignore[attr-defined]
