"""Sub-trajectory balance: does learning from pieces of trajectories reach the law sooner where rewards are sparse?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field

from data.config import derive_seed
from models.registry import Component, build
from models.systems.base import Bench, Check, System
from models.systems.gradients import alignment
from models.systems.training import Training, on_policy, train

DECAYS = (0.8, 0.9, 0.99)
NEAR = 0.1
"""Total variation that counts as having learnt the law."""


class SubTrajectoryBalanceClaim(System["SubTrajectoryBalanceClaim.Options"]):
    """Learning from pieces of trajectories, weighted by lambda to the power of their length."""

    kind: ClassVar[str] = "sub_trajectory_balance"
    cites: ClassVar[tuple[str, ...]] = ("madan2023subtb",)
    title: ClassVar[str] = "SubTB(lambda), sub-trajectory balance"
    claim: ClassVar[str] = (
        "On large grids with sparse rewards SubTB finds all modes and converges sooner than trajectory balance, which "
        "loses modes, and than detailed balance; gradients of small batches are nearer to the true one."
    )
    protocol: ClassVar[str] = (
        "Grids 32 x 32 and 8^4 with R0 = 0.001, uniform backward policy, the same network, batch 16, no exploration. "
        "Exact total variation against trajectories drawn; SubTB at lambda 0.8, 0.9, 0.99. Gradients of the forward "
        "policy after a quarter of the training, batches of 16 against trajectory balance's of 4,096."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("objective", "sub_trajectory_balance"),)
    example: ClassVar[str] = "campaigns/samplers/atoms.yaml"
    axes: ClassVar[tuple[str, str]] = ("Trajectories on the grid 32 x 32", "Total variation (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("trajectory balance ends far from the law on 32 x 32 (it loses modes)", "tb_tv", at_least=0.2),
        Check("SubTB(0.9) learns the law of 32 x 32", "subtb_tv", at_most=NEAR),
        Check(
            "SubTB(0.9) needs fewer trajectories than detailed balance to a total variation of 0.1",
            "subtb_trajectories",
            than="db_trajectories",
            at_most=0.0,
        ),
        Check(
            "on 8^4 SubTB(0.9) ends nearer to the law than trajectory balance", "subtb_tv_4d", "tb_tv_4d", at_most=0.0
        ),
        Check(
            "a small batch's SubTB(0.9) gradient is nearer to the true one than trajectory balance's",
            "subtb_cosine",
            than="tb_cosine",
            at_least=0.0,
        ),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(4000, ge=8, description="steps of each training")
        large: int = Field(4096, ge=2, description="trajectories of the large batch")
        draws: int = Field(64, ge=1, description="small batches")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train every objective on both grids; return distances, trajectories needed, and cosines of gradients."""
        steps = self.options.steps
        objectives: dict[str, tuple[str, dict[str, Any]]] = {
            "tb": ("TB", {"kind": "trajectory_balance"}),
            "db": ("DB", {"kind": "detailed_balance"}),
            **{
                "subtb" if decay == 0.9 else f"subtb_{decay:g}": (
                    f"SubTB({decay:g})",
                    {"kind": "sub_trajectory_balance", "decay": decay},
                )
                for decay in DECAYS
            },
        }
        figures: dict[str, Any] = {}
        curves: dict[str, list[list[float]]] = {}
        grids = [(key, 2, 32) for key in objectives] + [(key, 4, 8) for key in ("tb", "db", "subtb")]
        for number, (key, dimensions, height) in enumerate(grids):

            def progress(done: int, _total: int, told: Mapping[str, float], number: int = number) -> None:
                bench.progress(number * steps + done, len(grids) * steps, told)

            training = train(self._sampler(objectives[key][1], dimensions, height), seed, bench, progress=progress)
            if dimensions == 2:
                figures |= {
                    f"{key}_tv": training.last["tv"],
                    f"{key}_trajectories": training.first_below("tv", NEAR),
                }
                curves[objectives[key][0]] = training.curve("tv")
            else:
                figures[f"{key}_tv_4d"] = training.last["tv"]
        return figures | self._gradients(seed, bench) | {"curves": curves}

    def _gradients(self, seed: int, bench: Bench) -> dict[str, float]:
        """Return the cosines of small-batch gradients with the large batch's, on the grid 32 x 32."""
        options = self.options
        subtb: dict[str, Any] = {"kind": "sub_trajectory_balance", "decay": 0.9}
        training: Training = train(self._sampler(subtb, 2, 32, share=0.25), seed, bench)
        kinds: dict[str, dict[str, Any]] = {
            "tb": {"kind": "trajectory_balance"},
            "db": {"kind": "detailed_balance"},
            "subtb": subtb,
        }
        objectives = {name: build("objective", spec) for name, spec in kinds.items()}
        found = alignment(
            training.session.trainer,
            objectives,
            objectives["tb"],
            large=options.large,
            small=16,
            draws=options.draws,
            generator=torch.Generator().manual_seed(derive_seed(seed, "gradients")),
        )
        return {f"{name}_cosine": value for name, value in found.items()}

    def _sampler(
        self, objective: Mapping[str, Any], dimensions: int, height: int, share: float = 1.0
    ) -> dict[str, Any]:
        steps = max(1, round(share * self.options.steps))
        return {
            "environment": {"kind": "hypergrid", "dimensions": dimensions, "height": height, "r0": 0.001},
            "policy": {"kind": "mlp", "hidden": [128, 128]},
            "objective": dict(objective),
            "backward_policy": {"kind": "uniform"},
            "training": on_policy(steps),
        }
