"""A diverse batch from the best scores: greedy max-min distance."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from models.protocols import Pool
from models.selectors.base import DistanceSelector
from models.selectors.geometry import squared_distances, train_distances


class MaxMin(DistanceSelector):
    """From the `pool` best scores, the best one, then always the one farthest from its nearest chosen neighbour.

    Ties go to the better score, then to the lower index. With `train` the measured objects count as chosen, and the
    first choice is the candidate farthest from them (the core-set rule). Time is O(m b d), memory O(m) beside the pool.

    Reference: Gonzalez, Clustering to minimize the maximum intercluster distance, Theor. Comput. Sci. 38 (1985);
    for molecules: Ashton et al., Quant. Struct.-Act. Relat. 21 (2002).
    """

    kind = "max_min"
    cites = ("gonzalez1985clustering", "ashton2002diverse")

    class Options(DistanceSelector.Options):
        """Options of the max-min selection."""

        train: bool = Field(False, description="whether to keep away from the measured objects too")

    @property
    def wants_train(self) -> bool:
        """Whether the features of the measured objects are used."""
        return bool(self.options.train)

    def _pick(self, pool: Pool, n: int) -> list[int]:
        geometry = self.geometry(pool, train=self.options.train)
        nearest = np.full(len(pool), np.inf)
        for _, distances in train_distances(geometry):
            nearest = np.minimum(nearest, distances.min(1))
        chosen: list[int] = []
        while len(chosen) < n:
            # The pool is sorted by score: the first maximum is the tie's winner, and the first of all without train.
            at = int(np.argmax(nearest))
            chosen.append(at)
            nearest = np.minimum(nearest, squared_distances(geometry, at))
            nearest[chosen] = -np.inf
        return chosen
