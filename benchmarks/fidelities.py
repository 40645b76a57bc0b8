"""What cheap measurements beside true ones are worth: Branin at three levels, Forrester at two.

    .venv/bin/python benchmarks/fidelities.py [--seeds 5] [--first-seed 0] [--markdown benchmarks/results/fidelities.md]

Branin over its true domain, x1 in [-5, 10] and x2 in [0, 15], to be minimised over a grid of 100 x 100 cells. A level s
has the factor 5.1 / (4 pi^2) - 0.1 (1 - s) before x1^2; s = 0.5, 0.75 and 1 cost 0.01, 0.1 and 1. Each arm begins with
five true values (those of several levels with ten of the middle and sixty of the cheapest as well, which counts) and
buys by the campaign's own parts: the proxy `autoregressive`, and a way of buying. Of each arm the median over seeds of

* the mean true value of the 50 cells with the best predicted mean (the figure of Hernandez-Garcia et al., arXiv
  2306.11715; perfect is 0.530),
* the true value of the cell with the best predicted mean (perfect is 0.403), and
* the best true value that was measured

at costs of 8 to 30. `one level` buys true values only, by the same information, one at a time. A second table runs
Forrester's two levels over [0, 1] and Branin's three through the campaign's own stages, as `discover run` does: the
funnel, and true values alone.

Branin's levels: Kandasamy et al., Multi-fidelity Bayesian optimisation with continuous approximations, ICML (2017).
Forrester et al., Proc. R. Soc. A 463, 3251 (2007).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

from benchmarks.peers.reporting import Section  # noqa: E402
from data.records import FloatArray  # noqa: E402
from models.buying.base import NEW, Buying, Offer  # noqa: E402
from models.proxies.autoregressive import Autoregressive  # noqa: E402
from models.registry import build  # noqa: E402
from models.threads import one_blas_thread  # noqa: E402

LEVELS = (0.5, 0.75, 1.0)
COSTS = np.array([0.01, 0.1, 1.0])
START = (60, 10, 5)
"""Values of each level at first, nested."""
SHOWN = (8, 10, 12, 15, 20, 25, 30)
BEST = 50
SIDE = 100
ARMS: dict[str, tuple[str, int, int]] = {
    "one level": ("information", 1, 30),
    "information": ("information", 4, 16),
    "funnel": ("funnel", 10, 20),
    "level at random": ("random_level", 4, 20),
}
"""Arm -> way of buying, batch, cost at which it ends."""
INNER = {"kind": "gaussian_process", "features": "identity", "length_scales": "each", "min_noise": 1e-6}


def branin(points: FloatArray, s: float) -> FloatArray:
    """Return Branin's function at n points `(n, 2)` of the true domain, at a level s in [0, 1]; 1 is the truth."""
    x1, x2 = points.T
    t = x2 - (5.1 / (4 * np.pi**2) - 0.1 * (1 - s)) * x1**2 + 5 * x1 / np.pi - 6
    return np.asarray(t**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x1) + 10)


def grid() -> FloatArray:
    """Return the cells, shape `(10000, 2)`."""
    return np.array(list(product(np.linspace(-5, 10, SIDE), np.linspace(0, 15, SIDE))))


def course(work: tuple[str, int]) -> dict[str, Any]:
    """Return one arm's course with one seed: cost, mean true value of the best cells, true value of the best one."""
    arm, seed = work
    kind, batch, until = ARMS[arm]
    with one_blas_thread():
        return {"arm": arm, "seed": seed, "course": _course(arm, kind, batch, until, seed)}


def _course(arm: str, kind: str, batch: int, until: float, seed: int) -> list[tuple[float, ...]]:
    cells = grid()
    scaled = (cells - [-5, 0]) / 15
    levels = LEVELS[-1:] if arm == "one level" else LEVELS
    costs, start = COSTS[-len(levels) :], START[-len(levels) :]
    truth = -branin(cells, 1.0)
    values = np.array([-branin(cells, s) for s in levels])
    order = np.random.default_rng(seed).permutation(len(cells))
    known = [list(map(int, order[-5:][::-1]))] if len(levels) == 1 else []
    known = known or [[*map(int, order[-5:][::-1]), *map(int, order[: n - 5])] for n in start]
    spent = float(sum(cost * len(own) for cost, own in zip(costs, known, strict=True)))
    told = []
    buying: Buying[Any] = build("buying", {"kind": kind})
    round = 0
    while True:
        proxy = Autoregressive(inner=INNER)
        proxy.fit_levels(
            [scaled[own] for own in known],  # type: ignore[misc]  # rows of numbers are objects of `identity`
            [values[level][own] for level, own in enumerate(known)],
            seed=seed,
        )
        prediction = proxy.predict(scaled)  # type: ignore[arg-type]
        best = np.argsort(-prediction.mean, kind="stable")
        measured = -values[-1][known[-1]].max()
        told.append((spent, float(-truth[best[:BEST]].mean()), float(-truth[best[0]]), float(measured)))
        if spent >= until:
            return told
        round += 1
        offer = _offer(proxy, scaled, known, values, prediction.mean + 2 * prediction.std, costs, batch, seed + round)
        for member, own in buying.buy(offer):
            spent += float(costs[list(own)].sum())
            for level in own:
                known[level].append(member)


def _offer(
    proxy: Autoregressive,
    cells: FloatArray,
    known: list[list[int]],
    values: FloatArray,
    scores: FloatArray,
    costs: FloatArray,
    n: int,
    seed: int,
) -> Offer:
    reached = np.full(len(cells), NEW)
    for level, own in enumerate(known):
        reached[own] = level
    scores = np.where(reached == len(costs) - 1, -np.inf, scores)
    new = np.where(reached == NEW, scores, -np.inf)
    return Offer(
        chosen=tuple(map(int, np.argsort(-new, kind="stable")[:n])),
        scores=scores,
        reached=reached,
        low=np.array([values[level, at] if level >= 0 else np.nan for at, level in enumerate(reached)]),
        answered=np.array([len(own) for own in known]),
        asked=np.array([len(own) for own in known]),
        costs=costs,
        n=n,
        best=float(values[-1][known[-1]].max()),
        joint=lambda members: proxy.joint_levels(cells[list(members)]),  # type: ignore[arg-type]
        noise=proxy.level_noise(),
        seed=seed,
    )


def at_cost(course: Sequence[tuple[float, ...]], cost: float, figure: int) -> float | None:
    """Return a figure of a course when no more than a cost was spent; None where it began with more or ended before."""
    if course[-1][0] < cost:
        return None
    reached = [row for row in course if row[0] <= cost + 1e-9]
    return reached[-1][figure] if reached else None


FIGURES = {
    "Mean true value of the 50 cells with the best predicted mean (perfect 0.530)": 1,
    "True value of the cell with the best predicted mean (perfect 0.403)": 2,
    "Best true value that was measured (perfect 0.403)": 3,
}


def sections(made: Sequence[dict[str, Any]], arms: Sequence[str]) -> list[Section]:
    """Return a table of medians for each figure, with the seeds' own values behind them at a cost of 15 and 30."""
    found = []
    for title, figure in FIGURES.items():
        rows = []
        for arm in arms:
            courses = [one["course"] for one in made if one["arm"] == arm]
            cells = []
            for cost in SHOWN:
                values = [v for one in courses if (v := at_cost(one, cost, figure)) is not None]
                own = f" ({', '.join(f'{v:.3f}' for v in values)})" if cost in (15, 30) else ""
                cells.append(f"{np.median(values):.3f}{own}" if len(values) == len(courses) else "-")
            rows.append([arm, *cells])
        columns = ["arm", *(f"cost {cost}" for cost in SHOWN)]
        found.append(Section("branin", title, columns, rows, f"Medians of {len(courses)} seeds; theirs in brackets."))
    return found


FUNCTIONS = """
import math


def true(point):
    x = point["x"]
    return (6 * x - 2) ** 2 * math.sin(12 * x - 4)


def high(points):
    return [true(point) for point in points]


def low(points):
    return [0.5 * true(point) + 10 * (point["x"] - 0.5) - 5 for point in points]


def branin(point, s):
    x1, x2 = point["x1"], point["x2"]
    t = x2 - (5.1 / (4 * math.pi**2) - 0.1 * (1 - s)) * x1**2 + 5 * x1 / math.pi - 6
    return t**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x1) + 10


def branin_50(points):
    return [branin(point, 0.5) for point in points]


def branin_75(points):
    return [branin(point, 0.75) for point in points]


def branin_100(points):
    return [branin(point, 1.0) for point in points]
"""


def _oracles(*levels: tuple[str, float]) -> list[dict[str, Any]]:
    return [{"kind": "python", "function": f"levels:{name}", "cost": cost, "chunk": 16} for name, cost in levels]


FLOWS: dict[str, dict[str, Any]] = {
    "Forrester": {
        "variables": {"x": [0, 1]},
        "oracle": _oracles(("low", 0.05), ("high", 1.0)),
        "initial": 30,
        "promote": 0.2,
        "batch": 5,
        "rounds": 6,
        "single": 10,
    },
    "Branin": {
        "variables": {"x1": [-5, 10], "x2": [0, 15]},
        "oracle": _oracles(("branin_50", 0.01), ("branin_75", 0.1), ("branin_100", 1.0)),
        "initial": 60,
        "promote": 0.3,
        "batch": 20,
        "rounds": 7,
        "single": 24,
    },
}
"""Functions that are run through the campaign's flow; `single`: rounds of one true value each, after six at first."""

GOALS = {"Forrester": -5.96, "Branin": 0.9}
"""A value near the smallest, -6.0207 and 0.3979."""


def flow(work: tuple[str, str, int]) -> list[tuple[float, float]]:
    """Return cost and best true value after each round of a campaign (`discover run` without Prefect and MLflow)."""
    name, kind, seed = work
    given = FLOWS[name]
    single = kind == "one_level"
    config = {
        "name": f"{name.lower()}-{kind.replace('_', '-')}",
        "seed": seed,
        "space": {"kind": "vectors", "variables": given["variables"]},
        "objectives": [{"name": "value", "goal": "minimise", "oracle": given["oracle"]}],
        "data": {"kind": "random", "initial": 6 if single else given["initial"]},
        "proxy": {"kind": "gaussian_process"} if single else {"kind": "autoregressive"},
        "acquisition": {"kind": "expected_improvement"},
        "generator": {"kind": "random", "proposals": 1000},
        "control": {"kind": "random", "fraction": 0},
        "buying": {"kind": kind, **({} if single else {"promote": given["promote"]})},
        "batch_size": 1 if single else given["batch"],
        "rounds": given["single" if single else "rounds"],
        "budget": {"cost": 30.0},
    }
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "levels.py").write_text(FUNCTIONS)
        (home / "campaign.yaml").write_text(yaml.safe_dump(config))
        os.environ |= {"DISCOVER_HOME": str(home / "home"), "DISCOVER_WORKERS": "1"}
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{home / 'mlflow.db'}"
        from pipelines.campaign import run_campaign
        from tasks.reporting import report

        report.round_figures = lambda *_: {}  # type: ignore[assignment]  # pictures are not looked at here
        campaign = run_campaign(home / "campaign.yaml").campaign
        return _progress(home, campaign.id)


def _progress(home: Path, campaign_id: int) -> list[tuple[float, float]]:
    from data.ledger.summary import by_round
    from tasks.workspace import Workspace

    ledger = Workspace(home / "home").ledger()
    rounds = by_round(ledger.candidates(campaign_id))
    bought = ledger.bought(campaign_id)
    ledger.close()
    told, best = [], np.inf
    for round in sorted(rounds):
        best = min([best, *(row.value for row in rounds[round] if row.value is not None)])
        told.append((sum(row["cost"] for row in bought if row["round"] <= round), float(best)))
    return told


def flow_section(made: Sequence[tuple[tuple[str, str, int], list[tuple[float, float]]]]) -> Section:
    """Return a row for each campaign: what it found at what cost, and what it cost to come near the best."""
    rows = []
    for (name, kind, seed), told in made:
        cells = [*told[0], *told[-1]]
        reached = next((f"{cost:.4g}" for cost, best in told if best <= GOALS[name]), "-")
        rows.append([name, str(seed), kind, *(f"{cell:.4g}" for cell in cells), f"{GOALS[name]:g}", reached])
    columns = "function", "seed", "buying", "cost of round 0", "its best", "cost", "best", "goal", "cost of the goal"
    note = "The cost of the goal is that of all rounds to the end of the one that reached it."
    return Section("flow", "Through the campaign's stages, best true value (to be minimised)", columns, rows, note)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--flow-seeds", type=int, default=3, help="campaigns of each function and way of buying")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--arms", nargs="*", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--markdown", type=Path, help="file for the tables in Markdown")
    given = parser.parse_args(arguments)
    flows = [(name, kind, s) for name in FLOWS for s in range(given.flow_seeds) for kind in ("one_level", "funnel")]
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        work = [(arm, seed) for seed in range(given.first_seed, given.first_seed + given.seeds) for arm in given.arms]
        made = list(track(pool.map(course, work), total=len(work), console=Console(stderr=True)))
        ran = list(track(pool.map(flow, flows), total=len(flows), console=Console(stderr=True)))
    found = sections(made, given.arms) if made else []
    found += [flow_section(list(zip(flows, ran, strict=True)))] if ran else []
    for section in found:
        section.show(Console(width=200))
    if given.markdown:
        given.markdown.write_text("\n".join(section.markdown() for section in found))


if __name__ == "__main__":
    main()
