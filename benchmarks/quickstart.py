"""What the quickstart costs: wall time, CPU, memory, stage by stage; and what the flow adds to the bare stages.

    .venv/bin/python benchmarks/quickstart.py [--repeats 1] [--set rounds=1] [--out quickstart.json]

Each run is `discover run campaigns/electron_acceptors.yaml` in a new workspace: once with its stages called as plain
functions (`--plain`), once through Prefect with a server of its own, alternating.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_SECONDS = 0.2


def memory_of(pid: int) -> int:
    """Return the bytes of a process and all it started; pages that they share are counted once (Linux: PSS)."""
    total = 0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            used = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        total += getattr(used, "pss", used.rss)
    return total


def one_run(plain: bool, overrides: list[str]) -> dict[str, object]:
    """Run the quickstart once in a new workspace."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "pipelines", "run", str(ROOT / "campaigns" / "electron_acceptors.yaml")]
        command += ["--plain"] * plain + [part for item in overrides for part in ("--set", item)]
        before, started = os.times(), time.perf_counter()
        process = subprocess.Popen(
            command, env={**os.environ, "DISCOVER_HOME": home}, stdout=subprocess.PIPE, text=True
        )
        peak, ended = 0, threading.Event()

        def sample() -> None:
            nonlocal peak
            while not ended.wait(SAMPLE_SECONDS):
                try:
                    peak = max(peak, memory_of(process.pid))
                except psutil.NoSuchProcess:
                    return

        sampler = threading.Thread(target=sample)
        sampler.start()
        told, _ = process.communicate()
        ended.set()
        sampler.join()
        wall, after = time.perf_counter() - started, os.times()
        if process.returncode != 0:
            raise SystemExit(f"The campaign ended with {process.returncode}:\n{told}")
        summary = json.loads((Path(home) / "campaigns" / "electron-acceptors" / "report" / "summary.json").read_text())
        return {
            "mode": "plain" if plain else "flow",
            "wall_seconds": wall,
            "cpu_seconds": after.children_user + after.children_system - before.children_user - before.children_system,
            "peak_mib": peak / 2**20,
            "stages": stage_seconds(Path(home)),
            "result": {key: summary[key] for key in ("best", "initial_best", "acquisition_mean", "control_mean")},
        }


def stage_seconds(home: Path) -> dict[str, float]:
    """Return the seconds of each stage, summed over the rounds."""
    from data.ledger.ledger import Ledger

    ledger = Ledger.at(home / "ledger.db")
    total: dict[str, float] = {}
    for stage in ledger.stages(ledger.campaign("electron-acceptors").id):
        total[stage.name] = total.get(stage.name, 0.0) + stage.seconds
    ledger.close()
    return total


def main() -> None:
    """Run, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="override of the campaign, as for `discover run`")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    arguments = parser.parse_args()
    runs = []
    for _ in range(arguments.repeats):
        for plain in (True, False):
            runs.append(one_run(plain, arguments.set))
            print(f"{runs[-1]['mode']:<6} {runs[-1]['wall_seconds']:6.1f} s", file=sys.stderr)
    print(f"{'':<28}{'plain':>10}{'flow':>10}")
    for name in ("wall_seconds", "cpu_seconds", "peak_mib"):
        print(f"{name:<28}" + "".join(f"{median(runs, mode, name):>10.1f}" for mode in ("plain", "flow")))
    for stage in runs[0]["stages"]:
        cells = [median([r["stages"] | {"mode": r["mode"]} for r in runs], mode, stage) for mode in ("plain", "flow")]
        print(f"  {stage:<26}" + "".join(f"{cell:>10.1f}" for cell in cells))
    plain, flow = (median(runs, mode, "wall_seconds") for mode in ("plain", "flow"))
    print(f"the flow adds {flow - plain:.1f} s; allowed are 10 % + 15 s = {0.1 * plain + 15:.1f} s")
    print("result: " + ", ".join(f"{key} {value:.3f}" for key, value in runs[-1]["result"].items()))
    if arguments.out:
        machine = {"platform": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}
        arguments.out.write_text(json.dumps({"machine": machine, "runs": runs}, indent=1) + "\n")


def median(runs: list[dict], mode: str, name: str) -> float:
    """Return the median of a figure over the runs of a mode."""
    return statistics.median(run[name] for run in runs if run["mode"] == mode)


if __name__ == "__main__":
    main()
