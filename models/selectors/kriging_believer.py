"""The best score, believed to be measured, and again: a batch by hallucinated measurements."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from data.records import Prediction
from models.protocols import Pool
from models.selectors.base import needs, ranking
from models.selectors.crowding import Crowd, CrowdedSelector
from models.selectors.thompson import joint_of


class KrigingBeliever(CrowdedSelector):
    """Takes the best score, believes that its predicted mean was measured there, and scores all again.

    A believed mean leaves every mean as it is and lowers the variance of what is correlated with it; with an
    acquisition that looks at the best value, that rises to the believed one. The pool's `rescore` gives the scores of
    the campaign's acquisition; with the upper confidence bound this is GP-BUCB. One column of a pivoted Cholesky factor
    per choice: O(m b^2) time for m members and a batch of b. With `crowd` not more than so many are alike.

    Reference: Ginsbourger, Le Riche and Carraro, Kriging is well-suited to parallelize optimization (2010); Desautels,
    Krause and Burdick, Parallelizing Exploration-Exploitation Tradeoffs, JMLR 15 (2014).
    """

    kind = "kriging_believer"
    reference = "Ginsbourger, Le Riche and Carraro (2010); Desautels, Krause and Burdick, JMLR 15, 3873 (2014)"

    wants_joint = True

    class Options(CrowdedSelector.Options):
        """Options of the kriging believer."""

        pool: int | None = Field(500, ge=1, description="best scores to choose from, at least the batch; null: all")

    def _pick(self, pool: Pool, n: int) -> list[int]:
        if pool.prediction is None or pool.rescore is None:
            raise ValueError(needs(self, "a prediction and `rescore`", "Give the pool the acquisition's scores."))
        _, covariance = joint_of(self, pool)
        predicted = pool.prediction
        latent = covariance.diagonal()
        noise = np.maximum(np.square(predicted.std) - latent, 1e-10 * np.square(predicted.std))
        everybody = range(len(pool))
        factor, left = np.empty((n, len(pool))), np.maximum(latent, 0.0)
        chosen, best, scores = [0], pool.best, pool.scores.copy()
        crowd, taken = Crowd(self, pool), np.zeros(len(pool), dtype=bool)
        while len(chosen) < n:
            at, done = chosen[-1], len(chosen) - 1
            crowd.add(at)
            believed = float(predicted.mean[at])
            best = believed if best is None else max(best, believed)
            known = factor[:done, at] @ factor[:done]
            factor[done] = (covariance[at] - known) / np.sqrt(left[at] + noise[at])
            left = np.maximum(left - np.square(factor[done]), 0.0)
            scores = np.array(pool.rescore(everybody, Prediction(predicted.mean, np.sqrt(left + noise)), best))
            scores[chosen] = -np.inf
            # Less deviation may forbid all that are left, as by a constrained bound: then the better score before.
            taken[at] = True
            order = ranking(scores)
            free = order[~taken[order]]
            fitting = free[~crowd.full[free] & (scores[free] > -np.inf)]
            chosen.append(int(fitting[0] if len(fitting) else free[0]))
        return chosen
