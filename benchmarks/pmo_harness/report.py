"""The runs of the benchmark beside the published table, in Markdown.

Published figures are in `published.csv`, each with its source: those of 10,000 calls are mostly Table 1 of the f-RAG
paper (Lee et al. 2024), which quotes others; what is marked `secondary` was read in another text, not in its own.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers.reporting import interval
from benchmarks.pmo_harness.protocol import LEVELS
from benchmarks.pmo_harness.runs import Run, read_runs
from models.pmo.tasks import TASKS

PUBLISHED = Path(__file__).with_name("published.csv")
SUMMARY = (
    *("method", "tasks", "seeds", "AUC top-1", "AUC top-10", "AUC top-100", "final top-10, mean"),
    *("scaffolds of 100", "circles of 100", "CPU-s a run", "most MiB of a process", "disk, MiB", "ended early"),
)
PRINTED = {"sum_published": "sum over 23, as published", "seeds": "seeds", "verified": "verified", "source": "source"}

LONGEST = 24
"""Characters of settings that stand in the head of a column; longer ones have a letter there."""

Method = tuple[str, str]
"""Name and settings."""


def published(budget: int) -> list[dict[str, str]]:
    """Return the published rows of a budget."""
    with PUBLISHED.open(newline="") as file:
        return [row for row in csv.DictReader(file) if int(row["budget"]) == budget]


def grouped(runs: Sequence[Run]) -> dict[Method, dict[str, dict[int, Run]]]:
    """Return method -> task -> seed -> run."""
    found: dict[Method, dict[str, dict[int, Run]]] = {}
    for run in runs:
        method = run["method"], " ".join(run["settings"])
        found.setdefault(method, {}).setdefault(run["task"], {})[run["seed"]] = run
    return found


def with_interval(values: Sequence[float]) -> str:
    """Return mean and half-width of the 95 % interval over seeds; of one seed the value alone."""
    mean, half = interval(values)
    return f"{mean:.3f}" + (f" ± {half:.3f}" if math.isfinite(half) else "")


def sum_over_tasks(by_task: Mapping[str, Mapping[int, Run]], best: str) -> tuple[list[float], int]:
    """Return, by seed, the sum over the tasks that every seed of any task has run; and the number of these tasks."""
    seeds = set[int]().union(*(runs.keys() for runs in by_task.values()))
    tasks = [task for task, runs in by_task.items() if runs.keys() == seeds]
    return [sum(by_task[task][seed]["auc"][best] for task in tasks) for seed in sorted(seeds)], len(tasks)


def cells_of(row: Mapping[str, str], tasks: Sequence[str]) -> str:
    """Return the sum of a published row over some tasks; empty where a cell is missing."""
    cells = [row[task] for task in tasks]
    return f"{sum(map(float, cells)):.3f}" if cells and all(cells) else ""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def told(runs: Sequence[Run], budget: int) -> str:
    """Return the report of the runs of one budget."""
    found = grouped(runs)
    tasks = [task for task in TASKS if any(task in by_task for by_task in found.values())]
    others = [row for row in published(budget) if any(row[task] for task in TASKS)]
    names, legend = _names(list(found))
    heads = ["task", *names, *(row["method"] for row in others)]
    rows = [
        [task]
        + [
            with_interval([run["auc"]["10"] for run in by_task[task].values()]) if task in by_task else ""
            for by_task in found.values()
        ]
        + [row[task] for row in others]
        for task in tasks
    ]
    parts = [
        f"### PMO, {budget:,} calls: AUC top-10, mean ± half-width of the 95 % interval over seeds",
        table(heads, rows),
        *legend,
        "### Sums over tasks",
        table(
            SUMMARY,
            [_summary(name, by_task) for name, by_task in zip(names, found.values(), strict=True)],
        ),
        *_duels(names, list(found.values())),
        *_hits(names, list(found.values())),
        "Published:",
        table(["method", f"sum over these {len(tasks)} tasks", *PRINTED.values()], _published_rows(budget, tasks)),
        *_sources(names, list(found.values())),
        "Published values of isomers_*, sitagliptin_mpo and zaleplon_mpo may be of versions that score them otherwise.",
    ]
    return "\n\n".join(parts)


def _names(methods: Sequence[Method]) -> tuple[list[str], list[str]]:
    """Return what methods are called in tables, and a line that says what letters for long settings stand for."""
    names, legend = [], []
    for name, settings in methods:
        if len(settings) > LONGEST:
            legend.append(f"({'abcdefghijklmnopqrstuvwxyz'[len(legend)]}): `{settings}`")
            names.append(f"{name} {legend[-1].partition(':')[0]}")
        else:
            names.append(f"{name} {settings}".strip())
    return names, ["  \n".join(legend)] * bool(legend)


def _published_rows(budget: int, tasks: Sequence[str]) -> list[list[str]]:
    return [[row["method"], cells_of(row, tasks), *(row[key] for key in PRINTED)] for row in published(budget)]


def _summary(name: str, by_task: Mapping[str, Mapping[int, Run]]) -> list[str]:
    runs = [run for seeds in by_task.values() for run in seeds.values()]
    sums = {best: sum_over_tasks(by_task, best) for best in ("1", "10", "100")}
    early = [run for run in runs if run["calls"] < run["budget"]]
    # Runs of before and of other methods do not say all.
    memory, disk = ([run[key] for run in runs if key in run] for key in ("largest_process_mib", "disk_mib"))
    means = [f"{statistics.mean(run[key] for run in runs):.1f}" for key in ("scaffolds", "circles", "cpu_seconds")]
    return [
        name,
        str(sums["10"][1]),
        str(len(sums["10"][0])),
        *(with_interval(values) if count else "" for values, count in sums.values()),
        f"{statistics.mean(run['final']['10'] for run in runs):.3f}",
        *means,
        f"{max(memory):,}" if memory else "",
        f"{max(disk):.0f}" if disk else "",
        f"{len(early)} of {len(runs)}",
    ]


def _duels(names: Sequence[str], methods: Sequence[Mapping[str, Mapping[int, Run]]]) -> list[str]:
    """Return the table of how many tasks each method has a larger area on than each other one."""
    areas = [{task: _mean_area(runs) for task, runs in by_task.items()} for by_task in methods]
    rows = [
        [name, *("" if mine is theirs else f"{_wins(mine, theirs)} of {len(mine.keys() & theirs)}" for theirs in areas)]
        for name, mine in zip(names, areas, strict=True)
    ]
    return ["### Tasks with a larger AUC top-10, means over seeds", table(["than", *names], rows)] * (len(names) > 1)


def _mean_area(runs: Mapping[int, Run]) -> float:
    return statistics.mean(run["auc"]["10"] for run in runs.values())


def _wins(mine: Mapping[str, float], theirs: Mapping[str, float]) -> int:
    return sum(mine[task] > theirs[task] for task in mine.keys() & theirs)


def hit_level(by_task: Mapping[str, Mapping[int, Run]], task: str) -> float | None:
    """Return the lowest of `LEVELS` that random members of ZINC do not reach, given the runs of the method `random`."""
    runs = by_task.get(task, {}).values()
    reached = statistics.mean(run["final"]["1"] for run in runs) if runs else math.inf
    return next((level for level in LEVELS if level > reached), None)


def _hits(names: Sequence[str], methods: Sequence[Mapping[str, Mapping[int, Run]]]) -> list[str]:
    """Return the table of molecules above what random members of ZINC reach, with their scaffolds and circles."""
    draws = dict(zip(names, methods, strict=True)).get("random", {})
    levels = {task: level for task in TASKS if (level := hit_level(draws, task)) is not None}
    others = [(name, by_task) for name, by_task in zip(names, methods, strict=True) if name != "random"]
    if not levels or not others:
        return []
    rows = [
        [task, str(level), *(_breadth(by_task, task, level) for _, by_task in others)] for task, level in levels.items()
    ]
    return [
        "### Hits: molecules above the lowest tenth that as many random members of ZINC do not reach",
        "Molecules / scaffolds / circles (all 0.75 apart) of a run, means over seeds.",
        table(["task", "above", *(name for name, _ in others)], rows),
    ]


def _breadth(by_task: Mapping[str, Mapping[int, Run]], task: str, level: float) -> str:
    above = [run["above"].get(str(level), {}) for run in by_task.get(task, {}).values() if "above" in run]
    if not above:
        return ""
    means = (statistics.mean(one.get(key, 0) for one in above) for key in ("molecules", "scaffolds", "circles"))
    return " / ".join(f"{mean:.1f}" for mean in means)


def _sources(names: Sequence[str], methods: Sequence[Mapping[str, Mapping[int, Run]]]) -> list[str]:
    rows = []
    for name, by_task in zip(names, methods, strict=True):
        totals: dict[str, list[int]] = {}
        for run in (run for seeds in by_task.values() for run in seeds.values()):
            for source, counts in run.get("sources", {}).items():
                total = totals.setdefault(source, [0, 0])
                total[0] += counts["bought"]
                total[1] += counts["top100"]
        bought, best = (sum(total[place] for total in totals.values()) for place in (0, 1))
        rows += [
            [name, source, f"{100 * total[0] / bought:.0f} %", f"{100 * total[1] / best:.0f} %"]
            for source, total in totals.items()
        ]
    return ["### Sources of what campaigns bought", table(["method", "source", "bought", "of the best 100"], rows)] * (
        len(rows) > 0
    )


def main(arguments: list[str]) -> int:
    """Print the report of some files of runs."""
    parser = argparse.ArgumentParser(prog="pmo.py report", description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", default=[Path("pmo_runs.jsonl")])
    given = parser.parse_args(arguments)
    for path in given.files:
        if not path.is_file():
            parser.error(f"There is no file of runs {str(path)!r}. benchmarks/pmo.py --out writes one.")
    runs = [run for path in given.files for run in read_runs(path).values()]
    if not runs:
        parser.error("The files have no runs.")
    for budget in sorted({run["budget"] for run in runs}):
        print(told([run for run in runs if run["budget"] == budget], budget) + "\n")
    return 0
