"""Rank by Pareto fronts, the lonelier first within one."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from data.records import FloatArray, Prediction
from models.acquisition.base import BaseAcquisition, stacked
from models.acquisition.measured import feasible_whole
from models.acquisition.pareto import pareto_fronts
from models.protocols import Scoring
from models.registry import Component


class ParetoRank(BaseAcquisition):
    """Minus the number of the candidate's front, plus less than 1 for distance from its neighbours in it.

    `among: candidates` sorts the candidates themselves: the order of NSGA-II, which ranks a pool and rewards no
    generator, since it depends on who else is there. `among: measured` gives minus the number of measured fronts that
    dominate the candidate, whoever else is asked for.

    Reference: Deb, Pratap, Agarwal and Meyarivan, NSGA-II, IEEE Trans. Evol. Comput. 6 (2002).
    """

    kind = "pareto_rank"
    cites = ("deb2002nsga2",)
    objectives = 2

    class Options(Component.Options):
        """Options of the Pareto rank."""

        among: Literal["candidates", "measured"] = Field("candidates", description="whose fronts are counted")
        beta: float = Field(0.0, ge=0, description="standard deviations added to the mean of each objective")

    @property
    def relative(self) -> bool:
        """Whether a score depends on the other candidates."""
        return bool(self.options.among == "candidates")

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores, whole numbers plus less than 1."""
        mean, std = stacked(predicted)
        values = mean + self.options.beta * std
        if self.options.among == "measured":
            return _beaten_fronts(values, feasible_whole(about, values.shape[1]))
        return crowded_order(values)


def crowded_order(values: FloatArray) -> FloatArray:
    """Return minus the number of each point's front, plus less than 1 for its distance from neighbours, shape `(m,)`.

    Args:
        values: shape `(m, K)`, no NaN.
    """
    out = np.empty(len(values))
    for rank, front in enumerate(pareto_fronts(values)):
        crowding = crowding_distance(values[front])
        # Infinite at the ends of a front; 1 / (1 + 1/c) keeps the order and stays below 1.
        out[front] = -rank + 0.999 / (1.0 + 1.0 / np.maximum(crowding, 1e-12))
    return out


def crowding_distance(values: FloatArray) -> FloatArray:
    """Return each front member's distance between its two neighbours, summed over objectives in ranges, `(f,)`.

    The two ends of each objective have infinity.

    Args:
        values: shape `(f, K)`.
    """
    total = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        width = ordered[-1] - ordered[0]
        total[order[1:-1]] += (ordered[2:] - ordered[:-2]) / (width if width > 0 else 1.0)
        total[(column == ordered[0]) | (column == ordered[-1])] = np.inf
    return total


def _beaten_fronts(values: FloatArray, measured: FloatArray) -> FloatArray:
    beaten = np.zeros(len(values))
    for front in pareto_fronts(measured):
        rivals = measured[front][None, :, :]
        over = np.all(rivals >= values[:, None, :], axis=2) & np.any(rivals > values[:, None, :], axis=2)
        beaten += np.any(over, axis=1)
    return -beaten
