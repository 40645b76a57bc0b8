"""Prioritised replay, relative edge flows and a guide: does each bring the mean reward to its target sooner?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from models.registry import Component
from models.systems.base import Bench, Check, System
from models.systems.training import Training, stayed_below, train

REPLAY: dict[str, Any] = {"replay_share": 0.5, "replay": {"kind": "prioritised", "capacity": 5000}}
ARMS: dict[str, tuple[str, frozenset[str]]] = {
    "tb": ("TB", frozenset()),
    "replay": ("TB + replay", frozenset({"replay"})),
    "pairs": ("TB + state pairs", frozenset({"pairs"})),
    "guide": ("TB + guide", frozenset({"guide"})),
    "all": ("all three", frozenset({"replay", "pairs", "guide"})),
}
"""Arm -> its name in the figure, and what it has."""
NEAR = 0.1
"""Relative error of the mean reward that counts as having reached the target."""

BAG: dict[str, Any] = {"environment": {"kind": "bag"}}
TFBIND8: dict[str, Any] = {
    "environment": {"kind": "sequence", "alphabet": "ACGT", "max_length": 8, "mode": "prepend_append"},
    "reward": {"kind": "table", "name": "tfbind8", "exponent": 3, "scale": 10, "floor": 0.001},
}


class GuidedTrainingClaim(System["GuidedTrainingClaim.Options"]):
    """Three additions to trajectory balance, each alone and all together."""

    kind: ClassVar[str] = "guided_training"
    cites: ClassVar[tuple[str, ...]] = ("shen2023towards",)
    title: ClassVar[str] = "Prioritised replay, relative edge flows, guided trajectory balance"
    claim: ClassVar[str] = (
        "Trajectory balance under-credits parts that good objects share. Replay of the best, a policy that scores "
        "pairs of states, and a guide over shared parts each bring the mean reward of samples to its target sooner."
    )
    protocol: ClassVar[str] = (
        "TFBind8 by letters at either end (65,536 objects, R = 10 y^3), and bags of 13 of 7 letters with modes by a "
        "rule on multisets; uniform backward policy, batch 32. Exact mean reward of the policy against that of the "
        "target, and total variation, at the end; trajectories until the mean stays within 10 % of its target."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (
        ("replay", "prioritised"),
        ("policy", "state_pair"),
        ("objective", "guided_trajectory_balance"),
    )
    example: ClassVar[str] = "campaigns/samplers/tfbind8_guided.yaml"
    axes: ClassVar[tuple[str, str]] = ("Trajectories, TFBind8", "Relative error of the mean reward (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        *(
            Check(
                f"TFBind8: {ARMS[arm][0]} ends nearer to the target mean than TB",
                f"tfbind8_{arm}_error",
                than="tfbind8_tb_error",
                at_most=0.0,
            )
            for arm in ("replay", "pairs", "guide", "all")
        ),
        Check("bags: state pairs end nearer to the law than TB", "bag_pairs_tv", than="bag_tb_tv", at_most=0.0),
        Check("bags: the guide ends nearer to the law than TB", "bag_guide_tv", than="bag_tb_tv", at_most=0.0),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(1500, ge=8, description="steps of each training on TFBind8")
        bag_steps: int = Field(600, ge=8, description="steps of each training on bags")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train every arm on both tasks; return errors, distances, trajectories and CPU seconds."""
        options = self.options
        tasks = (("tfbind8", TFBIND8, options.steps), ("bag", BAG, options.bag_steps))
        total = sum(steps for _, _, steps in tasks) * len(ARMS)
        figures, curves, past = dict[str, Any](), dict[str, list[list[float]]](), 0
        for task, subject, steps in tasks:
            for arm, (name, additions) in ARMS.items():

                def progress(done: int, _total: int, told: Mapping[str, float], past: int = past) -> None:
                    bench.progress(past + done, total, told)

                since = time.process_time()
                training = train(sampler(subject, additions, steps), seed, bench, progress=progress)
                errors = relative_errors(training)
                figures |= {
                    f"{task}_{arm}_error": errors[1][-1],
                    f"{task}_{arm}_tv": training.last["tv"],
                    f"{task}_{arm}_trajectories": stayed_below(errors, NEAR, steps * training.batch_size),
                    f"{task}_{arm}_cpu": time.process_time() - since,
                }
                if task == "tfbind8":
                    curves[name] = errors
                past += steps
        return figures | {"curves": curves}


def sampler(subject: Mapping[str, Any], additions: frozenset[str], steps: int) -> dict[str, Any]:
    """Return the sampler file of an arm."""
    return {
        **subject,
        "policy": {"kind": "state_pair", "width": 64}
        if "pairs" in additions
        else {"kind": "mlp", "hidden": [128, 128]},
        "objective": {"kind": "guided_trajectory_balance" if "guide" in additions else "trajectory_balance"},
        "backward_policy": {"kind": "uniform"},
        "training": {
            "steps": steps,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "log_z_learning_rate": 0.1,
            "schedule": "constant",
            "epsilon": 0.01,
            "replay_share": 0,
            "evaluate_every": max(1, steps // 20),
            **(REPLAY if "replay" in additions else {}),
        },
    }


def relative_errors(training: Training) -> list[list[float]]:
    """Return how far the mean reward is from that of the target, relative to it, against trajectories: `[x, y]`."""
    x, errors = training.curve("expected_reward_error")
    return [x, [abs(error) for error in errors]]
