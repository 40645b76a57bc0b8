"""Generative augmented flow networks: do rewards of novelty find goals that a plain training never meets?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from models.registry import Component
from models.systems.base import Bench, Check, System
from models.systems.training import Training, on_policy, train

PLACES = ("edge", "state", "joint")
GOALS = 3


class GenerativeAugmentedClaim(System["GenerativeAugmentedClaim.Options"]):
    """Rewards for what was rarely seen, beside that of the object, until they fade."""

    kind: ClassVar[str] = "generative_augmented"
    cites: ClassVar[tuple[str, ...]] = ("pan2023gafn", "burda2019rnd")
    title: ClassVar[str] = "GAFlowNet, rewards of novelty"
    claim: ClassVar[str] = (
        "Where rewards are sparse, trajectory balance meets few of the goals; with intrinsic rewards on transitions "
        "and on objects it finds all, and what it samples is still proportional to the reward."
    )
    protocol: ClassVar[str] = (
        "Grid 16 x 16 with reward 1 on three goals and 1e-6 elsewhere, trajectory balance, the same network, batch 16, "
        "no other exploration. Novelty is the error of random network distillation times 0.005, annealed to 0 over "
        "70 % of the training. Exact law at the end: total variation, and goals that have at least half of their "
        "probability."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("objective", "trajectory_balance"),)
    settings: ClassVar[tuple[str, ...]] = ("training: {intrinsic: {place: joint}}",)
    example: ClassVar[str] = "campaigns/samplers/sparse_goals.yaml"
    axes: ClassVar[tuple[str, str]] = ("Trajectories", "Total variation (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("plain trajectory balance keeps fewer than all goals", "none_goals", at_most=GOALS - 0.5),
        Check("with novelty in both places all three goals are kept", "joint_goals", at_least=GOALS),
        Check(
            "more goals are kept with novelty in both places than without", "joint_goals", "none_goals", at_least=0.0
        ),
        Check("the law is the reward's once novelty has faded", "joint_tv", at_most=0.05),
        Check(
            "novelty in both places ends nearer to the law than on transitions alone",
            "joint_tv",
            "edge_tv",
            at_most=0.0,
        ),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(4000, ge=8, description="steps of each training")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train without novelty and with it in each place; return distances and goals kept."""
        steps, figures, curves = self.options.steps, dict[str, Any](), dict[str, list[list[float]]]()
        arms = (None, *PLACES)
        for number, place in enumerate(arms):

            def progress(done: int, _total: int, told: Mapping[str, float], number: int = number) -> None:
                bench.progress(number * steps + done, len(arms) * steps, told)

            training = train(self._sampler(place), seed, bench, progress=progress)
            name = place or "none"
            figures |= {f"{name}_tv": training.last["tv"], f"{name}_goals": goals_kept(training)}
            curves["plain" if place is None else f"novelty: {place}"] = training.curve("tv")
        return figures | {"curves": curves}

    def _sampler(self, place: str | None) -> dict[str, Any]:
        training = on_policy(self.options.steps)
        if place is not None:
            fading = {"shape": "linear", "start": 0.005, "end": 0.0, "share": 0.7}
            training["intrinsic"] = {"place": place, "scale": fading}
        return {
            "environment": {"kind": "hypergrid", "dimensions": 2, "height": 16, "reward": "sparse", "floor": 1e-6},
            "policy": {"kind": "mlp", "hidden": [128, 128]},
            "objective": {"kind": "trajectory_balance"},
            "backward_policy": {"kind": "uniform"},
            "training": training,
        }


def goals_kept(training: Training) -> int:
    """Return how many of the most rewarded objects the policy draws at least half as often as it should."""
    (law,) = training.session.laws()
    best = law.target >= 0.5 * law.target.max()
    return int((law.policy[best] >= 0.5 * law.target[best]).sum())
