"""Diffusion samplers: what do exploration, local search and Langevin drifts add to trajectory balance?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field

from data.config import derive_seed
from models.diffusion.bounds import bounds
from models.diffusion.targets import Funnel, GaussianMixture, KnownTarget, ManyWell
from models.diffusion.trainer import DGFS, DiffusionOptions, DiffusionTrainer
from models.registry import Component
from models.systems.base import Bench, Check, System

_TARGETS: dict[str, tuple[KnownTarget, int, dict[str, Any], float]] = {
    "mixture": (GaussianMixture.grid(), 1200, {"variance": 5.0}, 3.0),
    "funnel": (Funnel(), 500, {}, 1.0),
    "wells": (ManyWell(8), 700, {}, 1.0),
}
"""The law, steps of each training, options of all arms, and the exploration of those that explore."""
_ARMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "explored": {"exploration": True},
    "searched": {"exploration": True, "local_search": {}},
    "langevin": {"exploration": True, "langevin": True},
    "dgfs": DGFS,
}
_TRAININGS = [
    *(("mixture", arm) for arm in _ARMS),
    *(("wells", arm) for arm in ("plain", "searched", "langevin")),
    *(("funnel", arm) for arm in ("plain", "searched")),
]
_POINTS = 40


class DiffusionSamplersClaim(System["DiffusionSamplersClaim.Options"]):
    """Trajectory balance on chains of a learnt drift, with exploration, local search or Langevin drifts besides."""

    kind: ClassVar[str] = "diffusion_samplers"
    cites: ClassVar[tuple[str, ...]] = ("sendera2024improved", "zhang2024dgfs", "lahlou2023continuous")
    title: ClassVar[str] = "Diffusion samplers, off-policy"
    claim: ClassVar[str] = (
        "Trained on its own chains a diffusion sampler drops modes; wider noise while training, with replay of what "
        "Langevin moves find, brings it near to the target. Langevin drifts help too. Of the Many-Well only these "
        "give a good log Z. Sub-trajectory balance on learnt flows (DGFS) estimates log Z better than such a sampler."
    )
    protocol: ClassVar[str] = (
        "Mixture of 25 Gaussians in the plane (variance 5 of the noise, 1,200 steps), Many-Well of 8 dimensions (700 "
        "steps), funnel of 10 dimensions (500 steps): chains of 20 steps, batch 128, two layers of 64, the same rates "
        "for all arms; the papers take 100 steps and up to 25,000 batches of 300. `plain` is trajectory balance on its "
        "own chains; the others add noise (3 per unit of time on the mixture, 1 elsewhere, gone after half of the "
        "training), and local search or Langevin drifts besides; DGFS has Langevin drifts and no such noise. At the "
        "end, of 2,000 chains and of 2,000 bridges to exact draws: errors of the lower bound of log Z and of the "
        "weighted estimate, the gap between both bounds, and modes of the mixture that are met."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("generator", "diffusion"),)
    example: ClassVar[str] = "campaigns/process/diffusion.yaml"
    axes: ClassVar[tuple[str, str]] = ("Steps", "Loss on the mixture (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("mixture: plain trajectory balance misses modes", "mixture_plain_modes", at_most=24.5),
        Check("mixture: with exploration and local search all 25 are met", "mixture_searched_modes", at_least=24.5),
        Check(
            "mixture: the lower bound is nearer to log Z with exploration and local search than without",
            "mixture_searched_lower",
            "mixture_plain_lower",
            at_most=0.0,
        ),
        Check(
            "mixture: the weighted log Z is nearer with exploration and local search than without",
            "mixture_searched_weighted",
            "mixture_plain_weighted",
            at_most=0.0,
        ),
        Check(
            "mixture: the bounds are closer with exploration and local search than without",
            "mixture_searched_gap",
            "mixture_plain_gap",
            at_most=0.0,
        ),
        Check(
            "mixture: the bounds are closer with exploration alone than without",
            "mixture_explored_gap",
            "mixture_plain_gap",
            at_most=0.0,
        ),
        Check(
            "mixture: the lower bound is nearer to log Z with exploration and Langevin drifts than without",
            "mixture_langevin_lower",
            "mixture_plain_lower",
            at_most=0.0,
        ),
        Check(
            "mixture: DGFS has a nearer weighted log Z than plain trajectory balance",
            "mixture_dgfs_weighted",
            "mixture_plain_weighted",
            at_most=0.0,
        ),
        Check("Many-Well: the weighted log Z is near with local search", "wells_searched_weighted", at_most=0.3),
        Check(
            "Many-Well: the bounds are closer with local search than without",
            "wells_searched_gap",
            "wells_plain_gap",
            at_most=0.0,
        ),
        Check(
            "Many-Well: the bounds are closer with Langevin drifts than without",
            "wells_langevin_gap",
            "wells_plain_gap",
            at_most=0.0,
        ),
        Check("funnel: error of the lower bound, plain", "funnel_plain_lower"),
        Check("funnel: error of the lower bound, with exploration and local search", "funnel_searched_lower"),
        Check("no bound lies on the wrong side of log Z, in nats", "crossed", at_most=0.1),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        effort: float = Field(1.0, gt=0, description="share of the usual steps")
        draws: int = Field(2000, ge=50, description="chains of which bounds are made")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train every arm; return errors and gaps of log Z, and the course of the losses on the mixture."""
        total = sum(self._steps(name) for name, _ in _TRAININGS)
        figures, curves, before, crossed = dict[str, Any](), dict[str, list[list[float]]](), 0, 0.0
        for name, arm in _TRAININGS:
            target, _, shared, exploration = _TARGETS[name]
            changes = _ARMS[arm] | ({"exploration": exploration} if "exploration" in _ARMS[arm] else {})
            trainer = DiffusionTrainer(
                target.dimensions,
                target.log_reward,
                DiffusionOptions(steps=self._steps(name), **shared, **changes),
                torch.Generator().manual_seed(derive_seed(seed, "diffusion", name, arm)),
                gradient=target.gradient,
            )

            def report(done: int, _total: int, told: Mapping[str, float], before: int = before) -> None:
                bench.progress(before + done, total, told)

            trainer.train(report)
            before += self._steps(name)
            judge = torch.Generator().manual_seed(derive_seed(seed, "judge", name))
            found, known = bounds(trainer.chain, trainer.network.drift, target, self.options.draws, judge), target
            crossed = max(crossed, found.lower - known.log_partition, known.log_partition - found.upper)
            figures |= {
                f"{name}_{arm}_lower": abs(found.lower - known.log_partition),
                f"{name}_{arm}_weighted": abs(found.weighted - known.log_partition),
                f"{name}_{arm}_gap": found.gap,
            }
            if isinstance(target, GaussianMixture):
                figures[f"{name}_{arm}_modes"] = target.modes(trainer.sample(self.options.draws, judge))
                curves[arm] = _course(trainer.history)
        return figures | {"crossed": crossed, "curves": curves}

    def _steps(self, name: str) -> int:
        return max(2, round(self.options.effort * _TARGETS[name][1]))


def _course(history: list[dict[str, float]]) -> list[list[float]]:
    """Return `[steps, mean loss]` of up to forty stretches of a training."""
    length = max(1, len(history) // _POINTS)
    parts = [history[at : at + length] for at in range(0, len(history) - length + 1, length)]
    return [[part[-1]["step"] for part in parts], [sum(row["loss"] for row in part) / len(part) for part in parts]]
