"""How fast the GFlowNet trainer is beside torchgfn and gfnx: same environment, network, objective, batch; one thread.

    .venv/bin/python benchmarks/throughput.py [--repeats 5] [--quick] [--output throughput.json] [--markdown table.md]

The first run makes an environment for each peer under `--cache` (minutes). Every training runs in a process of its own,
the libraries take turns, and what counts is the CPU time of the training loop; set-up is told apart. Task: HyperGrid
(R0 = 0.1, R1 = 0.5, R2 = 2), trajectory balance, multilayer perceptron with two layers of 256 units on k-hot states,
trunk shared with a learned backward policy, Adam 1e-3, log Z 1e-1, no exploration, no clipping.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

from benchmarks.peers.common import Task  # noqa: E402
from benchmarks.peers.contenders import BenchmarkError, Contender, contenders, environment, pin_to_one_core  # noqa: E402
from benchmarks.peers.reporting import Record, Section, median, number, pick, ratio  # noqa: E402

CASES = (
    Task(4, 8, 16, 150),
    Task(4, 8, 128, 40),
    Task(4, 8, 1024, 12),
    Task(2, 64, 16, 60),
    Task(2, 64, 128, 40),
    Task(2, 64, 1024, 12),
)
TARGET_TV = 0.05
RACES = (
    Task(4, 8, 16, 6000, evaluate_every=100, until_tv=TARGET_TV),
    Task(4, 8, 128, 1500, evaluate_every=20, until_tv=TARGET_TV),
    Task(4, 8, 1024, 600, evaluate_every=8, until_tv=TARGET_TV),
)
QUICK_ITERATIONS = 4
SIZE_TOLERANCE = 0.02


@dataclass(frozen=True)
class Bench:
    """What a section needs: who takes part, how often, and how to run one training.

    Attributes:
        names: the libraries, in the order in which they take turns.
        repeats: alternations.
        quick: a smoke test: few iterations, figures that mean nothing.
        train: runs one training of a library.
        tell: prints a line of progress.
    """

    names: Sequence[str]
    repeats: int
    quick: bool
    train: Callable[[str, Task], Record]
    tell: Callable[[str], None]

    def run(self, name: str, task: Task) -> Record:
        """Run one training and return its figures with the task and the library."""
        if self.quick:
            task = replace(task, iterations=QUICK_ITERATIONS, evaluate_every=min(task.evaluate_every, 2))
        record = {"contender": name, **asdict(task), **self.train(name, task)}
        record["rate"] = record["trajectories"] / record["cpu_seconds"]
        record["transition_rate"] = record["transitions"] / record["cpu_seconds"]
        self.tell(
            f"{name:<9} {task.dims}x{task.height} batch {task.batch:<5} seed {task.seed}: {record['cpu_seconds']:7.2f} "
            f"CPU-s, {record['rate']:8,.0f} trajectories/CPU-s, TV {record['tv']:.3f}"
        )
        return record


def throughput(bench: Bench) -> list[Section]:
    """Measure trajectories per CPU-second, and the exact TV after the same number of visited states."""
    records = [
        bench.run(name, replace(case, seed=seed))
        for seed in range(bench.repeats)
        for case in CASES
        for name in bench.names
    ]
    check_sizes(records)
    grids = [f"{case.dims}x{case.height}" for case in CASES]
    cells: dict[str, list[list[str]]] = {"rate": [], "transition_rate": [], "tv": []}
    for grid, case in zip(grids, CASES, strict=True):
        mine = pick(records, dims=case.dims, height=case.height, batch=case.batch)
        by_name = {name: pick(mine, contender=name) for name in bench.names}
        label = [grid, str(case.batch)]
        for figure, rows in cells.items():
            digits = 3 if figure == "tv" else 0
            rows.append([*label, *(number(median(of, figure), digits) for of in by_name.values())])
        cells["rate"][-1] += [f"{paired(mine, bench.names[0], name):.2f}" for name in bench.names[1:]]
        cells["transition_rate"][-1] += [number(length(of), 1) for of in by_name.values()]
        cells["tv"][-1].insert(2, number(mine[0]["states"]))
    first, columns = bench.names[0], ["grid", "batch", *bench.names]
    return [
        Section(
            "throughput",
            "Trajectories per CPU-second",
            [*columns, *(f"{first} / {name}" for name in bench.names[1:])],
            cells["rate"],
            f"Medians of {bench.repeats}; a ratio is the median of the ratios of neighbouring runs.",
            records,
        ),
        Section(
            "transitions",
            "Transitions per CPU-second",
            [*columns, *(f"length {name}" for name in bench.names)],
            cells["transition_rate"],
            "Length: mean transitions of a trajectory, the stop included. Trajectories per second compare where it is "
            "alike; early in training it depends on the initial weights.",
        ),
        Section(
            "equal_states",
            "Exact total variation after the same number of visited states",
            ["grid", "batch", "visited", *bench.names],
            cells["tv"],
            "Medians; visited states are trajectories. Ours starts log Z at the first batch's estimate, the peers "
            "start at 0 as they do by default: it costs them some 60 steps, most of a short run.",
        ),
        setup(bench, records),
    ]


def check_sizes(records: Sequence[Record]) -> None:
    """Refuse to compare networks of different size; heads that a library cannot leave out may differ.

    Raises:
        BenchmarkError: on one grid the sizes differ by more than the tolerance.
    """
    for dims in {record["dims"] for record in records}:
        sizes = {record["contender"]: record["parameters"] for record in pick(records, dims=dims)}
        if max(sizes.values()) > (1 + SIZE_TOLERANCE) * min(sizes.values()):
            raise BenchmarkError(
                f"The networks on the grid of {dims} dimensions have different sizes, {sizes}; expected them within "
                f"{SIZE_TOLERANCE:.0%}. Give the workers the same layers."
            )


def setup(bench: Bench, records: Sequence[Record]) -> Section:
    """Tell what comes before training: CPU-seconds of imports, building, compiling and warming up."""
    by_name = {name: [record["setup_seconds"] for record in pick(records, contender=name)] for name in bench.names}
    rows = [[name, number(statistics.median(of), 1), number(max(of), 1)] for name, of in by_name.items()]
    note = "Not in any other table. The longest is a first compilation; the next ones find it in a cache."
    return Section("setup", "Set-up of a process in CPU-seconds", ["library", "median", "longest"], rows, note)


def time_to_quality(bench: Bench) -> list[Section]:
    """Measure CPU-seconds to the target TV: every batch size once, then the best one of each library again."""
    records = [bench.run(name, race) for race in RACES for name in bench.names]
    best = {name: best_batch(pick(records, contender=name)) for name in bench.names}
    by_batch = {race.batch: race for race in RACES}
    for seed in range(1, bench.repeats):
        records += [bench.run(name, replace(by_batch[best[name]], seed=seed)) for name in bench.names]
    rows = []
    for name in bench.names:
        for race in RACES:
            runs = pick(records, contender=name, batch=race.batch)
            cells = [number(reached(runs, place), 1 - place) for place in (1, 0)]
            rows.append([name, f"{race.batch}{' (best)' if race.batch == best[name] else ''}", str(len(runs)), *cells])
    fastest = {name: reached(pick(records, contender=name, batch=best[name]), 1) for name in bench.names}
    first = bench.names[0]
    told = [f"{name} / {first} {ratio(fastest[name], fastest[first])}" for name in bench.names[1:]]
    return [
        Section(
            "time_to_quality",
            f"CPU-seconds to an exact total variation of {TARGET_TV} on 4x8",
            ["library", "batch", "runs", "CPU-seconds", "visited states"],
            rows,
            f"Medians; evaluation is off the clock. Each at its best batch: {', '.join(told) or 'one library only'}.",
            records,
        )
    ]


def best_batch(records: Sequence[Record]) -> int:
    """Return the batch size that was at the target after the fewest CPU-seconds; if none was, that of the lowest TV."""
    there = [record for record in records if record["reached"]]
    winner = min(there, key=lambda r: r["cpu_seconds"]) if there else min(records, key=lambda r: r["tv"])
    return int(winner["batch"])


def reached(records: Sequence[Record], place: int) -> float | None:
    """Return the median of a column of the last point of the curve (0 visited, 1 CPU); None if a run did not arrive."""
    if not all(record["reached"] for record in records):
        return None
    return float(statistics.median(record["curve"][-1][place] for record in records))


def paired(records: Sequence[Record], first: str, other: str) -> float:
    """Return the median over the alternations of the ratio of two rates, which ran one after the other."""
    rate = {(record["contender"], record["seed"]): record["rate"] for record in records}
    seeds = {record["seed"] for record in records}
    return float(statistics.median(rate[first, seed] / rate[other, seed] for seed in seeds))


def length(records: Sequence[Record]) -> float:
    """Return the mean number of transitions of a trajectory."""
    return float(sum(r["transitions"] for r in records) / sum(r["trajectories"] for r in records))


FRAGMENT_RUNS = ((64, 3, 64), (64, 3, 256), (128, 4, 64), (128, 4, 256))
"""Width and layers of the policy, batch."""
PHASES = ("policy", "masks", "steps", "decode", "reward", "loss", "backward")


def fragments(bench: Bench) -> list[Section]:
    """Measure our fragment generator with QED as reward, and where its time goes; no peer takes part."""
    steps, records, rows = (2 if bench.quick else 20), [], []
    for seed in range(bench.repeats):
        for dim, layers, batch in FRAGMENT_RUNS:
            task = {"dim": dim, "layers": layers, "batch": batch, "steps": steps, "seed": seed}
            record = run_fragments(task)
            record["rate"] = record["trajectories"] / record["cpu_seconds"]
            records.append(record)
            bench.tell(f"fragments {dim}x{layers} batch {batch} seed {seed}: {record['rate']:.0f} trajectories/CPU-s")
    for dim, layers, batch in FRAGMENT_RUNS:
        mine = pick(records, dim=dim, layers=layers, batch=batch)
        each = [
            1e3 * statistics.median(r["phases"].get(phase, 0.0) / r["trajectories"] for r in mine) for phase in PHASES
        ]
        cells = [f"{dim}x{layers}", str(batch), number(median(mine, "rate")), *(f"{value:.2f}" for value in each)]
        rows.append([*cells, f"{statistics.median(r['length'] for r in mine):.1f}"])
    return [
        Section(
            "fragments",
            "Fragment generator, QED as reward: trajectories per CPU-second, and milliseconds per trajectory by phase",
            ["policy", "batch", "rate", *PHASES, "length"],
            rows,
            "Up to 20 heavy atoms, shipped vocabulary, trajectory balance, uniform backward policy, no replay. decode: "
            "assembling a molecule, its canonical SMILES and the check that it is cut into the same fragments again.",
            records,
        )
    ]


def run_fragments(task: Mapping[str, int]) -> Record:
    """Run the worker of the fragment generator in a process of its own."""
    options = [text for name, value in task.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, str(ROOT / "benchmarks" / "peers" / "ours_fragments.py"), *options]
    done = subprocess.run(command, env=environment(ROOT), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"The worker of the fragment generator failed: {done.stderr.strip()[-2000:]}")
    record: Record = json.loads(done.stdout.splitlines()[-1])
    return record


SECTIONS: Mapping[str, Callable[[Bench], list[Section]]] = {
    "throughput": throughput,
    "time-to-quality": time_to_quality,
    "fragments": fragments,
}
"""What can be measured. A section takes the bench and returns its tables; one of our own needs no peer."""


@contextmanager
def prepared(arguments: argparse.Namespace, console: Console) -> Iterator[Bench]:
    """Make the environments, bind to one core and yield the bench."""
    chosen: dict[str, tuple[Contender, Path]] = {}
    for contender in contenders():
        if contender.name in arguments.contenders:
            console.print(f"preparing {contender.name}", highlight=False)
            chosen[contender.name] = (contender, contender.prepare(arguments.cache))
    pin_to_one_core()
    with TemporaryDirectory() as compiled:

        def train(name: str, task: Task) -> Record:
            contender, python = chosen[name]
            return contender.run(python, task, Path(compiled))

        def tell(line: str) -> None:
            console.print(line, highlight=False, soft_wrap=True)

        yield Bench(list(chosen), 1 if arguments.quick else arguments.repeats, arguments.quick, train, tell)


def machine() -> dict[str, Any]:
    """Tell where the figures come from."""
    return {"platform": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    names = [contender.name for contender in contenders()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="alternations of the libraries")
    parser.add_argument("--quick", action="store_true", help="smoke test: one alternation of a few iterations")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--contenders", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--cache", type=Path, default=ROOT / ".discover" / "benchmarks", help="environments of the peers"
    )
    parser.add_argument("--output", type=Path, help="file for all runs as JSON")
    parser.add_argument("--markdown", type=Path, help="file for the tables in Markdown")
    parsed = parser.parse_args(arguments)
    if parsed.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {parsed.repeats}.")
    return parsed


def main() -> None:
    """Run the sections, print their tables, write the files after each section."""
    arguments, progress, console = parse(), Console(stderr=True), Console()
    done: list[Section] = []
    try:
        with prepared(arguments, progress) as bench:
            for name in arguments.sections:
                done += SECTIONS[name](bench)
                write(arguments, done)
    except BenchmarkError as error:
        raise SystemExit(f"The benchmark cannot go on. {error}") from error
    for section in done:
        section.show(console)
    if arguments.quick:
        console.print("A quick run only shows that everything works; its figures mean nothing.")


def write(arguments: argparse.Namespace, sections: Sequence[Section]) -> None:
    """Write the files that were asked for."""
    if arguments.output:
        found = {"machine": machine(), "quick": arguments.quick, "sections": [asdict(section) for section in sections]}
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(section.markdown() for section in sections))


if __name__ == "__main__":
    main()
