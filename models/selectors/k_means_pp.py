"""Draws in proportion to the squared distance from what is there: the seeding of k-means++."""

from __future__ import annotations

import numpy as np

from models.protocols import Pool
from models.selectors.base import DistanceSelector
from models.selectors.geometry import squared_distances
from models.selectors.lcmd import nearest_train


class KMeansPlusPlus(DistanceSelector):
    """Each choice is drawn with probability proportional to the squared distance from the nearest centre.

    Centres are the measured objects and what is chosen already; where nothing is measured the first choice is uniform.
    When only copies of centres are left they are taken by score. Draws come from the pool's seed. Time is
    O(m (b + t) d), memory O(m) beside the pool.

    Reference: Arthur and Vassilvitskii, k-means++: The Advantages of Careful Seeding, SODA (2007); as the selection of
    BADGE: Ash et al., Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds, ICLR (2020).
    """

    kind = "k_means_pp"
    cites = ("arthur2007kmeans", "ash2020badge")
    wants_train = True

    def _pick(self, pool: Pool, n: int) -> list[int]:
        geometry = self.geometry(pool, train=True)
        _, squared = nearest_train(geometry)
        rng = np.random.default_rng(pool.seed)
        free = np.ones(len(pool), dtype=bool)
        chosen: list[int] = []
        if not len(geometry.train_diagonal):
            squared = np.ones(len(pool))
        while len(chosen) < n:
            total = np.cumsum(squared)
            if total[-1] > 0:
                # The draw is in (0, total], and a candidate without distance has no share of it.
                at = int(np.searchsorted(total, total[-1] * (1.0 - rng.random()), side="left"))
            else:
                at = int(np.flatnonzero(free)[0])
            new = squared_distances(geometry, at)
            first = not chosen and not len(geometry.train_diagonal)
            squared = new if first else np.minimum(squared, new)
            chosen.append(at)
            free[at] = False
            squared[chosen] = 0.0
        return chosen
