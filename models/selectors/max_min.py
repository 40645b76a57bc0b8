"""A diverse batch from the best scores: greedy max-min distance."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from data.molecules import tanimoto
from data.records import FloatArray
from models.acquisition.top_k import ranking
from models.protocols import Array
from models.registry import Component


class MaxMin(Component):
    """From the `pool` best scores, the best one, then always the one farthest from its nearest chosen neighbour.

    Distance is 1 - Tanimoto (min-max) similarity of Morgan counts; ties go to the better score, then to the lower
    index. Time is n similarities with the pool, memory one number per member of it.

    Reference: Gonzalez, Clustering to minimize the maximum intercluster distance, Theor. Comput. Sci. 38 (1985);
    for molecules: Ashton et al., Quant. Struct.-Act. Relat. 21 (2002).
    """

    group = "selector"
    kind = "max_min"
    reference = "Gonzalez, Theor. Comput. Sci. 38, 293 (1985); Ashton et al., Quant. Struct.-Act. Relat. 21, 598 (2002)"

    class Options(Component.Options):
        """Options of the max-min selection."""

        pool: int = Field(200, ge=1, description="best scores to choose from; at least the batch")

    def select(self, scores: FloatArray, fingerprints: Array, n: int) -> list[int]:
        """Return at most n distinct indices into `scores`, in the order of choice.

        Args:
            scores: shape `(m,)`, larger is better, no NaN.
            fingerprints: shape `(m, d)`, non-negative integer counts.
            n: size of the batch.

        Raises:
            ValueError: a score is NaN, or the two lengths differ.
        """
        if len(fingerprints) != len(scores):
            raise ValueError(
                f"Selection needs one fingerprint per score; got {len(fingerprints)} fingerprints and "
                f"{len(scores)} scores."
            )
        order = ranking(scores)[: max(self.options.pool, n)]
        n = min(max(n, 0), len(order))
        if n == 0:
            return []
        # In `order` the better score, then the lower index, comes first: the first maximum is the tie's winner.
        pool = fingerprints[order]
        chosen = [0]
        nearest = 1.0 - tanimoto(pool, pool[:1])[:, 0]
        nearest[0] = -np.inf
        while len(chosen) < n:
            at = int(np.argmax(nearest))
            chosen.append(at)
            nearest = np.minimum(nearest, 1.0 - tanimoto(pool, pool[at : at + 1])[:, 0])
            nearest[at] = -np.inf
        return [int(order[i]) for i in chosen]
