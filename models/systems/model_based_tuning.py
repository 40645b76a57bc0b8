"""Model-based asynchronous tuning: does a model over settings and training length find good ones sooner than chance?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from models.registry import Component
from models.systems.base import Bench, Check, System
from models.threads import single_thread
from models.tuning.base import Budget, Row
from models.tuning.model_based import ModelBased
from models.tuning.ranges import Range, SearchSpace, Settings
from models.tuning.samplers import SamplerSubject

PLACES = 3
"""Members in training at one time."""
FULL = 27
RANGES: dict[str, Any] = {
    "learning_rate": [1e-4, 3e-2],
    "log_z_learning_rate": [0.01, 1.0],
    "epsilon": [0.0, 0.3],
    "replay_share": [0.0, 0.75],
}


class Course:
    """A training whose error falls with its length to what its settings allow."""

    failure: str | None = None

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings, self.done = settings, 0
        self.noise = np.random.default_rng(seed)

    def train(self, units: int) -> None:
        """Train longer."""
        self.done += units

    def score(self) -> float:
        """Return minus the error, with a little noise."""
        return -(self.error(self.settings, self.done) + 0.005 * float(self.noise.normal()))

    @staticmethod
    def error(settings: Settings, units: int) -> float:
        """Return the error after a training, without noise: what the settings allow, and what is still to be learnt."""
        rate, momentum, decay = math.log10(settings["rate"]), settings["momentum"], math.log10(settings["decay"])
        reached = 0.15 * (rate + 2.5) ** 2 + 0.6 * (momentum - 0.7) ** 2 + 0.03 * (decay + 4.0) ** 2
        slowness = 1.0 + 0.5 * (rate + 2.0) ** 2
        return float(reached + 0.5 * slowness / (units + 1.0))


@dataclass(frozen=True)
class Courses:
    """A search space with known courses of training; the best error after a training in full is known too."""

    units: int = FULL
    space: SearchSpace = SearchSpace(  # noqa: RUF009  # nothing of it changes
        {"rate": Range(1e-5, 1.0), "momentum": Range(0.0, 0.99), "decay": Range(1e-6, 1e-1)}
    )

    @property
    def settings(self) -> Settings:
        """What is tried first."""
        return {"rate": 1e-1, "momentum": 0.0, "decay": 1e-2}

    def member(self, settings: Settings, seed: int) -> Course:
        """Return a training before its first unit."""
        return Course(settings, seed)

    def company(self, settings: list[Settings], seeds: list[int]) -> list[Any]:
        """Return trainings; there is nothing to share."""
        return [self.member(*one) for one in zip(settings, seeds, strict=True)]


class ModelBasedTuningClaim(System["ModelBasedTuningClaim.Options"]):
    """Settings proposed by a model of settings and training length, against settings drawn at random."""

    kind: ClassVar[str] = "model_based_tuning"
    cites: ClassVar[tuple[str, ...]] = ("klein2020model", "li2020system")
    title: ClassVar[str] = "MOBSTER, model-based asynchronous tuning"
    claim: ClassVar[str] = (
        "Rungs that end poor trainings early find good settings sooner than training all in full, and a Gaussian "
        "process over settings and training length finds them sooner still."
    )
    protocol: ClassVar[str] = (
        "Known courses of training over three settings, 27 units in full, rungs at 3, 9 and 27, three members at one "
        "time, 270 units in all: error of the settings that were chosen, were they trained in full, mean over repeats. "
        "Then a sampler: grid 16 x 16, four options, the same rungs, 3,000 steps in all: exact total variation of the "
        "best. Arms: model and rungs; rungs alone; trainings in full with random settings."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("tuner", "model_based"),)
    settings: ClassVar[tuple[str, ...]] = ("discover tune FILE --method model_based",)
    example: ClassVar[str] = "campaigns/samplers/hypergrid.yaml"
    axes: ClassVar[tuple[str, str]] = ("Units of training", "Mean error of the best so far (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            "on known courses the model and rungs choose better settings than rungs alone",
            "model_error",
            "rungs_error",
            at_most=0.0,
        ),
        Check("rungs alone choose better settings than trainings in full", "rungs_error", "full_error", at_most=0.0),
        Check(
            "the sampler of model and rungs is nearer to its law than that of rungs alone",
            "model_tv",
            "rungs_tv",
            at_most=0.0,
        ),
        Check("it is nearer to its law than the best of random trainings in full", "model_tv", "full_tv", at_most=0.0),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        repeats: int = Field(3, ge=1, description="searches on the known courses")
        units: int = Field(10 * FULL, ge=2, description="units of training of each of them")
        steps: int = Field(3000, ge=2, description="steps of all trainings of a sampler")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Search on known courses and for a sampler, in each arm; return errors and distances."""
        options = self.options
        arms = {"model": ModelBased(), "rungs": ModelBased(model=False), "full": ModelBased(model=False, rungs=1)}
        figures, curves = dict[str, Any](), dict[str, list[list[float]]]()
        total = len(arms) * (options.repeats + 1)
        with single_thread():
            for place, (name, tuner) in enumerate(arms.items()):
                errors, courses = [], []
                for repeat in range(options.repeats):
                    found = tuner.search(Courses(), PLACES, Budget(units=options.units), seed=1000 * seed + repeat)
                    errors.append(Course.error(found.settings, FULL))
                    courses.append(_so_far(found.rows, options.units))
                    bench.progress(place * (options.repeats + 1) + repeat + 1, total, {"error": errors[-1]})
                figures[f"{name}_error"] = float(np.mean(errors))
                curves[name] = [list(map(float, range(FULL, options.units + 1, FULL))), np.mean(courses, 0).tolist()]
                each = max(1, options.steps // 10)
                subject = SamplerSubject.of(_grid(each), RANGES, units=each, home=bench.home, base=Path())
                found = tuner.search(subject, PLACES, Budget(units=options.steps), seed=seed)
                figures[f"{name}_tv"] = -found.score
                bench.progress((place + 1) * (options.repeats + 1), total, {"tv": -found.score})
        return {**figures, "curves": curves}


def _so_far(rows: list[Row], units: int) -> list[float]:
    """Return the least error that any member had shown by 27, 54, ... units of the search, were it trained in full."""
    spent, reached = 0, dict[int, int]()
    best, course = math.inf, list[tuple[int, float]]()
    for row in rows:
        spent += row.units - reached.get(row.member, 0)
        reached[row.member] = row.units
        best = min(best, Course.error(row.settings, FULL))
        course.append((spent, best))
    first = course[0][1]
    return [([value for at, value in course if at <= end] or [first])[-1] for end in range(FULL, units + 1, FULL)]


def _grid(steps: int) -> dict[str, Any]:
    return {
        "environment": {"kind": "hypergrid", "dimensions": 2, "height": 16},
        "policy": {"kind": "mlp", "hidden": [64, 64]},
        "training": {"steps": steps, "batch_size": 16, "learning_rate": 1e-3, "epsilon": 0.0, "replay_share": 0.0},
    }
