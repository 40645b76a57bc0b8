"""Diversity via determinants: a population is worth its rewards and the volume that its behaviours span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data.records import FloatArray

CITES = ("parker2020effective",)
WEIGHTS = (0.0, 0.5)
"""Of the volume, between which the bandit chooses."""
WINDOW = 50
"""Outcomes that the bandit remembers."""
JITTER = 1e-6


def log_volume(behaviours: FloatArray) -> float:
    """Return the log-determinant of `K_ij = exp(-|e_i - e_j|^2 / 2)`, at most 0; two members alike make it small.

    Args:
        behaviours: one row for each member, shape `(n, d)`.

    Reference: Parker-Holder, Pacchiano, Choromanski and Roberts, Effective diversity in population based reinforcement
    learning (2020), arXiv:2002.00632, definition 3.2. The jitter is ours: the determinant of members that are alike is
    0, and its logarithm would be of no use.
    """
    squares = np.square(behaviours[:, None] - behaviours[None]).sum(-1)
    kernel = np.exp(-0.5 * squares) + JITTER * np.eye(len(behaviours))
    return float(np.linalg.slogdet(kernel)[1])


def added_volume(behaviours: FloatArray) -> FloatArray:
    """Return what each member adds to the log-determinant, shape `(n,)`: near 0 if it is like no other."""
    whole = log_volume(behaviours)
    return np.array([whole - log_volume(np.delete(behaviours, row, 0)) for row in range(len(behaviours))])


def standardised(values: FloatArray) -> FloatArray:
    """Return values less their mean, over their standard deviation; zeros where they do not differ."""
    deviation = float(values.std())
    return (values - values.mean()) / deviation if deviation > 0 else np.zeros_like(values)


def joint_objective(rewards: FloatArray, volumes: FloatArray, weight: float) -> FloatArray:
    """Return `(1 - w) z(reward) + w z(volume)` of m alternatives, shape `(m,)`; z is taken over the alternatives."""
    return (1.0 - weight) * standardised(rewards) + weight * standardised(volumes)


class WeightBandit:
    """Chooses the weight of the volume by Thompson sampling from Beta posteriors of the last outcomes.

    An outcome is whether the population got better while a weight was in force.
    """

    def __init__(self, outcomes: Sequence[tuple[int, bool]] = ()) -> None:
        self.outcomes = [(int(arm), bool(better)) for arm, better in outcomes][-WINDOW:]

    def chosen(self, rng: np.random.Generator) -> int:
        """Return the place of a weight in `WEIGHTS`."""
        draws = []
        for arm in range(len(WEIGHTS)):
            won = sum(better for one, better in self.outcomes if one == arm)
            lost = sum(not better for one, better in self.outcomes if one == arm)
            draws.append(float(rng.beta(1 + won, 1 + lost)))
        return int(np.argmax(draws))

    def learn(self, arm: int, better: bool) -> None:
        """Take in what came of a weight."""
        self.outcomes = [*self.outcomes, (arm, better)][-WINDOW:]

    def state(self) -> list[list[int]]:
        """Return the outcomes, from which another one goes on."""
        return [[arm, int(better)] for arm, better in self.outcomes]

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> WeightBandit:
        """Return the bandit whose outcomes a state has; a new one where it has none."""
        return cls([(arm, bool(better)) for arm, better in state.get("outcomes", [])])
