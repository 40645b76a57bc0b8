"""Learned energy decompositions: do potentials that split log R find better sets sooner, and is the law kept?"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from data.config import derive_seed
from models.gflownet.environments.sets import SetEnvironment
from models.gflownet.training.trainer import Trainer
from models.gflownet.training.trajectories import sample_forward
from models.registry import Component
from models.systems.base import Bench, Check, System
from models.systems.training import Training, on_policy, train

LED = "learned_energy_decomposition"
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "db": ("DB", {"kind": "detailed_balance"}),
    "subtb": ("SubTB(0.9)", {"kind": "sub_trajectory_balance", "decay": 0.9}),
    "fl": ("forward-looking DB", {"kind": "forward_looking_detailed_balance"}),
    "edges": ("LED on transitions, DB", {"kind": LED, "potentials": "edges"}),
    "states": ("LED on states, DB", {"kind": LED, "potentials": "states"}),
}
"""Arm -> its name in the figure, and its objective."""
LARGE: dict[str, Any] = {"kind": "set", "elements": 80, "chosen": 60}
SMALL: dict[str, Any] = {"kind": "set", "elements": 10, "chosen": 5}
SMALL_BATCH = 64


class EnergyDecompositionClaim(System["EnergyDecompositionClaim.Options"]):
    """Potentials that are learnt, in place of rewards of unfinished objects."""

    kind: ClassVar[str] = "energy_decomposition"
    cites: ClassVar[tuple[str, ...]] = ("jang2024led", "pan2023forwardlooking")
    title: ClassVar[str] = "LED-GFN, learned energy decompositions, and forward-looking flows"
    claim: ClassVar[str] = (
        "On long trajectories a reward at the end tells a transition little. Potentials that are learnt to split the "
        "log-reward over the transitions find better objects than detailed and sub-trajectory balance do with as many "
        "calls, and than forward-looking flows, which must be given the rewards of unfinished objects; the law is kept."
    )
    protocol: ClassVar[str] = (
        "Sets of 60 of 80 elements, log R minus the sum of energies uniform in [-1, 1], batch 16, the same network and "
        "calls for every objective. Mean reward of the best 100 sets met, relative to the best set there is, and the "
        "root mean square distance of the elements' frequencies in fresh samples from their exact probabilities "
        "(elementary symmetric polynomials). Sets of 5 of 10 whose energies interact: exact total variation."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("objective", LED),)
    settings: ClassVar[tuple[str, ...]] = ("objective: {kind: forward_looking_detailed_balance}",)
    example: ClassVar[str] = "campaigns/samplers/set_decomposed.yaml"
    axes: ClassVar[tuple[str, str]] = ("Trajectories, 60 of 80", "Mean reward of the best 100 over the best (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            "60 of 80: potentials on transitions (the paper's) find better sets than DB",
            "edges_top",
            than="db_top",
            at_least=0.0,
        ),
        Check(
            "60 of 80: potentials on transitions find better sets than SubTB(0.9)",
            "edges_top",
            than="subtb_top",
            at_least=0.0,
        ),
        Check(
            "60 of 80: potentials on transitions find better sets than forward-looking DB",
            "edges_top",
            than="fl_top",
            at_least=0.0,
        ),
        Check("60 of 80: potentials on states find better sets than DB", "states_top", than="db_top", at_least=0.0),
        Check("60 of 80: forward-looking DB finds better sets than DB", "fl_top", than="db_top", at_least=0.0),
        Check(
            "60 of 80: frequencies of elements are nearer to the exact ones with potentials on states than with DB",
            "states_frequencies",
            than="db_frequencies",
            at_most=0.0,
        ),
        Check("5 of 10: with potentials on states the law is kept", "states_tv", at_most=0.05),
        Check("5 of 10: with potentials on transitions the law is kept", "edges_tv", at_most=0.05),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(400, ge=8, description="steps of each training on sets of 60 of 80")
        small_steps: int = Field(1500, ge=8, description="steps of each training on sets of 5 of 10")
        samples: int = Field(2048, ge=2, description="sets of which frequencies are taken")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train every arm on both sets; return rewards, distances and CPU seconds."""
        options = self.options
        small = [arm for arm in ARMS if arm != "fl"]
        plan = [*((arm, True) for arm in ARMS), *((arm, False) for arm in small)]
        total = len(ARMS) * options.steps + len(small) * options.small_steps
        figures, curves, past = dict[str, Any](), dict[str, list[list[float]]](), 0
        for arm, large in plan:

            def progress(done: int, _total: int, told: Mapping[str, float], past: int = past) -> None:
                bench.progress(past + done, total, told)

            since = time.process_time()
            name, objective = ARMS[arm]
            if large:
                training = train(_large(objective, options.steps), seed, bench, progress=progress)
                figures[f"{arm}_cpu"] = time.process_time() - since
                curves[name] = _relative(training)
                figures[f"{arm}_top"] = curves[name][1][-1]
                figures[f"{arm}_frequencies"] = _distance(training.session.trainer, options.samples, seed)
                figures[f"{arm}_log_z_error"] = _log_z_error(training)
            else:
                training = train(_small(objective, options.small_steps), seed, bench, progress=progress)
                figures[f"{arm}_tv"] = training.last["tv"]
            past += options.steps if large else options.small_steps
        return figures | {"curves": curves}


def interacting(sets: Sequence[Sequence[int]]) -> list[float]:
    """Return the log-rewards of sets of elements 0 .. 9: normal numbers of elements, and of pairs, added up."""
    generator = torch.Generator().manual_seed(0)
    alone = torch.randn(10, generator=generator, dtype=torch.float64)
    pairs = torch.randn((10, 10), generator=generator, dtype=torch.float64).triu(1)
    chosen = torch.zeros((len(sets), 10), dtype=torch.float64).scatter_(1, torch.tensor(np.array(sets)), 1.0)
    return (chosen @ alone + 0.5 * ((chosen @ pairs) * chosen).sum(1)).tolist()


def _large(objective: Mapping[str, Any], steps: int) -> dict[str, Any]:
    return {
        "environment": LARGE,
        "policy": {"kind": "mlp", "hidden": [128, 128]},
        "objective": dict(objective),
        "backward_policy": {"kind": "uniform"},
        "training": on_policy(steps, evaluate_every=max(1, steps // 6)),
        "evaluation": {"max_states": 0, "held_out": 3, "draws": 1, "samples": 2, "distance": "hamming"},
    }


def _small(objective: Mapping[str, Any], steps: int) -> dict[str, Any]:
    return {
        "environment": SMALL,
        "reward": {"kind": "python", "function": f"{__name__}:interacting", "log": True},
        "policy": {"kind": "mlp", "hidden": [128, 128]},
        "objective": dict(objective),
        "backward_policy": {"kind": "uniform"},
        "training": on_policy(steps, batch_size=SMALL_BATCH, schedule="linear", final_rate=0.01),
    }


def _relative(training: Training) -> list[list[float]]:
    """Return the mean reward of the best sets over that of the best there is, against trajectories: `[x, y]`."""
    env = training.study.base
    assert isinstance(env, SetEnvironment)
    best = float((-env.energies).sort(descending=True).values[: env.total].sum())
    x, rewards = training.curve("top_reward")
    return [x, [reward / math.exp(best) for reward in rewards]]


def _distance(trainer: Trainer[Any], samples: int, seed: int) -> float:
    """Return the root mean square of frequencies of elements in samples minus their exact probabilities."""
    env: SetEnvironment = trainer.env  # type: ignore[assignment]
    generator = torch.Generator().manual_seed(derive_seed(seed, "frequencies"))
    drawn = sample_forward(trainer.env, trainer.policy, samples, generator).terminal
    found: Tensor = drawn.count.double().mean(0)
    return float((found - env.log_inclusion().exp()).square().mean().sqrt())


def _log_z_error(training: Training) -> float:
    env = training.study.base
    assert isinstance(env, SetEnvironment)
    return abs(training.session.trainer.log_z.item() - env.log_normaliser())
