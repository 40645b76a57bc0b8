"""One policy for all trade-offs, against exact laws.

    .venv/bin/python benchmarks/preferences.py [--seeds 1] [--first 0] [KIND...]

Two rewards on a grid of 16 x 16, r_k = exp(-8 d_k^2), d_k being the distance to (.2, .2) and to (.8, .8) in the unit
square. The front is concave, 19 distinct points of 28 objects that nothing dominates, with the hypervolume .14567 above
zero. Of a policy that was trained under conditions drawn anew in each step are told:

* the mean total variation from the law asked for, over 16 conditions that were not seen, by dynamic programming;
* the hypervolume of 128 samples over an even grid of 16 trade-offs, at the largest beta, as a share of the front's;
* how much of the law lies in the middle of the front, where both rewards are .2 or more, when both objectives count
  alike: of the law asked for, and of the policy;
* the rank correlation between the weight of the first objective and its expected reward, over that grid, at beta 1
  where beta is drawn.

KIND is one or more of weighted_sum, product, chebyshev, focus_region; all by default. docs/generators.md has figures.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside the file only

from data.pareto import hypervolume  # noqa: E402
from data.records import FloatArray  # noqa: E402
from models.gflownet.conditioning.objectives import OfObjectives  # noqa: E402
from models.gflownet.environments.hypergrid import HyperGrid  # noqa: E402
from models.gflownet.environments.tabulated import Tabulated  # noqa: E402
from models.gflownet.judging.exact import (  # noqa: E402
    StateGraph,
    forward_log_probs,
    target_law,
    terminal_law,
    total_variation,
)
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance  # noqa: E402
from models.gflownet.policies.backward import UniformBackward  # noqa: E402
from models.gflownet.policies.mlp import MLP  # noqa: E402
from models.gflownet.training.trainer import Trainer, TrainerOptions  # noqa: E402
from models.gflownet.training.trajectories import sample_forward  # noqa: E402
from models.registry import build  # noqa: E402
from models.threads import single_thread  # noqa: E402

HEIGHT, SHARPNESS, PEAKS = 16, 8.0, ((0.2, 0.2), (0.8, 0.8))
FRONT = 0.14566978
"""Hypervolume of the front above zero."""
MIDDLE = 0.2
"""Least of both rewards in the middle of the front."""
OPTIONS: dict[str, Any] = {"batch_size": 128, "learning_rate": 3e-3, "replay_share": 0.0, "final_rate": 0.02}
PREFERENCE = {"kind": "preference"}
CONDITIONS: dict[str, dict[str, Any]] = {
    "weighted_sum": {**PREFERENCE, "scalarisation": "weighted_sum", "beta": {"low": 0.5, "high": 32.0}},
    "product": {**PREFERENCE, "scalarisation": "product", "beta": 8.0},
    "chebyshev": {**PREFERENCE, "scalarisation": "chebyshev", "beta": 8.0},
    "focus_region": {"kind": "focus_region", "beta": 8.0, "outside": -30.0},
}
STEPS = {"weighted_sum": 3000, "product": 1500, "chebyshev": 2500, "focus_region": 2500}


def log_rewards(objects: list[tuple[int, ...]]) -> Tensor:
    """Return the logs of both rewards (n, 2) of places of the grid."""
    places = torch.tensor(objects, dtype=torch.float64) / (HEIGHT - 1)
    peaks = torch.tensor(PEAKS, dtype=torch.float64)
    return -SHARPNESS * (places[:, None] - peaks).square().sum(2)


@dataclass(frozen=True)
class Trained:
    """A policy, and all states of the grid.

    Attributes:
        values: (X, 2) logs of the rewards of the terminal states.
    """

    trainer: Trainer[Any]
    conditioning: OfObjectives
    graph: StateGraph[Any]
    values: Tensor

    @classmethod
    def under(cls, conditioning: dict[str, Any], *, steps: int, seed: int = 0, **options: Any) -> Trained:
        """Train a policy under a conditioning."""
        env = Tabulated(HyperGrid(dimensions=2, height=HEIGHT))
        terminal, generator = env.graph.terminal, torch.Generator().manual_seed(seed)
        values, condition = log_rewards(env.graph.objects), build("conditioning", conditioning)
        place = torch.zeros(len(env.graph.states), dtype=torch.int64)
        place[terminal] = torch.arange(len(terminal))
        trainer = Trainer(
            env,
            MLP(env, generator=generator, conditions=condition.width),
            lambda states: (values[place[states.index]], states.index.tolist()),
            objective=TrajectoryBalance(),
            backward=UniformBackward(),
            options=TrainerOptions(steps=steps, schedule="cosine", **{**OPTIONS, **options}),
            generator=generator,
            conditioning=condition,
        )
        with single_thread():
            trainer.train()
        return cls(trainer, condition, env.indexed(), values)

    def law(self, raw: Tensor) -> FloatArray:
        """Return the policy's law (X,) under a raw condition (1, C0)."""
        encoded = self.conditioning.encode(raw)[0]
        return terminal_law(self.graph, forward_log_probs(self.graph, self.trainer.policy, encoded))

    def target(self, raw: Tensor) -> FloatArray:
        """Return the law (X,) that is asked for under a raw condition (1, C0)."""
        given = raw.expand(len(self.values), -1)
        return target_law(self.conditioning.log_reward(self.values, given).numpy())

    def unseen(self, n: int = 16, seed: int = 1000) -> float:
        """Return the mean total variation from the laws asked for under n conditions that are drawn here."""
        raw = self.conditioning.draw(n, torch.Generator().manual_seed(seed))
        return float(np.mean([total_variation(self.law(one[None]), self.target(one[None])) for one in raw]))

    def volume(self, n: int = 128, seed: int = 0) -> float:
        """Return the hypervolume of n samples over an even grid of 16 trade-offs, as a share of the front's."""
        grid = self.conditioning.encode(self.conditioning.even(16))
        terminal = sample_forward(
            self.trainer.env,
            self.trainer.policy,
            n,
            torch.Generator().manual_seed(seed),
            condition=grid[torch.arange(n) % len(grid)],
        ).terminal
        place = {number: i for i, number in enumerate(self.graph.terminal.tolist())}
        points = self.values[[place[number] for number in terminal.index.tolist()]].exp()
        return hypervolume([tuple(point) for point in points.tolist()], (0.0, 0.0)) / FRONT

    def middle(self) -> tuple[float, float]:
        """Return how much of the law asked for, and of the policy's, lies in the middle, both objectives alike."""
        inside = (self.values.exp().amin(1) >= MIDDLE).numpy()
        raw = self.conditioning.middle()
        return float(self.target(raw)[inside].sum()), float(self.law(raw)[inside].sum())

    def fidelity(self) -> float:
        """Return the rank correlation of the first part of trade-offs with the expected first reward, at beta 1.

        Where beta is drawn: at a large one a weighted sum has but two expected rewards, whatever the weights.
        """
        grid = self.conditioning.even(16, beta=1.0)
        expected = [float(self.law(one[None]) @ self.values[:, 0].exp().numpy()) for one in grid]
        return float(spearmanr(grid[:, 0], expected)[0])


def main() -> None:
    """Print a row per kind and seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(CONDITIONS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    unknown = sorted(set(args.kinds) - set(CONDITIONS))
    if unknown:
        parser.error(f"There is no kind {unknown[0]!r}; expected one of {', '.join(CONDITIONS)}.")
    print("| condition | seed | mean TV | hypervolume | middle asked for | reached | fidelity | CPU-s |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in args.kinds or CONDITIONS:
        for seed in range(args.first, args.first + args.seeds):
            begun = time.process_time()
            trained = Trained.under(CONDITIONS[kind], steps=STEPS[kind], seed=seed)
            spent = time.process_time() - begun
            asked, reached = trained.middle()
            print(
                f"| `{kind}` | {seed} | {trained.unseen():.3f} | {trained.volume():.1%} | {asked:.2g} | "
                f"{reached:.2g} | {trained.fidelity():.3f} | {spent:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
