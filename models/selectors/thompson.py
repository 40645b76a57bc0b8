"""One best member per joint draw of the posterior: Thompson sampling as a batch rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field

from data.records import FloatArray
from models.protocols import Pool
from models.selectors.base import BatchSelector, needs
from models.selectors.crowding import Crowd, CrowdedSelector


class Thompson(CrowdedSelector):
    """From the `pool` best scores: draw the function at all of them together, take the best member, and draw again.

    A member taken before is passed over, so that each draw gives one new member; with `crowd` not more than so many are
    alike. The draws share the posterior's
    correlations: two copies of one object are never both bought for the same luck. The covariance's root is taken by
    eigenvalues, negative ones set to zero: near copies make it singular, where a Cholesky factor fails.

    Reference: Thompson, Biometrika 25 (1933); in batches: Kandasamy, Krishnamurthy, Schneider and Póczos,
    Parallelised Bayesian Optimisation via Thompson Sampling, AISTATS (2018).
    """

    kind = "thompson"
    reference = "Thompson, Biometrika 25, 285 (1933); Kandasamy et al., AISTATS (2018)"

    wants_joint = True

    class Options(CrowdedSelector.Options):
        """Options of Thompson sampling."""

        pool: int | None = Field(
            300, ge=1, description="best scores to draw for, at least the batch; null: all, at a cost of their cube"
        )

    def _pick(self, pool: Pool, n: int) -> list[int]:
        draw_some = draws_of(self, pool, np.random.default_rng(pool.seed))
        crowd, taken = Crowd(self, pool), np.zeros(len(pool), dtype=bool)
        chosen: list[int] = []
        while len(chosen) < n:
            draw = draw_some(1)[0]
            free = ~taken & ~crowd.full
            draw[~(free if free.any() else ~taken)] = -np.inf
            chosen.append(int(np.argmax(draw)))
            taken[chosen[-1]] = True
            crowd.add(chosen[-1])
        return chosen


def draws_of(selector: BatchSelector, pool: Pool, rng: np.random.Generator) -> Callable[[int], FloatArray]:
    """Return what gives k joint draws of the function at a pool's members, shape `(k, m)`, larger being better.

    Raises:
        ValueError: the pool has no joint posterior, or it is not finite.
    """
    mean, covariance = joint_of(selector, pool)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return lambda k: np.array([mean + root @ normal for normal in rng.standard_normal((k, len(pool)))])


def joint_of(selector: BatchSelector, pool: Pool) -> tuple[FloatArray, FloatArray]:
    """Return signed mean `(m,)` and symmetric covariance `(m, m)`, float64, of the function at a pool's members.

    Raises:
        ValueError: the pool has no joint posterior, or it is not finite.
    """
    if pool.joint is None:
        raise ValueError(needs(selector, "a joint posterior", "Use a proxy that has `joint`, or another selector."))
    mean, covariance = (np.asarray(part, dtype=np.float64) for part in pool.joint(range(len(pool))))
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError(
            f"The joint posterior of {len(pool)} candidates is not finite. Look at the proxy's predictions of them."
        )
    return mean, 0.5 * (covariance + covariance.T)
