"""The batch that most likely holds the best of the pool."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from models.protocols import Pool
from models.selectors.base import BatchSelector
from models.selectors.thompson import draws_of

_AT_ONCE = 500
"""Draws made at a time: memory for so many rows of the pool."""


class OptimumProbability(BatchSelector):
    """From the `pool` best scores: the members that are most often the best one in joint draws of the posterior.

    That one member is the best and that another is are events that exclude each other, so the probability that a batch
    holds the best is the sum of its members': the n largest are the best batch. It is estimated from `draws`; members
    that are never the best follow in the order of their scores. Of several objectives the best is that of a draw's
    random weighing, as for `thompson`: the events exclude each other again.

    Reference: Fromer et al., Batched Bayesian optimization by maximizing the probability of including the optimum
    (qPO), arXiv 2410.06333 (2024).
    """

    kind = "optimum_probability"
    cites = ("fromer2025batched",)

    wants_joint = True

    class Options(BatchSelector.Options):
        """Options of the probability of the optimum."""

        pool: int | None = Field(300, ge=1, description="best scores to draw for, at least the batch; null: all")
        draws: int = Field(5000, ge=1, description="joint draws of the posterior")

    def _pick(self, pool: Pool, n: int) -> list[int]:
        counts = np.zeros(len(pool), dtype=np.int64)
        rng, left = np.random.default_rng(pool.seed), self.options.draws
        draw = draws_of(self, pool, rng)
        while left > 0:
            some = min(left, _AT_ONCE)
            counts += np.bincount(draw(some).argmax(1), minlength=len(pool))
            left -= some
        return [int(i) for i in np.argsort(-counts, kind="stable")[:n]]
