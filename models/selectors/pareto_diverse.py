"""Whole Pareto fronts, and of the last one the members that are farthest apart."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from data.records import FloatArray
from models.acquisition.pareto import pareto_fronts
from models.protocols import Pool
from models.selectors.base import DistanceSelector, needs
from models.selectors.geometry import squared_distances, train_distances


class ParetoDiverse(DistanceSelector):
    """Fronts of mutually undominated candidates, the first front first; within a front by max-min distance.

    The criteria are the predicted means of the objectives. With one objective they are its mean and its standard
    deviation: what is both better and surer to teach something comes first. The measured objects, where the pool has
    them, and what is chosen already count as neighbours. Without either, the first choice is the best score.

    Reference: Deb, Pratap, Agarwal and Meyarivan, NSGA-II, IEEE Trans. Evol. Comput. 6 (2002), with distance between
    molecules in place of crowding; mean and deviation as criteria: De Ath et al., Greed Is Good, ACM TELO 1 (2021).
    """

    kind = "pareto_diverse"
    reference = "Deb et al., IEEE Trans. Evol. Comput. 6, 182 (2002); De Ath et al., ACM TELO 1 (2021)"
    wants_train = True

    class Options(DistanceSelector.Options):
        """Options of the Pareto-diverse selection."""

        pool: int | None = Field(None, ge=1, description="best scores to choose from, at least the batch; null: all")

    def _pick(self, pool: Pool, n: int) -> list[int]:
        criteria = self._criteria(pool)
        geometry = self.geometry(pool, train=True)
        nearest = np.full(len(pool), np.inf)
        for _, distances in train_distances(geometry):
            nearest = np.minimum(nearest, distances.min(1))
        chosen: list[int] = []
        for front in pareto_fronts(criteria):
            free = np.zeros(len(pool), dtype=bool)
            free[front] = True
            for _ in range(min(len(front), n - len(chosen))):
                at = int(np.argmax(np.where(free, nearest, -np.inf)))
                chosen.append(at)
                free[at] = False
                nearest = np.minimum(nearest, squared_distances(geometry, at))
            if len(chosen) == n:
                break
        return chosen

    def _criteria(self, pool: Pool) -> FloatArray:
        if pool.objectives:
            return np.column_stack([prediction.mean for prediction in pool.objectives])
        if pool.prediction is None:
            raise ValueError(needs(self, "predictions", "Give the pool what its scores were made of."))
        return np.column_stack([pool.prediction.mean, pool.prediction.std])
