"""Task `try system`: one seed of a published system's claim, kept in the workspace and shown in MLflow.

A seed that has ended is not tried again: its figures are read from its file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.registry import build
from models.systems.base import Purchase, System
from tasks.progress import Event, emit
from tasks.storage import read_json, write_json
from tasks.tracking import SamplerTracker, attempt
from tasks.workspace import Workspace

JsonDict = dict[str, Any]

Campaigns = Callable[[Mapping[str, Any], Path, Callable[[int], None]], list[Purchase]]
"""Runs a campaign in the workspace of a folder: `campaigns(config, folder, tell)`, as `Bench.campaign` says."""


@dataclass(frozen=True, slots=True)
class SystemRef:
    """Names a system in a workspace, with its options; small and JSON-able, so that it travels between processes."""

    home: str
    config: JsonDict
    """`{kind, options...}` of the system."""
    seeds: tuple[int, ...]

    @property
    def system(self) -> System[Any]:
        """The system."""
        made: System[Any] = build("system", self.config)
        return made

    @property
    def folder(self) -> Path:
        """Folder of all seeds of this configuration."""
        system = self.system
        return Path(self.home) / "systems" / f"{system.kind}-{system.identity[:8]}"

    def tracker(self) -> SamplerTracker:
        """Return the runs of this configuration in MLflow."""
        system = self.system
        return SamplerTracker(Workspace(Path(self.home)), system.kind, system.identity, self.seeds, family="systems")


@dataclass(frozen=True)
class SeedBench:
    """What a system may use while a seed of it is tried."""

    home: Path
    seed: int
    number: int
    workspace: Path
    campaigns: Campaigns

    def progress(self, done: int, total: int, told: Mapping[str, float]) -> None:
        """Tell how far the seed is."""
        emit(Event(self.number, f"seed {self.seed}", done, total, told))

    def campaign(self, config: Mapping[str, Any], tell: Callable[[int], None]) -> list[Purchase]:
        """Run a campaign in a workspace of the seed's own, or go on where it was broken off."""
        return self.campaigns(config, self.workspace, tell)


@task(name="try system", task_run_name="{ref.config[kind]}: seed {seed}", cache_policy=NO_CACHE, persist_result=False)
def try_system(ref: SystemRef, seed: int, number: int, campaigns: Campaigns) -> JsonDict:
    """Try a claim with one seed, or return what that gave if it has ended.

    Results: `seed-K/figures.json`, with the curves, and the CPU seconds of this process and its children since the seed
    was begun or gone on with. Campaigns of the seed are in `campaigns/seed-K`, a workspace of its own.

    Args:
        ref: the system.
        seed: of everything that is random.
        number: of the seed among those that are tried, for the display.
        campaigns: runs a campaign of the system, if it has any.
    """
    folder = ref.folder / f"seed-{seed}"
    file = folder / "figures.json"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        since = _cpu_seconds()
        bench = SeedBench(Path(ref.home), seed, number, ref.folder / "campaigns" / f"seed-{seed}", campaigns)
        figures = ref.system.run(seed, bench)
        write_json(file, figures | {"cpu_seconds": _cpu_seconds() - since})
    figures = read_json(file)
    attempt("publishing a seed", lambda: _publish(ref, seed, figures), during="trial")
    return figures


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def plain_figures(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a seed that are numbers."""
    return {name: float(value) for name, value in figures.items() if isinstance(value, int | float)}


def _publish(ref: SystemRef, seed: int, figures: JsonDict) -> None:
    tracker = ref.tracker()
    run = tracker.run(seed)
    if tracker.published(run) != ref.system.identity:
        tracker.params(run, {**ref.config, "seed": seed})
        tracker.metrics(run, [{"step": 0, **plain_figures(figures)}])
        tracker.artifacts(run, ref.folder / f"seed-{seed}", "figures")
        tracker.mark_published(run, ref.system.identity)
