"""Whole Pareto fronts, and of the last one the members that are farthest apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from models.acquisition.pareto import pareto_fronts
from models.acquisition.standing import violation
from models.protocols import Pool
from models.selectors.base import DistanceSelector, Indices, needs
from models.selectors.geometry import squared_distances, train_distances


class ParetoDiverse(DistanceSelector):
    """Fronts of mutually undominated candidates, the first front first; within a front by max-min distance.

    The criteria are the predicted means of the objectives to improve. With one objective they are its mean and its
    standard deviation: what is both better and surer to teach something comes first. Whose predicted means break a
    limit follow those who keep to all, the least breach first. The measured objects, where the pool has them, and what
    is chosen already count as neighbours. Without either, the first choice is the best score.

    Reference: Deb, Pratap, Agarwal and Meyarivan, NSGA-II, IEEE Trans. Evol. Comput. 6 (2002), with distance between
    molecules in place of crowding; mean and deviation as criteria: De Ath et al., Greed Is Good, ACM TELO 1 (2021).
    """

    kind = "pareto_diverse"
    cites = ("deb2002nsga2", "death2021greed")
    wants_train = True

    class Options(DistanceSelector.Options):
        """Options of the Pareto-diverse selection."""

        pool: int | None = Field(None, ge=1, description="best scores to choose from, at least the batch; null: all")

    def _pick(self, pool: Pool, n: int) -> list[int]:
        geometry = self.geometry(pool, train=True)
        nearest = np.full(len(pool), np.inf)
        for _, distances in train_distances(geometry):
            nearest = np.minimum(nearest, distances.min(1))
        chosen: list[int] = []
        for front in self._fronts(pool):
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

    def _fronts(self, pool: Pool) -> Iterator[Indices]:
        if not pool.predictions:
            raise ValueError(needs(self, "predictions", "Give the pool what its scores were made of."))
        improved = [pool.predictions[k] for k in pool.improved]
        one = improved[0]
        criteria = np.column_stack([each.mean for each in improved] if len(improved) > 1 else [one.mean, one.std])
        broken = violation(np.column_stack([each.mean for each in pool.predictions]), pool.about)
        allowed = np.flatnonzero(broken == 0)
        for front in pareto_fronts(criteria[allowed]):
            yield allowed[front]
        for amount in np.unique(broken[broken > 0]):
            yield np.flatnonzero(broken == amount)
