"""Sampler trainings for the claims: what a sampler file says, trained in this process, with its course."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from data.sampler_config import parse_sampler
from models.gflownet.judging.study import Session, Study, build_study
from models.systems.base import Bench
from models.threads import single_thread


@dataclass(frozen=True)
class Training:
    """A training that has ended.

    Attributes:
        session: with the trained policy, and its evaluator.
        history: a row of metrics per step.
        batch_size: trajectories per step.
    """

    study: Study
    session: Session
    history: list[dict[str, float]]
    batch_size: int

    @property
    def last(self) -> dict[str, float]:
        """Figures of the last evaluation."""
        return self.history[-1]

    def curve(self, name: str) -> list[list[float]]:
        """Return a figure against the trajectories drawn, `[x, y]`."""
        rows = [row for row in self.history if name in row]
        return [[row["step"] * self.batch_size for row in rows], [row[name] for row in rows]]

    def first_below(self, name: str, bound: float) -> float:
        """Return after how many trajectories a figure stayed at or below a bound; if it never did, all of them."""
        return stayed_below(self.curve(name), bound, float(len(self.history) * self.batch_size))


def stayed_below(curve: list[list[float]], bound: float, never: float) -> float:
    """Return the x from which on all y of a curve `[x, y]` are at or below a bound; `never` if the last is not."""
    reached = never
    for x, y in reversed(list(zip(*curve, strict=True))):
        if y > bound:
            break
        reached = x
    return reached


def on_policy(steps: int, **changes: Any) -> dict[str, Any]:
    """Return the section `training` of a sampler file as grids are trained in the papers: no exploration, no replay.

    Args:
        steps: of the training, which is judged forty times.
        changes: what is other, or more.
    """
    return {
        "steps": steps,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "log_z_learning_rate": 0.1,
        "schedule": "constant",
        "epsilon": 0.0,
        "replay_share": 0,
        "evaluate_every": max(1, steps // 40),
        **changes,
    }


def train(
    config: Mapping[str, Any],
    seed: int,
    bench: Bench,
    *,
    progress: Callable[[int, int, Mapping[str, float]], None] | None = None,
) -> Training:
    """Train what a sampler file says.

    Args:
        config: of a sampler file; its seeds are not used.
        seed: of the training.
        bench: tells where the public tables are.
        progress: called after every step; None: the bench is told.

    Raises:
        ConfigError, ComponentError, ObtainError: what it names cannot be used.
        TrainingError: something is not finite.
    """
    study = build_study(parse_sampler(config), home=bench.home, base=bench.home)
    session = study.start(seed)
    with single_thread():
        session.trainer.train(report=progress or bench.progress)
    return Training(study, session, session.trainer.history, study.options.batch_size)
