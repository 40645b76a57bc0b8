"""PMO, the benchmark of practical molecular optimisation: 23 tasks, a budget of calls, areas under curves of the best.

    .venv/bin/python benchmarks/pmo.py --method campaign --budget 1000 --tasks all --seeds 3 --out runs.jsonl
    .venv/bin/python benchmarks/pmo.py report runs.jsonl

Methods: `campaign` is `discover run campaigns/pmo.yaml` through the flow, no control arm; `genetic` the generator of
that name with the task itself as reward; `molga` Mol GA as released with a cap on size; `random` members of ZINC.
`--set` passes settings through: of the campaign file to `campaign`, of the method to the others. Each run is a process
with one thread and, when it is done, a line of JSON at the end of the file; a run that is there already is not
repeated, so that the same command goes on after any interruption. `report` prints runs beside the published table.

Tasks: names with commas between, `all`, or `tune` (zaleplon_mpo, perindopril_mpo: those on which settings may be
chosen). Seeds: how many, from 0, or numbers with commas between.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

from benchmarks.pmo_harness import methods, report  # noqa: E402
from benchmarks.pmo_harness.protocol import Evaluations, figures  # noqa: E402
from benchmarks.pmo_harness.runs import KEY, Run, append, key_of, read_runs  # noqa: E402
from models.pmo.tasks import TASKS  # noqa: E402

TUNE = ("zaleplon_mpo", "perindopril_mpo")


class TimeLimit(BaseException):
    """A run took too long; no `except Exception` of a method may keep it."""


def one(job: Run) -> Run:
    """Do a run in this process."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeLimit

    method, task, seed, budget = (job[name] for name in ("method", "task", "seed", "budget"))
    started, told = time.perf_counter(), {"ended": "done"}
    if method == "campaign":
        values, more = methods.campaign(task, seed, budget, job["settings"], plain=job["plain"], limit=job["limit"])
        told |= more
    else:
        evaluations = Evaluations(methods.score_of(task), budget)
        signal.signal(signal.SIGALRM, ring)
        signal.alarm(int(job["limit"]))
        try:
            told |= methods.ask(method, evaluations, seed, job["settings"])
        except TimeLimit:
            told["ended"] = "time limit"
        signal.alarm(0)
        values, told["invalid"] = evaluations.values, evaluations.invalid
    clock = os.times()
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        **{name: job[name] for name in KEY},
        **figures(values, budget),
        **told,
        "cpu_seconds": round(sum(clock[:4]), 1),
        "wall_seconds": round(time.perf_counter() - started, 1),
        "largest_process_mib": peak // 1024,
        "versions": {"python": platform.python_version(), "rdkit": version("rdkit"), "numpy": version("numpy")},
    }


def in_a_process(job: Run) -> Run:
    """Do a run in a process of one thread; the order of Python's sets, on which Mol GA depends, is its seed's."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    ran = subprocess.run(
        [sys.executable, str(Path(__file__)), "one", json.dumps(job)],
        env={**os.environ, **threads, "PYTHONHASHSEED": str(job["seed"])},
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * job["limit"] + 600,
    )
    if ran.returncode != 0:
        raise RuntimeError(f"it ended with {ran.returncode}: {ran.stderr.strip()[-2000:]}")
    run: Run = json.loads(ran.stdout.splitlines()[-1])
    return run


def run_all(jobs: list[Run], out: Path, processes: int) -> int:
    """Do the runs that are left and append each as it ends; returns the number that failed."""
    lock, failures, done = threading.Lock(), 0, 0

    def finish(job: Run) -> None:
        nonlocal failures, done
        what = f"{job['method']} {job['task']} seed {job['seed']}"
        try:
            run = in_a_process(job)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            with lock:
                failures += 1
                print(f"{what}: the run failed and is not kept; {error}", file=sys.stderr, flush=True)
            return
        with lock:
            done += 1
            append(out, run)
            ending = "" if run["ended"] == "done" else f", {run['ended']} at {run['calls']} calls"
            score = f"AUC top-10 {run['auc']['10']:.3f}, {run['cpu_seconds']:.0f} CPU-s{ending}"
            print(f"[{done + failures}/{len(jobs)}] {what}: {score}", flush=True)

    with ThreadPoolExecutor(processes) as pool:
        try:
            list(pool.map(finish, jobs))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            print(f"Stopped. {out} has the finished runs; the same command goes on.", file=sys.stderr)
            raise SystemExit(130) from None
    return failures


def chosen(text: str, parser: argparse.ArgumentParser) -> list[str]:
    """Return the tasks that a text names."""
    names = {"all": TASKS, "tune": TUNE}.get(text) or tuple(text.split(","))
    for name in names:
        if name not in TASKS:
            parser.error(f"There is no task {name!r}. Expected all, tune, or names of {', '.join(TASKS)}.")
    return list(names)


def numbers(text: str, parser: argparse.ArgumentParser) -> list[int]:
    """Return the seeds that a text names."""
    if not all(part.isdigit() for part in text.split(",")) or text == "0":
        parser.error(f"The seeds {text!r} are neither their number nor numbers with commas between.")
    return list(range(int(text))) if "," not in text else [int(part) for part in text.split(",")]


def main(arguments: list[str]) -> int:
    """Run or report."""
    if arguments[:1] == ["report"]:
        return report.main(arguments[1:])
    if arguments[:1] == ["one"]:
        print(json.dumps(one(json.loads(arguments[1]))))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=("campaign", *methods.METHODS), default="campaign")
    parser.add_argument("--budget", type=int, default=1000, help="unique molecules that may be measured")
    parser.add_argument("--tasks", default="all")
    parser.add_argument("--seeds", default="3")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting of the method")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, a process each")
    parser.add_argument("--limit", type=float, default=7200, help="seconds of a run, which is then kept as it is")
    parser.add_argument("--plain", action="store_true", help="campaigns call their stages without Prefect")
    parser.add_argument("--out", type=Path, default=Path("pmo_runs.jsonl"), help="file of finished runs")
    given = parser.parse_args(arguments)
    if given.budget < 1 or given.jobs < 1 or given.limit < 1:
        parser.error("--budget, --jobs and --limit are at least 1.")
    try:
        methods.check(given.method, given.set)
    except ValueError as error:
        parser.error(str(error))
    jobs = [
        {"method": given.method, "settings": sorted(given.set), "task": task, "seed": seed, "budget": given.budget}
        | {"plain": given.plain, "limit": given.limit}
        for seed in numbers(given.seeds, parser)
        for task in chosen(given.tasks, parser)
    ]
    finished = read_runs(given.out)
    left = [job for job in jobs if key_of(job) not in finished]
    print(f"{len(jobs)} runs, {len(jobs) - len(left)} of them in {given.out} already.", flush=True)
    return 1 if run_all(left, given.out, given.jobs) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
