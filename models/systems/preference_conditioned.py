"""One policy for all trade-offs between two rewards, judged against exact laws: preferences and focus regions.

Two rewards on a grid of 16 x 16, r_k = exp(-8 d_k^2), d_k being the distance to (.2, .2) and to (.8, .8) in the unit
square. The front is concave, 19 distinct points of 28 objects that nothing dominates, with the hypervolume .14567 above
zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy.stats import spearmanr
from torch import Tensor

from data.pareto import Vector, hypervolume, inverted_generational_distance, r2_indicator, undominated
from data.records import FloatArray
from models.gflownet.conditioning.objectives import OfObjectives
from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.environments.tabulated import Tabulated
from models.gflownet.judging.exact import (
    StateGraph,
    forward_log_probs,
    target_law,
    terminal_law,
    total_variation,
)
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.mlp import MLP
from models.gflownet.training.trainer import Report, Trainer, TrainerOptions
from models.gflownet.training.trajectories import sample_forward
from models.registry import Component, build
from models.systems.base import Bench, Check, System
from models.threads import single_thread

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
    def under(
        cls, conditioning: dict[str, Any], *, steps: int, seed: int = 0, report: Report | None = None, **options: Any
    ) -> Trained:
        """Train a policy under a conditioning; `report` is called after every step."""
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
            trainer.train(report=report)
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

    def points(self, n: int = 128, seed: int = 0) -> list[Vector]:
        """Return both rewards of n samples over an even grid of 16 trade-offs, at the largest beta."""
        grid = self.conditioning.encode(self.conditioning.even(16))
        terminal = sample_forward(
            self.trainer.env,
            self.trainer.policy,
            n,
            torch.Generator().manual_seed(seed),
            condition=grid[torch.arange(n) % len(grid)],
        ).terminal
        place = {number: i for i, number in enumerate(self.graph.terminal.tolist())}
        rewards = self.values[[place[number] for number in terminal.index.tolist()]].exp()
        return [tuple(point) for point in rewards.tolist()]

    def volume(self, n: int = 128, seed: int = 0) -> float:
        """Return the hypervolume of n samples, as a share of the front's."""
        return hypervolume(self.points(n, seed), (0.0, 0.0)) / FRONT

    def distances(self, n: int = 128, seed: int = 0) -> tuple[float, float]:
        """Return the inverted generational distance of n samples from the true front, and R2 with 16 even weights."""
        points, every = self.points(n, seed), [tuple(point) for point in self.values.exp().tolist()]
        front = [every[place] for place in undominated(every)]
        weights = [(i / 15, 1.0 - i / 15) for i in range(16)]
        return inverted_generational_distance(points, front), r2_indicator(points, (1.0, 1.0), weights)

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


class PreferenceConditionedClaim(System["PreferenceConditionedClaim.Options"]):
    """One policy that serves every preference between objectives."""

    kind: ClassVar[str] = "preference_conditioned"
    cites: ClassVar[tuple[str, ...]] = ("jain2023mogfn", "roy2023goal")
    title: ClassVar[str] = "MOGFN, preference-conditioned and goal-conditioned"
    claim: ClassVar[str] = (
        "One network that is conditioned on preferences samples in proportion to any scalarised reward, so that its "
        "samples cover the front; directions in the space of rewards (focus regions) reach where weighted sums do not."
    )
    protocol: ClassVar[str] = (
        "Grid 16 x 16 with two rewards whose front is concave; trajectory balance, log Z a function of the condition, "
        "batch 128. Mean total variation over 16 conditions that were not seen, by dynamic programming; of 128 samples "
        "over an even grid of 16 trade-offs the hypervolume as a share of the front's, IGD to the exact front and R2; "
        "mass in the middle of the front where both objectives count alike; rank correlation of a weight with the "
        "reward that it brings."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("conditioning", "preference"),)
    settings: ClassVar[tuple[str, ...]] = ("conditioning: {kind: focus_region}",)
    example: ClassVar[str] = "campaigns/process/preferences.yaml"
    checks: ClassVar[tuple[Check, ...]] = (
        Check("weighted sums: the laws of conditions that were not seen are learnt", "weighted_sum_tv", at_most=0.1),
        Check("weighted sums: the expected reward follows its weight", "weighted_sum_fidelity", at_least=0.95),
        Check("at a large beta the middle of a concave front is never asked for by a weighted sum",
              "weighted_sum_middle_asked", at_most=1e-3),
        Check("Chebyshev scalarisation covers the front", "chebyshev_volume", at_least=0.9),
        Check("focus regions cover the front", "focus_region_volume", at_least=0.9),
        Check("focus regions reach the middle of the front", "focus_region_middle", at_least=0.5),
        Check("focus regions come nearer to the front (IGD) than weighted sums", "focus_region_igd",
              than="weighted_sum_igd", at_most=0.0),
        Check("focus regions have a smaller R2 than weighted sums", "focus_region_r2", than="weighted_sum_r2",
              at_most=0.0),
    )  # fmt: skip

    class Options(Component.Options):
        """How long the trial takes."""

        effort: float = Field(1.0, gt=0, le=1, description="share of the steps of each training")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train a policy under each kind of condition; return distances, volumes and correlations."""
        figures = dict[str, Any]()
        steps = {kind: max(2, round(self.options.effort * STEPS[kind])) for kind in CONDITIONS}
        total, past = sum(steps.values()), 0
        for kind, condition in CONDITIONS.items():

            def report(done: int, _steps: int, told: Mapping[str, float], past: int = past) -> None:
                bench.progress(past + done, total, told)

            trained = Trained.under(condition, steps=steps[kind], seed=seed, report=report)
            (asked, reached), (igd, r2) = trained.middle(), trained.distances()
            figures |= {
                f"{kind}_tv": trained.unseen(),
                f"{kind}_volume": trained.volume(),
                f"{kind}_fidelity": trained.fidelity(),
                f"{kind}_middle_asked": asked,
                f"{kind}_middle": reached,
                f"{kind}_igd": igd,
                f"{kind}_r2": r2,
            }
            past += steps[kind]
        return figures
