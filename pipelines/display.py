"""The progress display of `discover run`: round, stage, budget, best values."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table

from data.config import CampaignConfig
from data.ledger.campaigns import LedgerError
from data.ledger.ledger import Ledger
from data.ledger.summary import Course, by_round, summaries
from data.wording import figure
from pipelines.status import round_headers, round_row, rounds_told, show_reading
from pipelines.terminal import Terminal, table
from tasks.progress import Event, listening
from tasks.workspace import Workspace

REFRESH_SECONDS = 1.0
TELL_SECONDS = 30.0
"""Between two lines on one stage, where the output is no terminal."""
FIRST_STAGES = ("start", "prepare_data", "gather_members", "pretrain", "read_tables")
"""What comes before the first purchase."""


def time_left(elapsed: float, done: int, total: int) -> str:
    """Return about how long something takes that has come so far in so many seconds; empty where nothing tells."""
    if not 0 < done < total or elapsed < 2.0:
        return ""
    left = elapsed / done * (total - done)
    if left < 90:
        return f"about {max(1, round(left))} s left"
    return f"about {round(left / 60)} min left" if left < 5400 else f"about {left / 3600:.1f} h left"


class RunDisplay:
    """A live table in a terminal; a line per stage where the output is no terminal."""

    def __init__(self, console: Terminal, workspace: Workspace, config: CampaignConfig) -> None:
        self.console, self.workspace, self.config = console, workspace, config
        self.has_told_reading = False
        self.ledger: Ledger = workspace.ledger()
        self.event = Event(0, "start")
        self.started = self._stage_began = self._told_at = time.monotonic()
        self._listening = listening(self._on_event)
        self._figures: Table | None = None
        self._past = _Past(0, Course(config.goals))
        self._read_at = 0.0
        self._spent = 0
        self._lock = threading.Lock()
        # Renders at once, so everything above must be there.
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        self._listening.__enter__()
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.__exit__(kind, error, trace)
        self._read_at = 0.0
        if self.console.is_terminal:
            self._live.stop()
        else:
            self._tell()
        self.ledger.close()

    def _on_event(self, event: Event) -> None:
        before, self.event = self.event, event
        if not self.has_told_reading and event.stage not in FIRST_STAGES:
            self.has_told_reading = True  # before anything is bought: what is wrong with the file can still be mended
            self._tell_reading()
        now, seconds = time.monotonic(), time.monotonic() - self.started
        begins = (before.round, before.stage, before.known) != (event.round, event.stage, event.known)
        if begins:
            self._stage_began = self._told_at = now
        what = f"{seconds:6.1f} s  round {event.round}  {event.stage.replace('_', ' ')}"
        what += ": already done" if event.known else ""
        if not self.console.is_terminal and begins:
            self.console.say(what)
        elif not self.console.is_terminal and event.total and now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            self.console.say(f"{what}, {event.done} of {event.total}, {self._left(event)}".rstrip(", "))

    def _left(self, event: Event) -> str:
        """Return how long the stage still takes, as far as it can be told from what it took so far."""
        elapsed = time.monotonic() - self._stage_began
        return time_left(elapsed, event.done, event.total)

    def _tell_reading(self) -> None:
        with suppress(LedgerError):
            campaign = self.ledger.campaign(self.config.name)
            show_reading(self.workspace, self.ledger.stages(campaign.id), self.console)

    def _render(self) -> RenderableType:
        with self._lock:
            if time.monotonic() - self._read_at > REFRESH_SECONDS:
                self._figures = self._summary()
                self._read_at = time.monotonic()
        event = self.event
        stage = Table.grid(padding=(0, 1))
        told = "  ".join(f"{key} {figure(value)}" for key, value in list(event.metrics.items())[:4])
        row: list[RenderableType] = [
            Spinner("dots"),
            f"round {event.round} of {self.config.rounds}",
            event.stage.replace("_", " "),
        ]
        if event.total:
            bar = ProgressBar(event.total, event.done, width=24)
            row += [bar, f"{event.done}/{event.total}", self._left(event), told]
        stage.add_row(*row)
        return Group(*(part for part in (self._figures, stage) if part is not None))

    def _tell(self) -> None:
        self.console.say(self.config.name)
        headers = round_headers(self.config.goals)
        self.console.records(headers, self._lines(), long=(), numbers=range(len(headers) - 2))
        with suppress(LedgerError):  # not begun
            rows = self.ledger.course(self.ledger.campaign(self.config.name).id)
            for sentence in rounds_told(summaries(rows, self.config.goals), self.config.goals):
                self.console.say(sentence)

    def _summary(self) -> Table:
        lines, headers = self._lines(), round_headers(self.config.goals)
        made = table(headers, lines, numbers=range(len(headers) - 2), long=range(len(headers)))
        made.title = self.config.name
        if lines:
            limit = self.config.budget.calls
            made.caption = f"{self._spent} calls spent" + (f" of {limit}" if limit else "")
        return made

    def _lines(self) -> list[list[str]]:
        try:
            campaign = self.ledger.campaign(self.config.name)
        except LedgerError:  # not begun yet
            return []
        self._spent = self.ledger.spent(campaign.id).calls
        # `--fresh` begins another one under the name; what is measured again changes the rounds before.
        if self._past.campaign_id != campaign.id or not campaign.readings.plain:
            self._past = _Past(campaign.id, Course(campaign.goals))
        past, goals = self._past, self._past.course.goals
        rounds = by_round(self.ledger.candidates(campaign.id, first=past.rounds))
        for round in sorted(rounds)[:-1]:
            past.lines.append(round_row(past.course.add(round, rounds.pop(round)), goals))
            past.rounds = round + 1
        last = [round_row(copy(past.course).add(round, rows), goals) for round, rows in rounds.items()]
        return [*past.lines, *last]


@dataclass
class _Past:
    """Rounds before the last one: they do not change any more, so they are read once."""

    campaign_id: int
    course: Course
    rounds: int = 0
    lines: list[list[str]] = field(default_factory=list)
