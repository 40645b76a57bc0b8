"""A view that stays: printed again and again until it is interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime

from rich.console import Group
from rich.live import Live
from rich.text import Text

from pipelines.terminal import Terminal

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
                    live.update(Group(Text.from_ansi(text), Text(at, style="dim")), refresh=True)
                elif text != before:
                    console.raw(text + "\n")
                before = text
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return 0


def _printed(show: Callable[[Terminal], None], console: Terminal) -> str:
    """Return what would be printed, as wide as the terminal."""
    with console.capture() as capture:
        show(console)
    return capture.get()
