"""Multi-fidelity active learning: do cheap values beside true ones find as much for less?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from data.config import derive_seed
from data.records import FloatArray
from models.buying.base import NEW, Buying, Offer
from models.proxies.autoregressive import Autoregressive
from models.registry import Component, build
from models.systems.base import Bench, Check, System
from models.threads import one_blas_thread

LEVELS = (0.5, 0.75, 1.0)
COSTS = (0.01, 0.1, 1.0)
START = (60, 10, 5)
"""Values of each level at first, nested."""
BEGUN = sum(n * cost for n, cost in zip(START, COSTS, strict=True))
"""Cost of the start at all levels."""
SIDE = 100
BEST = 50
INNER = {"kind": "gaussian_process", "features": "identity", "length_scales": "each", "min_noise": 1e-6}


class Arm(NamedTuple):
    """How an arm buys: at which level, how much in a round, until which cost, and the costs at which it is judged."""

    buying: str
    levels: int
    batch: int
    until: float
    shown: tuple[int, ...]


ARMS = {
    "one_level": Arm("information", 1, 1, 30, (15, 20, 30)),
    "information": Arm("information", 3, 4, 16, (15,)),
    "random_level": Arm("random_level", 3, 4, 16, (15,)),
    "funnel": Arm("funnel", 3, 10, 16, (15,)),
}


class MultiFidelityClaim(System["MultiFidelityClaim.Options"]):
    """What is bought, and at which level, is what says most about the best true value for its cost."""

    kind: ClassVar[str] = "multi_fidelity"
    cites: ClassVar[tuple[str, ...]] = ("hernandez2024multifidelity", "kandasamy2017multifidelity")
    title: ClassVar[str] = "Multi-fidelity active learning"
    claim: ClassVar[str] = (
        "Where a measurement can be made at several levels from cheap to true, buying objects and levels by their "
        "information on the best true value per cost finds what true values alone find at a fraction of their cost."
    )
    protocol: ClassVar[str] = (
        "Branin's function at three levels of costs 0.01, 0.1 and 1 on a grid of 100 x 100, to be minimised. Both ways "
        "begin with five true values, that of several levels with ten of the middle and sixty of the cheapest beside "
        "them, which counts; true values alone are bought one at a time by the same information. The proxy and the "
        "ways of buying are a campaign's own; all cells are candidates, so that no generator makes a difference. "
        "Measure: mean true value of the 50 cells with the best predicted mean, at best 0.530. Seeds are not those by "
        "which batches and start were chosen. Molecules, at levels of xTB, take more than a trial may: see "
        "benchmarks/ladder.py."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("buying", "information"), ("proxy", "autoregressive"))
    example: ClassVar[str] = "campaigns/process/levels.yaml"
    axes: ClassVar[tuple[str, str]] = ("Cost", "True value of the 50 believed best (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("several levels at cost 15 are at least as good as true values alone at 30", "information_15",
              "one_level_30", at_most=0.0, medians=True),
        Check("several levels at cost 15 are at least as good as true values alone at 20", "information_15",
              "one_level_20", at_most=0.0, medians=True),
        Check("at equal cost, 15, several levels are better than true values alone", "information_15", "one_level_15",
              at_most=0.0),
        Check("levels by information at cost 15", "information_15", medians=True),
        Check("levels drawn at random at cost 15", "random_level_15", medians=True),
        Check("the funnel at cost 15", "funnel_15", medians=True),
    )  # fmt: skip

    class Options(Component.Options):
        """How long the trial takes."""

        effort: float = Field(1.0, gt=0, le=1, description="share of the cost after the start: spent, and judged at")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Have each arm buy; return the mean true value of the cells it believes best at the costs that are judged."""
        figures, curves, done = dict[str, Any](), dict[str, list[list[float]]](), 0.0
        total = sum(arm.until for arm in ARMS.values())
        for name, arm in ARMS.items():

            def progress(spent: float, done: float = done, until: float = arm.until) -> None:
                bench.progress(round(done + min(spent, until)), round(total), {})

            steps = course(arm, derive_seed(seed, "Branin"), until=self._cost(arm.until), report=progress)
            reached = {cost: at_cost(steps, self._cost(cost)) for cost in arm.shown}
            figures |= {f"{name}_{cost}": one.fifty for cost, one in reached.items()}
            figures |= {f"{name}_{cost}_cell": one.cell for cost, one in reached.items()}
            figures |= {f"{name}_{cost}_measured": one.measured for cost, one in reached.items()}
            curves[name.replace("_", " ")] = [[one.spent for one in steps], [one.fifty for one in steps]]
            done += arm.until
        return figures | {"curves": curves}

    def _cost(self, cost: float) -> float:
        """Return a cost with the option's share of what lies beyond the start."""
        return BEGUN + self.options.effort * (cost - BEGUN)


@dataclass(frozen=True)
class Step:
    """Where an arm stands, to be minimised.

    Attributes:
        spent: cost so far.
        fifty: mean true value of the 50 cells with the best predicted mean.
        cell: true value of the one with the best predicted mean.
        measured: best true value that was measured.
    """

    spent: float
    fifty: float
    cell: float
    measured: float


def branin(points: FloatArray, s: float) -> FloatArray:
    """Return Branin's function at n points `(n, 2)` of [-5, 10] x [0, 15], at a level s in [0, 1]; 1 is the truth.

    `t^2 + 10 (1 - 1 / 8 pi) cos x1 + 10`, `t = x2 - (5.1 / 4 pi^2 - 0.1 (1 - s)) x1^2 + 5 x1 / pi - 6`.
    """
    x1, x2 = points.T
    t = x2 - (5.1 / (4 * np.pi**2) - 0.1 * (1 - s)) * x1**2 + 5 * x1 / np.pi - 6
    return np.asarray(t**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x1) + 10)


def grid() -> FloatArray:
    """Return the cells, shape `(10000, 2)`."""
    return np.array(list(product(np.linspace(-5, 10, SIDE), np.linspace(0, 15, SIDE))))


def course(arm: Arm, seed: int, *, until: float, report: Callable[[float], None] = lambda spent: None) -> list[Step]:
    """Return where an arm stands at first and after each round.

    Args:
        arm: how it buys.
        seed: of the start, the trainings and the purchases.
        until: cost at which it ends.
        report: called with the cost after each round.
    """
    cells = grid()
    scaled = (cells - [-5, 0]) / 15
    costs = np.array(COSTS[-arm.levels :])
    values = np.array([-branin(cells, s) for s in LEVELS[-arm.levels :]])
    order = np.random.default_rng(seed).permutation(len(cells)).tolist()
    first, fewest = order[-START[-1] :][::-1], START[-1]
    known: list[list[int]] = [[*first, *order[: n - fewest]] for n in START[-arm.levels :]]
    spent = float(sum(cost * len(own) for cost, own in zip(costs, known, strict=True)))
    buying: Buying[Any] = build("buying", {"kind": arm.buying})
    told: list[Step] = []
    with one_blas_thread():
        while True:
            proxy = Autoregressive(inner=INNER)
            proxy.fit_levels(
                [scaled[own] for own in known],  # type: ignore[misc]  # rows of numbers are objects of `identity`
                [values[level][own] for level, own in enumerate(known)],
                seed=seed,
            )
            prediction = proxy.predict(scaled)  # type: ignore[arg-type]
            best = np.argsort(-prediction.mean, kind="stable")
            truth = -values[-1]
            told.append(Step(spent, float(truth[best[:BEST]].mean()), float(truth[best[0]]),
                             float(truth[known[-1]].min())))  # fmt: skip
            report(spent)
            if spent >= until:
                return told
            scores = prediction.mean + 2 * prediction.std
            offer = _offer(proxy, scaled, known, values, scores, costs, arm.batch, seed + len(told))
            for member, own in buying.buy(offer):
                spent += float(costs[list(own)].sum())
                for level in own:
                    known[level].append(member)


def at_cost(steps: Sequence[Step], cost: float) -> Step:
    """Return where an arm stood when it had spent no more than a cost; where it began, if that was more."""
    return next((one for one in reversed(steps) if one.spent <= cost + 1e-9), steps[0])


def _offer(
    proxy: Autoregressive,
    cells: FloatArray,
    known: Sequence[Sequence[int]],
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
