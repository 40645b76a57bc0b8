"""One best member per joint draw of the posterior: Thompson sampling as a batch rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field

from data.records import FloatArray
from models.acquisition.measured import measured_whole, narrowed
from models.acquisition.standing import violation
from models.protocols import Pool
from models.selectors.base import BatchSelector, needs
from models.selectors.crowding import Crowd, CrowdedSelector


class Thompson(CrowdedSelector):
    """From the `pool` best scores: draw the function at all of them together, take the best member, and draw again.

    A member taken before is passed over, so that each draw gives one new member; with `crowd` not more than so many are
    alike. The draws share the posterior's
    correlations: two copies of one object are never both bought for the same luck. The covariance's root is taken by
    eigenvalues, negative ones set to zero: near copies make it singular, where a Cholesky factor fails.

    Of several objectives each is drawn by its own posterior, and a draw's best member is that of largest
    `min_k (f_k - r_k) / w_k` with weights w from the uniform law on the positive part of the unit sphere, objectives in
    units of the measured range and r a tenth of it below the worst: the mean over w of its K-th power is the dominated
    volume, so that a batch spreads along the front, whatever its shape. Drawn values that break a limit come last.

    Reference: Thompson, Biometrika 25 (1933); in batches: Kandasamy, Krishnamurthy, Schneider and Póczos,
    Parallelised Bayesian Optimisation via Thompson Sampling, AISTATS (2018); weights for each draw: Paria, Kandasamy
    and Póczos, UAI (2019); these weights: Zhang and Golovin, Random Hypervolume Scalarizations, ICML (2020).
    """

    kind = "thompson"
    cites = ("thompson1933likelihood", "kandasamy2018parallelised", "paria2019flexible", "zhang2020hypervolume")

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
    """Return what gives k joint draws of the worth of a pool's members, shape `(k, m)`, larger being better.

    Of one objective without limits it is the function. Of several each draw has a random weighing of its own, see
    `Thompson`. Where drawn values break a limit, a member is worth less than all that keep to it, by the breach.

    Raises:
        ValueError: the pool has no joint posterior, or it is not finite.
    """
    about, count = pool.about, max(1, len(pool.joints))
    functions = [_draw_of(*joint_of(selector, pool, k)) for k in range(count)]
    if count == 1 and not about.limited:
        return lambda k: np.array([functions[0](normal) for normal in rng.standard_normal((k, len(pool)))])
    improved = list(about.improved or range(count))
    known = measured_whole(narrowed(about), len(improved))
    known = known if len(known) else np.column_stack([pool.predictions[k].mean for k in improved])
    low, high = known.min(0), known.max(0)
    width = np.where(high > low, high - low, 1.0)

    def worth() -> FloatArray:
        values = np.column_stack([function(rng.standard_normal(len(pool))) for function in functions])
        weights = np.abs(rng.standard_normal(len(improved))) if len(improved) > 1 else np.ones(1)
        above = (values[:, improved] - low) / width + 0.1
        good = (above / np.maximum(weights / np.linalg.norm(weights), 1e-12)).min(1)
        broken = violation(values, about)
        return np.asarray(np.where(broken > 0, good.min() - broken, good))

    return lambda k: np.array([worth() for _ in range(k)])


def _draw_of(mean: FloatArray, covariance: FloatArray) -> Callable[[FloatArray], FloatArray]:
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return lambda normal: np.asarray(mean + root @ normal)


def joint_of(selector: BatchSelector, pool: Pool, objective: int | None = None) -> tuple[FloatArray, FloatArray]:
    """Return signed mean `(m,)` and symmetric covariance `(m, m)`, float64, of an objective at a pool's members.

    Args:
        selector: for messages.
        pool: with a joint posterior.
        objective: its position; None: the main one.

    Raises:
        ValueError: the pool has no joint posterior, or it is not finite.
    """
    if not pool.joints:
        raise ValueError(needs(selector, "a joint posterior", "Use a proxy that has `joint`, or another selector."))
    joint = pool.joints[pool.about.main if objective is None else objective]
    mean, covariance = (np.asarray(part, dtype=np.float64) for part in joint(range(len(pool))))
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError(
            f"The joint posterior of {len(pool)} candidates is not finite. Look at the proxy's predictions of them."
        )
    return mean, 0.5 * (covariance + covariance.T)
