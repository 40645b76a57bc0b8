"""A GFlowNet on the torsions of a real molecule: is Boltzmann's law of an exhaustive grid sampled?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from data.config import derive_seed
from data.records import FloatArray
from models.gflownet.judging.subject import SpaceReward
from models.gflownet.rewards.boltzmann import BoltzmannReward
from models.gflownet.training.trajectories import sample_forward
from models.registry import Component
from models.systems.base import Bench, Check, System
from models.systems.training import train

SPACE: Mapping[str, Any] = {
    "kind": "torsions",
    "smiles": "CC(=O)N[C@@H](C)C(=O)NC",
    "bonds": {"phi": [1, 3, 4, 6], "psi": [3, 4, 6, 8]},
}
"""Alanine dipeptide, Ac-Ala-NHMe."""
LEAST = 0.01
"""Share of the law that a basin has which must be reached."""
DRAWS = 10_000


class ConformersClaim(System["ConformersClaim.Options"]):
    """Conformers of a molecule in proportion to exp(-E / RT)."""

    kind: ClassVar[str] = "conformers"
    cites: ClassVar[tuple[str, ...]] = ("lahlou2023continuous", "halgren1996mmff94")
    title: ClassVar[str] = "Continuous GFlowNets, conformers"
    claim: ClassVar[str] = (
        "A continuous GFlowNet that moves the torsion angles of a molecule samples its conformers by Boltzmann's law: "
        "all basins of low energy in proportion, and the partition function comes out."
    )
    protocol: ClassVar[str] = (
        "Alanine dipeptide in vacuum, phi and psi, exp(-E / RT) at 298.15 K with MMFF94 energies, the angles held and "
        "all else relaxed, capped at 12 kcal/mol, of all 72 x 72 midpoints of cells of 5 degrees, linear between them. "
        "Trajectory balance with a learned way back, five steps of all angles, batch 128, half of it "
        "drawn back from the 10,000 best conformers so far, uniform increments from 0.1 to 0. Against the grid: total "
        "variation, the log Z that was learnt and that of 2,000 trajectories, and of the "
        "basins (cells from which steepest descent ends in one minimum) with at least 0.01 of the law the share that "
        "10,000 draws give between half and twice as often as the law. 5,000 steps; 2,000 had left 0.118 and 0.089 of "
        "log Z."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (
        ("space", "torsions"),
        ("construction", "increments"),
        ("reward", "boltzmann"),
    )
    settings: ClassVar[tuple[str, ...]] = ("backward_policy: {kind: tied}",)
    example: ClassVar[str] = "campaigns/samplers/conformers.yaml"
    axes: ClassVar[tuple[str, str]] = ("Trajectories", "Total variation (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("the law is that of the grid", "tv", at_most=0.1),
        Check("log Z is learnt", "log_z_error", at_most=0.05),
        Check("log Z is right by the mean over trajectories", "sampled_error", at_most=0.05),
        Check("all basins are reached in proportion", "basins_reached", at_least=1.0),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(5000, ge=4, description="steps of the training")
        cells: int = Field(72, ge=8, le=72, description="cells of each angle")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train on the grid's law; return distances from it, errors of log Z, and basins."""
        options = self.options
        training = train(self._sampler(), seed, bench)
        reward = training.study.reward
        assert isinstance(reward, SpaceReward)
        assert isinstance(reward.inner, BoltzmannReward)
        table, known = reward.inner.table(), reward.inner.log_partition()
        law = table.flatten().softmax(0).reshape(table.shape).numpy()
        basin = basins(-table.numpy())
        trainer = training.session.trainer
        generator = torch.Generator().manual_seed(derive_seed(seed, "conformers"))
        theta = sample_forward(trainer.env, trainer.policy, DRAWS, generator).terminal.place
        cell = ((theta / (2 * np.pi) + 0.5) * options.cells).floor().long().numpy() % options.cells
        exact = np.bincount(basin.ravel(), law.ravel())
        drawn = np.bincount(basin[cell[:, 0], cell[:, 1]], minlength=len(exact)) / DRAWS
        large = exact >= LEAST
        ratio = drawn[large] / exact[large]
        last = training.last
        return {
            "tv": last["grid_tv"],
            "log_z_error": abs(last["log_z"] - known),
            "sampled_error": abs(last["log_z_sampled"] - known),
            "basins": float(large.sum()),
            "basins_reached": float(((ratio >= 0.5) & (ratio <= 2.0)).mean()),
            "curves": {"learned way back": training.curve("grid_tv")},
        }

    def _sampler(self) -> dict[str, Any]:
        steps = self.options.steps
        return {
            "space": dict(SPACE),
            "construction": {"kind": "increments", "steps": 5, "hidden": [128, 128], "components": 10},
            "reward": {"kind": "boltzmann", "temperature": 298.15, "cells": self.options.cells},
            "objective": {"kind": "trajectory_balance"},
            "backward_policy": {"kind": "tied"},
            "training": {
                "steps": steps,
                "batch_size": 128,
                "learning_rate": 3e-3,
                "log_z_learning_rate": 0.1,
                "schedule": "cosine",
                "final_rate": 0.02,
                "epsilon": {"shape": "linear", "start": 0.1, "end": 0.0, "share": 0.8},
                "replay_share": 0.5,
                "replay": {"kind": "prioritised", "capacity": 10_000, "top_draws": 0.0},
                "evaluate_every": max(4, steps // 2),
            },
            "evaluation": {"samples": 2000, "held_out": 32},
        }


def basins(energy: FloatArray) -> NDArray[np.int64]:
    """Return (n, n) the number of the minimum in which steepest descent ends, over the 8 neighbours on a torus.

    Args:
        energy: (n, n), periodic in both directions.
    """
    n = len(energy)
    steps = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    around = np.stack([np.roll(energy, (-a, -b), (0, 1)) for a, b in steps])
    # Ties go to one of the neighbours by number, so that a plain ends somewhere.
    number = np.arange(n * n).reshape(n, n)
    numbers = np.stack([np.roll(number, (-a, -b), (0, 1)) for a, b in steps])
    best = np.lexsort((numbers, around), axis=0)[0]
    down = np.take_along_axis(numbers, best[None], 0)[0].ravel()
    while not np.array_equal(down, down[down]):
        down = down[down]
    found: NDArray[np.int64] = np.unique(down, return_inverse=True)[1].reshape(n, n)
    return found
