"""Diversity via determinants: does a population that is judged together find more of what there is to find?"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data.records import FloatArray
from models.registry import Component
from models.systems.base import Bench, Check, System
from models.tuning.diversity import WEIGHTS, WeightBandit, joint_objective, log_volume

MEMBERS = 4
PEAKS = np.array([[1.5, 0.0], [0.0, 1.8], [-2.1, 0.0], [0.0, -2.4]])
"""Equally high; the start is nearest to the first."""
REACH = 1.0
"""Standard deviation of a peak."""
PROBES, STEP, SPREAD = 40, 0.1, 0.2
"""Perturbations of the whole population in an iteration, how far it moves, and how large they are."""
HELD = 0.9
"""Reward of a member that holds a peak."""


def rewards(places: FloatArray) -> FloatArray:
    """Return the rewards of members, shape `(..., n)`: that of the nearest peak, 1 on its top."""
    squares = np.square(places[..., None, :] - PEAKS).sum(-1).min(-1)
    return np.asarray(np.exp(-0.5 * squares / REACH**2))


def peaks_held(places: FloatArray) -> int:
    """Return on how many peaks there is a member."""
    nearest = np.square(places[:, None] - PEAKS).sum(-1).argmin(-1)
    return len(set(nearest[rewards(places) >= HELD].tolist()))


class DiversePopulationClaim(System["DiversePopulationClaim.Options"]):
    """A population moved by rewards and by the volume of its behaviours, against one moved by rewards alone."""

    kind: ClassVar[str] = "diverse_population"
    cites: ClassVar[tuple[str, ...]] = ("parker2020effective",)
    title: ClassVar[str] = "DvD, diversity via determinants"
    claim: ClassVar[str] = (
        "Members that are moved together, by their rewards and by the determinant of a kernel between their "
        "behaviours, find several equally good solutions where members that are moved by rewards alone find one; a "
        "bandit that chooses how much the determinant counts loses no reward."
    )
    protocol: ClassVar[str] = (
        "Four members in the plane with four equally high peaks, one nearer to the start than the others. Evolution "
        "strategy on the whole population, 40 perturbations in an iteration; behaviour is the place. Weight of the log-"
        "determinant 0, 0.5, and chosen by the bandit after each ten iterations. Peaks with a member on them, and the "
        "best and mean reward, at the end; means over repeats. What shares of a union (`diversity: true`) gain in "
        "campaigns is not measured here."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("generator", "union"),)
    settings: ClassVar[tuple[str, ...]] = ("generator: {kind: union, diversity: true}",)
    example: ClassVar[str] = "campaigns/own_data/campaign.yaml"
    axes: ClassVar[tuple[str, str]] = ("Iteration", "Peaks with a member on them")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("with the determinant more peaks are held than without", "fixed_peaks", "none_peaks", at_least=0.0),
        Check("with the bandit more peaks are held than without", "bandit_peaks", "none_peaks", at_least=0.0),
        Check("with the bandit at least three of the four are held", "bandit_peaks", at_least=3.0),
        Check("with the bandit the best member loses less than 0.02 of its reward", "bandit_lost", at_most=0.02),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        iterations: int = Field(400, ge=10, description="of each population")
        repeats: int = Field(10, ge=1, description="populations of each arm")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Move populations in each arm; return peaks held and rewards."""
        arms = ("none", "fixed", "bandit")
        figures, curves = dict[str, Any](), dict[str, list[list[float]]]()
        for place, arm in enumerate(arms):
            ended, courses = [], []
            for repeat in range(self.options.repeats):
                rng = np.random.default_rng([seed, repeat])
                population, course = self._moved(arm, rng)
                ended.append(population)
                courses.append(course)
                done = place * self.options.repeats + repeat + 1
                bench.progress(done, len(arms) * self.options.repeats, {"peaks": float(peaks_held(population))})
            figures |= {
                f"{arm}_peaks": float(np.mean([peaks_held(one) for one in ended])),
                f"{arm}_best": float(np.mean([rewards(one).max() for one in ended])),
                f"{arm}_mean": float(np.mean([rewards(one).mean() for one in ended])),
            }
            curves[arm] = [list(map(float, range(len(courses[0])))), np.mean(courses, 0).tolist()]
        return {**figures, "bandit_lost": figures["none_best"] - figures["bandit_best"], "curves": curves}

    def _moved(self, arm: str, rng: np.random.Generator) -> tuple[FloatArray, list[int]]:
        places = 0.1 * rng.standard_normal((MEMBERS, 2))
        bandit, chosen, before = WeightBandit(), 0, -np.inf
        course = []
        for iteration in range(self.options.iterations):
            if arm == "bandit" and iteration % 10 == 0:
                now = float(rewards(places).mean())
                if iteration:
                    bandit.learn(chosen, now > before)
                chosen, before = bandit.chosen(rng), now
            weight = {"none": WEIGHTS[0], "fixed": WEIGHTS[1]}.get(arm, WEIGHTS[chosen])
            noise = rng.standard_normal((PROBES, MEMBERS, 2))
            noise = np.concatenate([noise, -noise])
            tried = places + SPREAD * noise
            volumes = np.array([log_volume(one) for one in tried])
            worth = joint_objective(rewards(tried).mean(1), volumes, weight)
            places = places + STEP * np.tensordot(worth, noise, 1) / len(noise)
            course.append(peaks_held(places))
        return places, course
