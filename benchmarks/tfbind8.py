"""DNA that binds SIX6, 8 rounds of 128: `python benchmarks/tfbind8.py TABLE` compares four ways of buying.

TABLE is the file of `discover data tfbind8 --out TABLE`. All begin with the same 1,000 weak binders and buy 1,024:

* `gflownet`: `campaigns/tfbind8.yaml` as it is;
* `genetic`: the same campaign, proposals by the genetic search on the same surrogate;
* `genetic alone`: mutants and crossings of the best 200 that are measured, bought as they come, no surrogate;
* `random`.

Told are the mean of the best 128 bought, the best, novelty (mean distance in letters to the nearest one known at the
start), diversity (mean distance within the 128), and CPU seconds of the campaign. `--seeds 3`,
`--first 0`, `--rounds 8`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
CAMPAIGN = ROOT / "campaigns" / "tfbind8.yaml"
BATCH, BEST, PARENTS = 128, 128, 200


def campaign(table: Path, seed: int, rounds: int, *settings: str) -> tuple[list[str], set[str], float]:
    """Run the campaign in a workspace of its own; return what it bought, what it knew at first, and CPU seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(CAMPAIGN, folder)
        shutil.copy(table, folder / "tfbind8.csv")
        home = {"DISCOVER_HOME": str(folder / "home"), "DISCOVER_WORKERS": "1"}
        discover = [str(Path(sys.executable).with_name("discover"))]
        chosen = [item for setting in (f"seed={seed}", f"rounds={rounds}", *settings) for item in ("--set", setting)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = [*discover, "run", str(folder / "tfbind8.yaml"), "--plain", *chosen]
        subprocess.run(run, env=os.environ | home, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        told = subprocess.run(
            [*discover, "candidates", "tfbind8", "--format", "json", "--top", "100000"],
            env=os.environ | home,
            check=True,
            capture_output=True,
            text=True,
        )
        rows = json.loads(told.stdout)
    bought = [row["sequence"] for row in rows if row["round"] > 0]
    return bought, {row["sequence"] for row in rows if row["round"] == 0}, cpu(after) - cpu(before)


def cpu(usage: resource.struct_rusage) -> float:
    """Return user and system seconds."""
    return usage.ru_utime + usage.ru_stime


def genetic_alone(values: Mapping[str, float], known: set[str], n: int, rng: np.random.Generator) -> list[str]:
    """Return what n calls buy by evolution of what is measured."""
    measured = dict.fromkeys(known, 0.0) | {text: values[text] for text in known}
    bought: list[str] = []
    while len(bought) < n:
        parents = sorted(measured, key=lambda text: -measured[text])[:PARENTS]
        batch: dict[str, None] = {}
        while len(batch) < min(BATCH, n - len(bought)):
            first, second = rng.choice(parents, 2)
            begin, end = sorted(rng.integers(0, 9, 2))
            child = first[:begin] + second[begin:end] + first[end:]
            if rng.random() < 0.5:
                place = int(rng.integers(8))
                child = child[:place] + "ACGT"[int(rng.integers(4))] + child[place + 1 :]
            if child not in measured:
                batch[child] = None
        measured |= {text: values[text] for text in batch}
        bought += batch
    return bought


def figures(bought: Sequence[str], known: set[str], values: Mapping[str, float]) -> list[float]:
    """Return mean and maximum of the best, novelty and diversity."""
    best = sorted(bought, key=lambda text: -values[text])[:BEST]
    letters, start = (np.array([list(text) for text in texts]) for texts in (best, sorted(known)))
    novelty = np.mean([(start != row).sum(1).min() for row in letters])
    apart = (letters[:, None] != letters[None]).sum(2)
    pairs = apart[np.triu_indices(len(best), 1)]
    return [float(np.mean([values[text] for text in best])), values[best[0]], float(novelty), float(pairs.mean())]


def tell(seed: int, name: str, values: Sequence[float], seconds: float = 0.0) -> None:
    """Print a row."""
    print(f"| {name} | {seed} | {' | '.join(f'{value:.3f}' for value in values)} | {seconds:.0f} |", flush=True)


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first seed, so that processes may share the seeds")
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    with options.table.open(encoding="utf-8") as file:
        values = {row["sequence"]: float(row["value"]) for row in csv.DictReader(file)}
    genetic = "generator={kind: genetic, proposals: 3000}"
    print("| | seed | best 128, mean | best | novelty | diversity | CPU s |\n|---|---|---|---|---|---|---|", flush=True)
    for seed in range(options.first, options.first + options.seeds):
        bought, known, seconds = campaign(options.table, seed, options.rounds)
        rng = np.random.default_rng(seed)
        others = sorted(values.keys() - known)

        tell(seed, "gflownet", figures(bought, known, values), seconds)
        tell(seed, "genetic alone", figures(genetic_alone(values, known, len(bought), rng), known, values))
        drawn = [others[i] for i in rng.permutation(len(others))[: len(bought)]]
        tell(seed, "random", figures(drawn, known, values))
        bought, _, seconds = campaign(options.table, seed, options.rounds, genetic)
        tell(seed, "genetic", figures(bought, known, values), seconds)


if __name__ == "__main__":
    main()
