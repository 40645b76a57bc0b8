"""Continuous GFlowNets on a torus: do the losses hold for densities as they do for probabilities?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from models.registry import Component
from models.systems.base import Bench, Check, System
from models.systems.training import train

ARMS: Mapping[str, tuple[str, str]] = {
    "learned way back": ("tied", "trajectory_balance"),
    "uniform way back": ("uniform", "trajectory_balance"),
}
"""Arm -> backward policy, objective."""


class ContinuousTorusClaim(System["ContinuousTorusClaim.Options"]):
    """Densities in place of probabilities, forward and backward."""

    kind: ClassVar[str] = "continuous_torus"
    cites: ClassVar[tuple[str, ...]] = ("lahlou2023continuous",)
    title: ClassVar[str] = "Continuous GFlowNets, torus"
    claim: ClassVar[str] = (
        "Trajectory balance holds for densities as for probabilities: trained with it, a policy that moves angles by "
        "increments samples several modes of a density on a torus in proportion, and log Z comes out."
    )
    protocol: ClassVar[str] = (
        "Two angles, five steps from a fixed point, increments by mixtures of ten products of von Mises laws and the "
        "uniform law. The target is a sum of three products of exp(4 cos(angle - centre)), whose log Z is 9.624312. "
        "Trajectory balance, batch 128, a share of uniform increments that falls from 0.1 to 0 over half of the "
        "training, with a way back that is learned or uniform. At the end the error of the log Z that was learnt, that "
        "of the mean of R P_B / P_F over 2,000 trajectories, and the total variation over 72 x 72 cells, whose "
        "densities are means of P_F / P_B over 16 trajectories drawn back."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (
        ("environment", "torus"),
        ("policy", "von_mises_mixture"),
        ("objective", "trajectory_balance"),
    )
    version: ClassVar[int] = 2
    settings: ClassVar[tuple[str, ...]] = ("backward_policy: {kind: tied}",)
    example: ClassVar[str] = "campaigns/samplers/torus.yaml"
    axes: ClassVar[tuple[str, str]] = ("Trajectories", "Total variation (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("with a learned way back the law is the target's", "learned_tv", at_most=0.05),
        Check("log Z is learnt", "learned_log_z_error", at_most=0.05),
        Check("log Z is right by the mean over trajectories", "learned_sampled_error", at_most=0.05),
        Check("a learned way back ends nearer to the target than a uniform one", "learned_tv", "uniform_tv", at_most=0),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(2000, ge=4, description="steps of each training")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train with each way back; return errors of log Z, distances and their course."""
        steps, figures, curves = self.options.steps, dict[str, Any](), dict[str, list[list[float]]]()
        for number, (arm, (backward, objective)) in enumerate(ARMS.items()):

            def progress(done: int, _total: int, told: Mapping[str, float], number: int = number) -> None:
                bench.progress(number * steps + done, len(ARMS) * steps, told)

            training = train(self._sampler(backward, objective), seed, bench, progress=progress)
            last, name = training.last, arm.split()[0]
            known = training.study.base.log_partition or 0.0
            figures |= {
                f"{name}_tv": last["grid_tv"],
                f"{name}_log_z_error": last["log_z_error"],
                f"{name}_sampled_error": abs(last["log_z_sampled"] - known),
            }
            curves[arm] = training.curve("grid_tv")
        return figures | {"curves": curves}

    def _sampler(self, backward: str, objective: str) -> dict[str, Any]:
        steps = self.options.steps
        return {
            "environment": {"kind": "torus", "angles": 2, "steps": 5},
            "policy": {"kind": "von_mises_mixture", "hidden": [128, 128], "components": 10},
            "objective": {"kind": objective},
            "backward_policy": {"kind": backward},
            "training": {
                "steps": steps,
                "batch_size": 128,
                "learning_rate": 3e-3,
                "log_z_learning_rate": 0.1,
                "schedule": "cosine",
                "final_rate": 0.02,
                "epsilon": {"shape": "linear", "start": 0.1, "end": 0.0, "share": 0.5},
                "replay_share": 0,
                "evaluate_every": max(4, steps // 2),
            },
            "evaluation": {"samples": 2000, "held_out": 32},
        }
