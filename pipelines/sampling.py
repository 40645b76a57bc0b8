"""`discover sampler`: progress while it trains, and the table in the end."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from data.sampler_config import load_sampler
from data.wording import figure
from pipelines.pages import mlflow_server
from pipelines.running import served, terminating
from pipelines.services import wait_for_prefect
from pipelines.terminal import Terminal
from tasks.progress import Event, listening
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from tasks.samplers.summary import Spread, Summary

SHOWN_OF_GRAPHS = ("gain", "random_gain", "gap", "random_gap", "loss")
SHOWN = ("tv", "modes", "loss")
SHOWN_OF_SAMPLES = ("spearman", "modes", "mean_reward", "log_z_lower", "loss")
"""Figures that are told while it trains, as far as there are any."""
LINES = 10
"""Lines per seed where the output is no terminal."""


def sampler_in_terminal(path: Path, overrides: tuple[str, ...], *, plain: bool, console: Terminal) -> int:
    """Train the sampler of a file, or go on, and print what came out; returns the exit code."""
    config = load_sampler(path, overrides)  # a broken file is refused before anything is started
    workspace = Workspace.open()
    with terminating(), served(workspace, plain=plain, console=console):
        from pipelines.sampler import checked_sampler, run_sampler, sampler

        with SamplerDisplay(console, len(config.seeds)):
            if plain:
                summary = run_sampler(path, overrides)
            else:
                checked_sampler(path, overrides, workspace)  # refused before a run of the flow is there
                wait_for_prefect()
                summary = sampler(str(path), overrides)
    show_summary(path.stem, len(config.seeds), summary, workspace, console)
    return 0


class SamplerDisplay:
    """A bar for each seed in a terminal; some lines where the output is no terminal.

    Args:
        console: where.
        seeds: how many there are.
        evaluated: whether lines wait for evaluations and tell their figures; else they tell only how far it is.
    """

    def __init__(self, console: Terminal, seeds: int, *, evaluated: bool = True) -> None:
        self.console, self.seeds, self.evaluated = console, seeds, evaluated
        self.started = time.monotonic()
        self._listening = listening(self._on_event)
        self._bars: dict[str, TaskID] = {}
        self._parts: dict[str, int] = {}
        self._told: dict[str, str] = {}
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, TextColumn("{task.fields[told]}", markup=False), console=console)

    def __enter__(self) -> Self:
        self._listening.__enter__()
        if self.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.__exit__(kind, error, trace)
        if self.console.is_terminal:
            self._progress.stop()

    def _on_event(self, event: Event) -> None:
        evaluated = not self.evaluated or "cpu_seconds" in event.metrics
        if evaluated and self.evaluated:
            self._told[event.stage] = _figures(event)
        if self.console.is_terminal:
            bar = self._bars.get(event.stage)
            if bar is None:
                bar = self._bars[event.stage] = self._progress.add_task(event.stage, total=event.total, told="")
            self._progress.update(bar, completed=event.done, told=self._told.get(event.stage, ""))
            return
        part = event.done * LINES // max(event.total, 1)
        if evaluated and part > self._parts.get(event.stage, 0):
            self._parts[event.stage] = part
            self.console.say(
                f"{time.monotonic() - self.started:6.1f} s  {event.stage}  step {event.done} of {event.total}  "
                + self._told.get(event.stage, "")
            )


def _figures(event: Event) -> str:
    exact = any(key.split("/")[0] == "tv" for key in event.metrics)
    graphs = "held_out_graphs" in event.metrics
    names = SHOWN if exact else SHOWN_OF_GRAPHS if graphs else SHOWN_OF_SAMPLES
    found = [key for name in names for key in event.metrics if key.split("/")[0] == name]
    return "  ".join(f"{_name(key)} {figure(event.metrics[key])}" for key in found)


def _name(key: str) -> str:
    return key.replace("/", ", ").replace("_", " ")


def show_summary(name: str, seeds: int, summary: Summary, workspace: Workspace, console: Terminal) -> None:
    """Print the figures of the end, what they cost, and where to look."""
    many = seeds > 1
    console.say(f"{name}, judged {summary.judged}")
    headers = ["at the end", f"median of {seeds} seeds" if many else "", *(["least", "greatest"] if many else [])]
    lines = [[_name(key), *_cells(spread, many)] for key, spread in (summary.figures | summary.costs).items()]
    console.records(headers, lines, long=(), numbers=range(1, len(headers)))
    for note in summary.notes:
        console.say(note)
    pictures = summary.folder / "seed-*" / "plots"
    server = mlflow_server(workspace)
    page = f"`discover ui`, then {summary.page}" if server is None else server + (summary.page or "")
    if not summary.page:
        page = "could not be reached; the same command tries again"
    for label, text in (("MLflow", page), ("Pictures", str(pictures)), ("Files", str(summary.folder))):
        console.say(f"{label:<12}{text}")


def _cells(spread: Spread, many: bool) -> list[str]:
    values = (spread.median, spread.low, spread.high) if many else (spread.median,)
    return [figure(value) if abs(value) < 1e4 else f"{value:,.0f}" for value in values]
