"""The best score, believed to be measured, and again: a batch by hallucinated measurements."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from data.records import FloatArray, Prediction
from models.protocols import Pool
from models.selectors.base import needs, ranking
from models.selectors.crowding import Crowd, CrowdedSelector
from models.selectors.thompson import joint_of


class KrigingBeliever(CrowdedSelector):
    """Takes the best score, believes that its predicted means were measured there, and scores all again.

    A believed mean leaves every mean as it is and lowers the variance of what is correlated with it, in each objective
    by the objective's own covariance. What is believed counts as measured: with an acquisition that looks at the best
    value, that rises to the believed one; with one that looks at a front, the front moves out where the batch already
    is, so that the next choice lies elsewhere along it. The pool's `rescore` gives the scores of the campaign's
    acquisition; with the upper confidence bound this is GP-BUCB. One column of a pivoted Cholesky factor per choice and
    objective: O(m b^2) time for m members and a batch of b. With `crowd` not more than so many are alike.

    Reference: Ginsbourger, Le Riche and Carraro, Kriging is well-suited to parallelize optimization (2010); Desautels,
    Krause and Burdick, Parallelizing Exploration-Exploitation Tradeoffs, JMLR 15 (2014).
    """

    kind = "kriging_believer"
    cites = ("ginsbourger2010kriging", "desautels2014parallelizing")

    wants_joint = True

    class Options(CrowdedSelector.Options):
        """Options of the kriging believer."""

        pool: int | None = Field(500, ge=1, description="best scores to choose from, at least the batch; null: all")

    def _pick(self, pool: Pool, n: int) -> list[int]:
        if not pool.predictions or pool.rescore is None:
            raise ValueError(needs(self, "a prediction and `rescore`", "Give the pool the acquisition's scores."))
        beliefs = [_Belief(one, joint_of(self, pool, k)[1], n) for k, one in enumerate(pool.predictions)]
        means = np.column_stack([one.mean for one in pool.predictions])
        chosen, scores = [0], pool.scores.copy()
        crowd, taken = Crowd(self, pool), np.zeros(len(pool), dtype=bool)
        while len(chosen) < n:
            at = chosen[-1]
            crowd.add(at)
            believed = tuple(belief.after(at) for belief in beliefs)
            scores = np.array(pool.rescore(range(len(pool)), believed, means[chosen]))
            scores[chosen] = -np.inf
            # Less deviation may forbid all that are left, as by a constrained bound: then the better score before.
            taken[at] = True
            order = ranking(scores)
            free = order[~taken[order]]
            fitting = free[~crowd.full[free] & (scores[free] > -np.inf)]
            chosen.append(int(fitting[0] if len(fitting) else free[0]))
        return chosen


class _Belief:
    """What is left to know of one objective."""

    def __init__(self, predicted: Prediction, covariance: FloatArray, n: int) -> None:
        """Begin with what is predicted of m members; at most n - 1 of them will be believed to be measured."""
        self._predicted, self._covariance = predicted, covariance
        latent = covariance.diagonal()
        self._noise = np.maximum(np.square(predicted.std) - latent, 1e-10 * np.square(predicted.std))
        self._factor, self._left, self._done = np.empty((n, len(predicted))), np.maximum(latent, 0.0), 0

    def after(self, at: int) -> Prediction:
        """Return the predictions once the member `at` is believed to be measured too."""
        done, factor = self._done, self._factor
        known = factor[:done, at] @ factor[:done]
        factor[done] = (self._covariance[at] - known) / np.sqrt(self._left[at] + self._noise[at])
        self._left = np.maximum(self._left - np.square(factor[done]), 0.0)
        self._done += 1
        return self._predicted.with_std(np.sqrt(self._left + self._noise))
