"""SEARL: how many rewards does a population ask for if all members learn from what any of them met?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from models.gflownet.rewards.base import Judged
from models.registry import Component
from models.systems.base import Bench, Check, System
from models.systems.training import stayed_below
from models.threads import single_thread
from models.tuning.base import Budget, Row, Tuner
from models.tuning.population import Population
from models.tuning.samplers import SamplerSubject
from models.tuning.shared_replay import SharedReplay

POPULATION = 4
NEAR = 0.1
"""Total variation of the best member that counts as having learnt the law."""
RANGES: dict[str, Any] = {"learning_rate": [1e-3, 1e-2], "log_z_learning_rate": [0.03, 0.3], "epsilon": [0.0, 0.2]}


@dataclass
class Counted:
    """A reward that counts for how many drawn objects it is asked.

    Attributes:
        reward: the reward.
        most: objects of a batch; asked for more at once, it is for a judgement, which is not counted.
    """

    reward: Callable[[Any], Judged]
    most: int
    calls: int = 0

    def __call__(self, states: Any) -> Judged:
        """Return what the reward says."""
        self.calls += len(states) if len(states) <= self.most else 0
        return self.reward(states)


class SharedReplayClaim(System["SharedReplayClaim.Options"]):
    """A population with one replay, against one whose members learn each from its own."""

    kind: ClassVar[str] = "shared_replay"
    cites: ClassVar[tuple[str, ...]] = ("franke2021sample", "jaderberg2017population")
    title: ClassVar[str] = "SEARL, an evolving population with a shared replay"
    claim: ClassVar[str] = (
        "A population that shares the experience of all its members tunes itself for several times less experience "
        "than one whose members learn from their own alone, and trains as well."
    )
    protocol: ClassVar[str] = (
        "Grid 16 x 16, trajectory balance off-policy: half of each batch of 16 is drawn anew, half comes from the "
        "replay. Four members over learning rates and epsilon, the same steps and generations: with a shared replay "
        "and evolution, against population based training with a replay for each. Rewards asked for until the exact "
        "total variation of the best member stays below 0.1, and its total variation at the end."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("tuner", "shared_replay"),)
    settings: ClassVar[tuple[str, ...]] = ("discover tune FILE --method shared_replay",)
    example: ClassVar[str] = "campaigns/samplers/hypergrid.yaml"
    axes: ClassVar[tuple[str, str]] = ("Rewards asked for by all members (log)", "Total variation of the best (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("the shared population learns the law", "shared_tv", at_most=NEAR),
        Check(
            "it needs fewer rewards than members with replays of their own", "shared_calls", "own_calls", at_most=0.0
        ),
        Check("it needs at most half as many", "calls_ratio", at_most=0.5),
        Check("after the same steps it ends as near to the law (within 0.02)", "tv_lost", at_most=0.02),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(800, ge=4, description="steps of each member")
        rounds: int = Field(20, ge=1, description="generations")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train both populations; return rewards needed and distances at the end."""
        steps, rounds = self.options.steps, min(self.options.rounds, self.options.steps)
        arms: dict[str, Tuner[Any]] = {
            "shared": SharedReplay(rounds=rounds),
            "own": Population(rounds=rounds, share=0.25),
        }
        figures, curves = dict[str, Any](), dict[str, list[list[float]]]()
        for place, (name, tuner) in enumerate(arms.items()):
            subject = SamplerSubject.of(_grid(), RANGES, units=steps, home=bench.home, base=Path())
            counted = Counted(subject.study.reward, _grid()["training"]["batch_size"])
            subject = replace(subject, study=replace(subject.study, reward=counted))
            asked: dict[int, int] = {}

            def tell(row: Row, place: int = place, counted: Counted = counted, asked: dict[int, int] = asked) -> None:
                asked[row.units] = counted.calls
                bench.progress(place * steps + row.units, len(arms) * steps, {"tv": -row.score})

            with single_thread():
                found = tuner.search(subject, POPULATION, Budget(), seed=seed, tell=tell)
            best = [min(-row.score for row in found.rows if row.units == units) for units in asked]
            curves[name] = [[float(calls) for calls in asked.values()], best]
            figures |= {
                f"{name}_tv": best[-1],
                f"{name}_calls": stayed_below(curves[name], NEAR, float(counted.calls)),
                f"{name}_all_calls": float(counted.calls),
            }
        ratio = figures["shared_calls"] / figures["own_calls"]
        return {**figures, "calls_ratio": ratio, "tv_lost": figures["shared_tv"] - figures["own_tv"], "curves": curves}


def _grid() -> Mapping[str, Any]:
    return {
        "environment": {"kind": "hypergrid", "dimensions": 2, "height": 16},
        "policy": {"kind": "mlp", "hidden": [64, 64]},
        "training": {"batch_size": 16, "replay_share": 0.5, "learning_rate": 3e-3, "replay": {"kind": "uniform"}},
    }
