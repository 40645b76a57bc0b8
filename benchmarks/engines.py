"""What an engine costs and brings: `python benchmarks/engines.py` prints a table, local, Dask and Ray side by side.

For each: the time to start two workers, the time that a unit of one call takes beside the call itself, the speed-up of
an oracle that takes 2 seconds from one worker to two, and time and memory of 10,000 calls that wait. Each engine is
measured in a process of its own; each line goes to `--out` as JSON.

Options: `--only dask`, `--calls 10000`, `--seconds 2`, `--out benchmarks/results/engines.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from data.config import digest, parse_config
from data.engine_config import EngineConfig
from data.records import Measurement
from models.parts import oracle_spec, parts_of_oracle, space_of, written_oracle
from tasks.engines.opening import close_engines, opened
from tasks.engines.remote import Asked, RemoteCalls
from tasks.oracles.pool import OraclePool

KINDS = ("local", "dask", "ray")
ORACLE = """
import time
def at_once(molecules):
    return [float(len(smiles)) for smiles in molecules]
def slowly(molecules):
    time.sleep({seconds} * len(molecules))
    return at_once(molecules)
"""
OVERHEAD_CALLS = 100
SLOW_CALLS = 8


class Engine:
    """One engine with so many workers that asks a function of a folder."""

    def __init__(self, kind: str, workers: int, folder: Path) -> None:
        self.kind, self.workers, self.folder = kind, workers, folder

    def ask(self, function: str, calls: int, *, batch: int | None = None) -> dict[str, float]:
        """Make calls; return the seconds of starting and of asking, and the values' digest."""
        oracle = {"kind": "python", "function": f"timed_oracle:{function}", "timeout": 600}
        config = parse_config({"name": "timed", "objectives": [{"name": "a", "oracle": oracle}]})
        jobs = [(f"key-{n}", "C" * (n % 60 + 1)) for n in range(calls)]
        answers: dict[str, Measurement] = {}
        began = time.perf_counter()
        with self._calls(config, batch) as asking:
            started = time.perf_counter()
            asking.run(jobs, lambda keys: None, answers.__setitem__)
            ended = time.perf_counter()
        assert len(answers) == calls
        values = [[key, answers[key].value] for key, _ in jobs]
        return {"start": started - began, "seconds": ended - started, "values": digest(values)}

    def _calls(self, config: Any, batch: int | None) -> Any:
        space = space_of(config)
        if self.kind == "local":
            spec = oracle_spec(config, self.folder)
            return OraclePool(spec, space, workers=self.workers, search_path=[self.folder])
        fleet = opened(EngineConfig(kind=self.kind, workers=self.workers), self.folder)
        identity = digest(parts_of_oracle(config, self.folder))
        asked = Asked(
            written_oracle(config), space, self.folder, config.name, identity, 1, once=False, lasting=identity
        )
        return RemoteCalls(fleet, asked, lambda keys: None, batch=batch)


def peak_memory(action: Callable[[], dict[str, float]]) -> tuple[dict[str, float], float]:
    """Return what an action returns, and by how many MiB the memory of this process rose at most meanwhile."""
    process, peak, over = psutil.Process(), 0, threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, process.memory_info().rss - before)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        found = action()
    finally:
        over.set()
        watching.join()
    return found, peak / 2**20


def measured(kind: str, calls: int, seconds: float) -> dict[str, Any]:
    """Return the figures of one engine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "timed_oracle.py").write_text(ORACLE.format(seconds=seconds))
        two = Engine(kind, 2, folder)
        first = two.ask("at_once", 4, batch=1)
        single = two.ask("at_once", OVERHEAD_CALLS, batch=1)
        both = two.ask("slowly", SLOW_CALLS)
        many, memory = peak_memory(lambda: two.ask("at_once", calls))
        close_engines()
        one = Engine(kind, 1, folder)
        one.ask("at_once", 2, batch=1)
        alone = one.ask("slowly", SLOW_CALLS)
        close_engines()
    return {
        "engine": kind,
        "start_s": round(first["start"], 2),
        "first_answers_s": round(first["seconds"], 2),
        "unit_ms": round(1e3 * single["seconds"] / OVERHEAD_CALLS, 1),
        "slow_one_s": round(alone["seconds"], 2),
        "slow_two_s": round(both["seconds"], 2),
        "speed_up": round(alone["seconds"] / both["seconds"], 2),
        "queued_calls": calls,
        "queued_s": round(many["seconds"], 1),
        "queued_mib": round(memory, 1),
        "values": many["values"][:12],
        "load": round(psutil.getloadavg()[0], 1),
    }


def main() -> None:
    """Measure each engine in a process of its own and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measured(options.only, options.calls, options.seconds)))
        return
    rows = []
    for kind in KINDS:
        command = [sys.executable, __file__, "--only", kind, "--calls", str(options.calls)]
        ran = subprocess.run([*command, "--seconds", str(options.seconds)], stdout=subprocess.PIPE, text=True)
        if ran.returncode == 0:
            rows.append(json.loads(ran.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
    if options.out:
        options.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for figure in rows[0]:
        print(f"{figure:>18}", *(f"{row[figure]!s:>14}" for row in rows))


if __name__ == "__main__":
    main()
