"""What a Gaussian process should count when it guides a search: features side by side, on what a search meets.

    .venv/bin/python benchmarks/features.py [--seeds 2]

It is trained on the first 500 molecules that a genetic search with the task itself as reward measures, and asked about
the next 250: better ones, which is what a surrogate of a search is asked about. The tasks are those of PMO on which
settings may be chosen; of the shipped electron affinities 500 and 250 are drawn at random. Told are the rank
correlation, the mean negative log density in standard deviations of the 250, and the CPU-seconds of fit and prediction.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

import models.featurisers.cache  # noqa: E402
from benchmarks.pmo_harness import methods  # noqa: E402
from benchmarks.pmo_harness.protocol import BudgetSpentError, Evaluations  # noqa: E402
from data.records import FloatArray  # noqa: E402
from data.tables.shipped import labelled_library  # noqa: E402
from models.featurisers.cache import FeatureCache  # noqa: E402
from models.proxies.evaluation import metrics  # noqa: E402
from models.registry import build  # noqa: E402

TRAIN, TEST = 500, 250
KINDS = (
    "both",
    "morgan_counts",
    "composition_and_counts",
    "fingerprints",
    "descriptors_and_fingerprints",
)


def met_by_a_search(task: str, seed: int) -> tuple[list[str], FloatArray]:
    """Return the first molecules that a genetic search on a task measures, in order, and their scores."""
    evaluations = Evaluations(methods.score_of(task), TRAIN + TEST)
    with suppress(BudgetSpentError):
        methods.ask("genetic", evaluations, seed, [])
    return list(evaluations.values), np.array(list(evaluations.values.values()))


def drawn(seed: int) -> tuple[list[str], FloatArray]:
    """Return molecules of the shipped table in random order and their electron affinities."""
    frame = labelled_library()
    rows = np.random.default_rng(seed).permutation(len(frame))[: TRAIN + TEST]
    return frame["smiles"].to_numpy()[rows].tolist(), frame["value"].to_numpy(dtype=np.float64)[rows]


def judged(kind: str, objects: list[str], values: FloatArray) -> dict[str, float]:
    """Return the figures of a Gaussian process with some features."""
    models.featurisers.cache._shared = FeatureCache()  # each pays for its own
    began = time.process_time()
    proxy: Any = build("proxy", {"kind": "gaussian_process", "features": {"kind": kind}})
    proxy.fit(objects[:TRAIN], values[:TRAIN], seed=0)
    prediction = proxy.predict(objects[TRAIN:])
    seconds, test = time.process_time() - began, values[TRAIN:]
    density = metrics(prediction, test)["nll"] - float(np.log(test.std()))
    return {"rank": float(spearmanr(prediction.mean, test).statistic), "nll": density, "seconds": seconds}


def main() -> None:
    """Print a table in Markdown, means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    seeds = range(parser.parse_args().seeds)
    sets = {
        "zaleplon": [met_by_a_search("zaleplon_mpo", seed) for seed in seeds],
        "perindopril": [met_by_a_search("perindopril_mpo", seed) for seed in seeds],
        "electron affinities": [drawn(seed) for seed in seeds],
    }
    print(f"| features | {' | '.join(sets)} |\n|---|{'---|' * len(sets)}")
    for kind in KINDS:
        cells = []
        for draws in sets.values():
            told = [judged(kind, objects, values) for objects, values in draws]
            rank, nll, seconds = (float(np.mean([row[name] for row in told])) for name in ("rank", "nll", "seconds"))
            cells.append(f"{rank:.3f}, {nll:.2f}, {seconds:.1f} s")
        print(f"| `{kind}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
