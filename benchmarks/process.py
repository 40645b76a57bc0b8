"""Experiments until the best process conditions: `python benchmarks/process.py [--seeds 5] [--first 0] [--calls 60]`.

The campaign is campaigns/process, whose simulated yield has a known optimum. Counted are the calls until a yield of
95 % of it, by seed: the campaign as it is shipped (its control arm counted), random draws, and a plain Gaussian process
(scikit-learn, Matern 5/2 with a length-scale each, one call at a time, the largest expected improvement among 10,000
random vectors) that begins with the campaign's own Sobol start.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import yaml
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

from data.config import derive_seed  # noqa: E402
from data.records import FloatArray  # noqa: E402
from models.registry import build  # noqa: E402
from models.spaces.base import BaseSpace  # noqa: E402
from models.threads import one_blas_thread  # noqa: E402

FOLDER = ROOT / "campaigns" / "process"
OPTIMUM = 88.22
SHARE = 0.95
POOL = 10_000

Measure = Callable[[Sequence[str]], list[float]]


def calls_to(values: Sequence[float]) -> int | None:
    """Return after how many calls the share of the optimum was reached; None: it was not."""
    reached = np.flatnonzero(np.asarray(values) >= SHARE * OPTIMUM)
    return int(reached[0]) + 1 if len(reached) else None


def campaign(seed: int, calls: int) -> list[float]:
    """Return the values of the shipped campaign in the order in which they were bought; it runs in this process."""
    from pipelines.running import run_in_terminal
    from pipelines.terminal import Terminal
    from tasks.workspace import Workspace

    folder = Path(tempfile.mkdtemp())
    shutil.copytree(FOLDER, folder / "process", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("DISCOVER_LEDGER", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    os.environ |= {"DISCOVER_HOME": str(folder / "home"), "DISCOVER_WORKERS": "1"}
    told = (f"seed={seed}", f"budget.calls={calls}")
    with patch("tasks.reporting.report.round_figures", lambda *_: {}), patch("sys.stdout", StringIO()):
        run_in_terminal(
            folder / "process" / "campaign.yaml", told, fresh=False, retry_failed=False, plain=True, console=Terminal()
        )
    ledger = Workspace(folder / "home").ledger()
    rows = ledger.candidates(ledger.campaign("process").id)
    ledger.close()
    shutil.rmtree(folder)
    return [row.value for row in rows if row.value is not None]


def random(space: BaseSpace, measure: Measure, seed: int, calls: int) -> list[float]:
    """Return the values of random vectors."""
    return measure(space.random(calls, derive_seed(seed, "process", "random")) or [])


def plain(space: BaseSpace, measure: Measure, seed: int, calls: int, initial: int) -> list[float]:
    """Return the values of a Gaussian process with expected improvement, one call at a time."""
    features = space.nearness.features
    # As the campaign's source draws it, of which the first are measured.
    known = list(space.design(256, derive_seed(seed, "source")) or [])[:initial]
    values = measure(known)
    while len(values) < calls and calls_to(values) is None:
        x, y = features(known).dense, np.asarray(values)
        kernel = ConstantKernel(1.0) * Matern(np.ones(x.shape[1]), (0.05, 100.0), nu=2.5) + WhiteKernel(1e-4, (1e-8, 1))
        model = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=2, random_state=seed)
        pool = [one for one in space.random(POOL, derive_seed(seed, "pool", len(known))) or [] if one not in known]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y)
        mean, std = model.predict(features(pool).dense, return_std=True)
        best = pool[int(np.argmax(expected_improvement(mean, std, y.max())))]
        known.append(best)
        values += measure([best])
    return values


def expected_improvement(mean: FloatArray, std: FloatArray, best: float) -> FloatArray:
    """Return how much better than the best value is expected, shape `(n,)`."""
    gain = (mean - best) / np.maximum(std, 1e-12)
    return np.asarray(std * (gain * norm.cdf(gain) + norm.pdf(gain)))


def simulated() -> ModuleType:
    """Return the module of the simulated yield."""
    spec = importlib.util.spec_from_file_location("simulated_yield", FOLDER / "simulated_yield.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Run all and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--calls", type=int, default=60)
    options = parser.parse_args()
    config = yaml.safe_load((FOLDER / "campaign.yaml").read_text())
    space: BaseSpace = build("space", config["space"])
    measure, calls, seeds = simulated().measure, options.calls, range(options.first, options.first + options.seeds)
    with one_blas_thread():
        found = {
            "plain Gaussian process": [plain(space, measure, seed, calls, config["data"]["initial"]) for seed in seeds],
            "random": [random(space, measure, seed, calls) for seed in seeds],
            "campaign": [campaign(seed, calls) for seed in seeds],
        }
    print(f"Calls to {SHARE:.0%} of {OPTIMUM} % yield\n\n| | {' | '.join(f'seed {seed}' for seed in seeds)} | median |")
    print("|---" * (len(seeds) + 2) + "|")
    for name, courses in found.items():
        reached = [calls_to(values) for values in courses]
        middle = float(np.median([np.inf if one is None else one for one in reached]))
        told = ["-" if one is None else str(one) for one in reached]
        print(f"| {name} | {' | '.join(told)} | {middle:g} |".replace("inf", f"> {calls}"))


if __name__ == "__main__":
    main()
