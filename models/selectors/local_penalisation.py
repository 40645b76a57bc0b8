"""The best score, then the best outside the balls that the chosen ones are thought to dominate."""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr

from data.records import FloatArray
from models.protocols import Pool
from models.selectors.base import DistanceSelector, needs
from models.selectors.geometry import Geometry, squared_distances

SLOPE_MEMBERS = 100


class LocalPenalisation(DistanceSelector):
    """Greedy maximisation of the score times one penalty per chosen member.

    If the function changes by at most L per unit of distance, a chosen member j excludes the optimum from the ball of
    radius (M - f(j)) / L. The penalty of a candidate at distance d is the probability to lie outside of it,
    `Phi((L d - M + mean_j) / std_j)`, with M the best value and L the steepest slope of the predicted mean between the
    100 best members. Scores that are no logarithms pass through `log softplus`, standardised. Time is O(m b d).

    Reference: González, Dai, Hennig and Lawrence, Batch Bayesian Optimization via Local Penalization, AISTATS (2016).
    """

    kind = "local_penalisation"
    cites = ("gonzalez2016penalization",)
    of_one_objective = True

    def _pick(self, pool: Pool, n: int) -> list[int]:
        if pool.prediction is None:
            raise ValueError(needs(self, "a prediction", "Give the pool what its scores were made of."))
        mean, std = pool.prediction.mean, pool.prediction.std
        geometry = self.geometry(pool, train=False)
        slope = steepest(geometry, mean)
        top = float(mean.max()) if pool.best is None else max(pool.best, float(mean.max()))
        value = pool.scores.copy() if pool.log_scores else _log_softplus(pool.scores)
        chosen: list[int] = []
        while True:
            at = int(np.argmax(value))
            chosen.append(at)
            if len(chosen) == n:
                return chosen
            distance = np.sqrt(squared_distances(geometry, at))
            value += log_ndtr((slope * distance - top + mean[at]) / std[at])
            value[chosen] = -np.inf


def steepest(geometry: Geometry, mean: FloatArray) -> float:
    """Return the largest slope of the mean between two of the first 100 members; copies have none. At least 1e-300."""
    slope = 0.0
    for i in range(min(SLOPE_MEMBERS, len(mean))):
        distance = np.sqrt(squared_distances(geometry, i)[:SLOPE_MEMBERS])
        apart = distance > 0
        rise = np.abs(mean[:SLOPE_MEMBERS] - mean[i])[apart]
        slope = max(slope, float((rise / distance[apart]).max(initial=0.0)))
    return max(slope, 1e-300)


def _log_softplus(scores: FloatArray) -> FloatArray:
    spread = float(scores.std())
    z = (scores - scores.mean()) / (spread if spread > 0 else 1.0)
    return np.asarray(np.log(np.logaddexp(0.0, z)))
