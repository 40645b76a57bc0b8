"""Population based training: does copying the weights of better members help, on a toy and on a sampler?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from models.registry import Component
from models.systems.base import Bench, Check, System
from models.systems.training import on_policy
from models.threads import single_thread
from models.tuning.base import Budget, Row
from models.tuning.population import Population
from models.tuning.ranges import Choices, SearchSpace, Settings
from models.tuning.samplers import SamplerSubject

POPULATION = 4
SHARE = 0.5
"""Of the steps, that the search has; one training with what it found has the rest."""
EXTRA = 1.25
"""Steps of the own settings, for each of the others: judging members takes CPU time too."""
RANGES: dict[str, Any] = {
    "learning_rate": [1e-4, 1e-2],
    "log_z_learning_rate": [0.01, 1.0],
    "epsilon": [0.0, 0.3],
}


class Surrogate:
    """One member of the toy: it climbs `1.2 - (h0 t0^2 + h1 t1^2)` and is judged by `1.2 - (t0^2 + t1^2)`."""

    failure: str | None = None

    def __init__(self, settings: Settings) -> None:
        self.settings, self.done = settings, 0
        self.place = np.array([0.9, 0.9])

    def train(self, units: int) -> None:
        """Take steps of 0.02, half of the gradient being h t."""
        self.place = self.place * (1.0 - 0.02 * np.array(self.settings["h"])) ** units
        self.done += units

    def score(self) -> float:
        """Return what is to be maximised."""
        return float(1.2 - np.square(self.place).sum())

    def alter(self, settings: Settings) -> None:
        """Go on with another h."""
        self.settings = settings

    def weights(self) -> Any:
        """Return the place."""
        return self.place.copy()

    def adopt(self, weights: Any) -> None:
        """Go on from another place."""
        self.place = weights.copy()


class _OneOther(SearchSpace):
    """The second of two members sees the other coordinate alone."""

    def draw(self, rng: np.random.Generator) -> Settings:
        del rng
        return {"h": (0.0, 1.0)}


@dataclass(frozen=True)
class Toy:
    """Two members, of which each sees one coordinate of a hill; the toy of the paper's figure 2."""

    units: int = 200
    space: SearchSpace = _OneOther({"h": Choices(((1.0, 0.0), (0.0, 1.0)))})  # noqa: RUF009  # nothing of it changes

    @property
    def settings(self) -> Settings:
        """What the first member sees."""
        return {"h": (1.0, 0.0)}

    def member(self, settings: Settings, seed: int) -> Surrogate:
        """Return a member at the start."""
        del seed
        return Surrogate(settings)

    def company(self, settings: list[Settings], seeds: list[int]) -> list[Any]:
        """Return members; there is nothing to share."""
        return [self.member(*one) for one in zip(settings, seeds, strict=True)]


def climbed(seed: int, **options: Any) -> float:
    """Return the best score of the toy after 200 steps of each member, with an exploit every 4."""
    tuner = Population(rounds=50, share=0.5, factors=(1.0,), resample=0.0, **options)
    return tuner.search(Toy(), 2, Budget(), seed=seed).score


class PopulationBasedTrainingClaim(System["PopulationBasedTrainingClaim.Options"]):
    """Members that copy better ones, against members that do not, and against one long training."""

    kind: ClassVar[str] = "population_based_training"
    cites: ClassVar[tuple[str, ...]] = ("jaderberg2017population",)
    title: ClassVar[str] = "PBT, population based training"
    claim: ClassVar[str] = (
        "Members that now and then take over the weights of better ones reach what none of them reaches alone, find "
        "good settings in the course of one training, and beat settings drawn at random at equal cost."
    )
    protocol: ClassVar[str] = (
        "Toy: two members see one coordinate each of a hill that is 1.2 high, 200 steps, an exploit every 4. Sampler: "
        "grid 16 x 16 with reward 1 on three goals and 1e-6 elsewhere, trajectory balance as in the papers (batch 16, "
        "no exploration). Half of the steps go into a population of four over learning rates and epsilon, the other "
        "half into one training with what it found; the file's own settings get all steps and a quarter more, for the "
        "judgements of the search. Exact total variation at the end, and CPU time of search and training over that of "
        "the own settings."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("tuner", "population"),)
    settings: ClassVar[tuple[str, ...]] = ("discover tune FILE --method population",)
    example: ClassVar[str] = "campaigns/samplers/hypergrid.yaml"
    axes: ClassVar[tuple[str, str]] = ("Steps of the whole population", "Total variation of the best member (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("on the toy, copied weights climb above 1.15", "toy_weights", at_least=1.15),
        Check("without copying no member of the toy gets above 0.4", "toy_alone", at_most=0.4),
        Check("if what a member sees is copied too, the toy is stuck", "toy_all", at_most=0.4),
        Check("the tuned sampler ends nearer to its law than its own settings do", "tuned_tv", "own_tv", at_most=0.0),
        Check("the own settings had no less CPU time than search and training", "cpu_ratio", at_most=1.0),
        Check(
            "members that copy end nearer to the law than members that do not", "population_tv", "apart_tv", at_most=0.0
        ),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(6000, ge=16, description="steps of all members and of the training with what was found")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Climb the toy, tune the sampler, and train with what was found and with its own settings."""
        steps = self.options.steps
        figures: dict[str, Any] = {
            "toy_weights": climbed(seed, inherit="weights"),
            "toy_alone": climbed(seed, exploit="none"),
            "toy_all": climbed(seed, inherit="all"),
        }
        each = int(SHARE * steps) // POPULATION
        curves: dict[str, list[list[float]]] = {}
        done, total = 0, 2 * POPULATION * each + (steps - POPULATION * each) + int(EXTRA * steps)

        def tell(row: Row) -> None:
            bench.progress(done + (row.member + 1) * each // POPULATION, total, {"tv": -row.score})

        found, seconds = dict[str, Settings](), dict[str, float]()
        with single_thread():
            subject = SamplerSubject.of(grid(steps), RANGES, units=each, home=bench.home, base=Path())
            for name, exploit in (("population", "truncation"), ("apart", "none")):
                since = time.thread_time()
                tuner = Population(exploit=exploit, rounds=min(10, each), share=0.25)
                end = tuner.search(subject, POPULATION, Budget(), seed=seed, tell=tell)
                figures[f"{name}_tv"], found[name] = -end.score, end.settings
                seconds[name] = time.thread_time() - since
                curves[name] = best_so_far(end.rows, POPULATION)
                done += POPULATION * each
            for name, settings, units in (
                ("tuned", found["population"], steps - POPULATION * each),
                ("own", subject.settings, int(EXTRA * steps)),
            ):
                alone = SamplerSubject.of(grid(units), RANGES, units=units, home=bench.home, base=Path())
                since = time.thread_time()
                member = alone.member(settings, seed)
                while member.done < units:
                    member.train(min(100, units - member.done))
                    bench.progress(done + member.done, total, {})
                done += units
                seconds[name] = time.thread_time() - since
                figures[f"{name}_tv"] = -member.score()
        figures["cpu_ratio"] = (seconds["population"] + seconds["tuned"]) / seconds["own"]
        chosen = {key.rpartition(".")[2]: float(value) for key, value in found["population"].items()}
        return {**figures, **chosen, "curves": curves}


def grid(steps: int) -> Mapping[str, Any]:
    """Return the sampler file: a grid with three goals far apart, trained as grids are in the papers."""
    return {
        "environment": {"kind": "hypergrid", "dimensions": 2, "height": 16, "reward": "sparse", "floor": 1e-6},
        "policy": {"kind": "mlp", "hidden": [64, 64]},
        "training": on_policy(steps),
    }


def best_so_far(rows: list[Row], population: int) -> list[list[float]]:
    """Return the total variation of the best member against the steps of the whole population, `[x, y]`."""
    units = sorted({row.units for row in rows})
    best = [min(-row.score for row in rows if row.units == one) for one in units]
    return [[float(population * one) for one in units], best]
