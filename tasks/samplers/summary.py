"""What the seeds of a sampler gave together: median and range, one picture, the run above theirs in MLflow."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.config import digest
from tasks.reporting.plots import png
from tasks.samplers import plots
from tasks.samplers.train import SamplerRef, figures_of, history_of
from tasks.storage import write_json
from tasks.tracking import SamplerTracker, attempt

COSTS = ("cpu_seconds", "trajectories_per_cpu_second")

ORDER = ("held_out_graphs", "optimum", "gain", "greedy_gain", "random_gain", "one_draw", "gap", "greedy_gap",
         "random_gap",
         "tv", "grid_tv", "l1_sum", "jsd", "kl", "spearman", "pearson", "expected_reward", "expected_reward_error",
         "mean_reward", "unique_share", "modes", "reward_calls", "top_reward", "top_diversity", "log_z", "log_z_error",
         "log_z_lower", "log_z_sampled", "log_z_upper", "effective_share")  # fmt: skip
"""Figures in the order in which they are told."""


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest value of a figure over seeds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of one or more values."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Summary:
    """What the seeds gave.

    Attributes:
        judged: in words, how.
        figures: of the last evaluation.
        costs: CPU seconds, and trajectories per CPU second.
        page: of the run in MLflow, relative to its address; None if MLflow could not be reached.
        folder: of everything on disk.
        notes: what the seeds found, to be read by a person.
    """

    judged: str
    figures: dict[str, Spread]
    costs: dict[str, Spread]
    page: str | None
    folder: Path
    notes: tuple[str, ...] = ()


def summarise(ref: SamplerRef, results: Mapping[int, Mapping[str, Any]]) -> Summary:
    """Write `summary.json` and a picture of all seeds, and show both in MLflow.

    Args:
        ref: the sampler.
        results: what `train_sampler` returned, by seed.
    """
    every = list(results.values())
    names = sorted((name for name in every[0]["metrics"] if all(name in r["metrics"] for r in every)), key=_rank)
    figures = {name: Spread.of([float(result["metrics"][name]) for result in every]) for name in names}
    costs = {name: Spread.of([float(result[name]) for result in every]) for name in COSTS}
    folder = ref.folder / "all-seeds" / "-".join(map(str, results))
    folder.mkdir(parents=True, exist_ok=True)
    histories = {seed: history_of(ref.seed_folder(seed)) for seed in results}
    named = {f"seed {seed}" if len(histories) > 1 else "": rows for seed, rows in histories.items()}
    (folder / "learning.png").write_bytes(png(plots.learning(named)))
    write_json(folder / "summary.json", {"judged": every[0]["judged"], "figures": _plain(figures | costs)})
    page = attempt(
        "publishing the seeds", lambda: _publish(ref, results, medians(list(histories.values())), folder), during="run"
    )
    return Summary(every[0]["judged"], figures, costs, page, ref.folder, _notes(results))


def _notes(results: Mapping[int, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the notes of all seeds; of several, each says whose it is. Results of old code have none."""
    return tuple(
        f"seed {seed}, {note}" if len(results) > 1 else note
        for seed, result in results.items()
        for note in result.get("notes", ())
    )


def medians(histories: Sequence[Sequence[Mapping[str, float]]]) -> list[dict[str, float]]:
    """Return the median over trainings of each figure, at the steps at which all of them were evaluated."""
    by_step = [{row["step"]: row for row in rows if "cpu_seconds" in row} for rows in histories]
    out = []
    for step, first in by_step[0].items():
        if all(step in rows for rows in by_step):
            here = [rows[step] for rows in by_step]
            keys = [key for key in first if all(key in row for row in here)]
            out.append({key: statistics.median(row[key] for row in here) for key in keys})
    return out


def _publish(
    ref: SamplerRef, results: Mapping[int, Mapping[str, Any]], rows: list[dict[str, float]], folder: Path
) -> str:
    tracker: SamplerTracker = ref.tracker()
    run = tracker.run()
    key = digest([ref.identity, list(results)])
    if tracker.published(run) != key:
        tracker.metrics(run, rows)
        last = [figures_of(result) for result in results.values()]
        steps = max(int(result["steps"]) for result in results.values())
        tracker.metrics(run, [{"step": steps, **{k: statistics.median(row[k] for row in last) for k in last[0]}}])
        tracker.artifacts(run, folder, "all-seeds")
        # The picture of a plane is of one policy: that of the first seed.
        tracker.artifacts(run, ref.seed_folder(next(iter(results))) / "plots", "plots of the first seed")
        tracker.mark_published(run, key)
    return tracker.page(run)


def _rank(name: str) -> int:
    stem = name.partition("/")[0]
    return ORDER.index(stem) if stem in ORDER else len(ORDER)


def _plain(spreads: Mapping[str, Spread]) -> dict[str, dict[str, float]]:
    return {name: {"median": s.median, "low": s.low, "high": s.high} for name, s in spreads.items()}
