"""Find the best of a library of 50,000 while measuring 3,000: what a campaign finds of them, and what it costs.

    .venv/bin/python benchmarks/retrieval.py [--rows 50000] [--task fexofenadine_mpo] [--seeds 1] [--set KEY=VALUE]

The library is a random part of ZINC-250k in a file; the measurement is a task of PMO, so that the best hundredth is
known. One per cent is measured at random, then five rounds of one per cent each, chosen by the default proxy,
acquisition and selector from the 2,000 best scores of all rows: `discover run --plain` in a new workspace. CPU-seconds
are of all its processes, the 3,000 measurements (a millisecond each) included.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

from benchmarks.pmo_harness import methods  # noqa: E402
from data.chemistry.files.readers import zinc250k_rows  # noqa: E402
from models.spaces.molecules import Molecules  # noqa: E402

ROUNDS = 5


def library(rows: int, seed: int) -> list[str]:
    """Return random members of ZINC inside the space."""
    space, members = Molecules(max_heavy_atoms=50, min_heavy_atoms=4), dict[str, None]()
    texts = [row.text for row in zinc250k_rows()]
    random.Random(seed).shuffle(texts)
    for text in texts:
        if len(members) == rows:
            return list(members)
        try:
            members[space.admit(text)] = None
        except ValueError:  # an ion, or outside
            continue
    raise SystemExit(f"ZINC-250k has {len(members)} molecules inside the space; asked for {rows}.")


def campaign(file: Path, task: str, seed: int, rows: int) -> dict[str, object]:
    """Return the campaign of a library."""
    batch = rows // 100
    return {
        "name": "retrieval",
        "seed": seed,
        "space": {"kind": "molecules", "max_heavy_atoms": 50, "min_heavy_atoms": 4},
        "objectives": [{"name": task, "goal": "maximise", "oracle": {"kind": "pmo", "task": task}}],
        "data": {"kind": "smiles", "path": str(file), "initial": batch},
        "generator": {"kind": "pool", "path": str(file), "draw": "best", "proposals": 4 * batch},
        "control": {"kind": "pool", "path": str(file), "draw": "uniform", "fraction": 0.0},
        "rounds": ROUNDS,
        "batch_size": batch,
        "budget": {"calls": (1 + ROUNDS) * batch},
    }


def main() -> None:
    """Print a line per seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--task", default="fexofenadine_mpo")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting of the campaign")
    given = parser.parse_args()
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    os.environ.update(threads)
    for seed in range(given.seeds):
        molecules, score = library(given.rows, seed), methods.score_of(given.task)
        values = np.array([score(smiles) for smiles in molecules])
        best = {molecules[i] for i in np.argsort(-values, kind="stable")[: given.rows // 100]}
        with tempfile.TemporaryDirectory() as folder:
            file, home = Path(folder, "library.smi"), Path(folder, "home")
            file.write_text("\n".join(molecules) + "\n", encoding="utf-8")
            config = Path(folder, "campaign.yaml")
            config.write_text(yaml.safe_dump(campaign(file, given.task, seed, given.rows)), encoding="utf-8")
            settings = [part for setting in given.set for part in ("--set", setting)]
            command = [sys.executable, "-m", "pipelines", "run", str(config), "--plain", *settings]
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            ended = methods.run_command(command, methods.environment(str(home)), limit=7200)
            wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
            bought, _ = methods.bought_of(home, "retrieval")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(
            f"seed {seed}: {len(best & bought.keys()) / len(best):.1%} of the best {len(best)} of {given.rows} found "
            f"with {len(bought)} calls, {cpu:.0f} CPU-s, {wall:.0f} s, {after.ru_maxrss // 1024} MiB, ended: {ended}",
            flush=True,
        )


if __name__ == "__main__":
    main()
