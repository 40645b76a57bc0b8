"""The law of a walk of edits times a power of the reward, in weighted draws.

The target is p(x) = p_walk(x) R(x)^b / Z. It is what relative trajectory balance asks of a policy whose prior is the
walk, log Z + log P_F = log P_walk + b log R, and whose actions at an object are M edits drawn from the walk: such a
policy chooses edit i with probability softmax(f)_i, so log P_F - log P_walk = f_i - log mean exp f, whatever the number
of edits that there are, and no backward policy is needed. At the optimum f(x) = log E_walk[R^b | x]; with no edit left
that is b log R itself. What has to be learnt is the value of an object with edits left, which is close to a line in its
own log-reward; its slope is learnt from the edits that were drawn.

Objects of a level are drawn without replacement (Gumbel top-k), with the weights of Horvitz and Thompson, so that
expectations under the target are right for any number of draws and any slope.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray
from models.gflownet.editing.walk import EditWalk

IntArray = NDArray[np.int64]

_LARGEST = 100.0
"""Largest b."""


@dataclass
class Tilted:
    """Weighted draws of the target.

    Attributes:
        weights: object -> log of its weight: sums over objects estimate sums over p_walk R^b, as far as constants go.
        log_rewards: object -> log R.
        beta: b.
        slopes: per level, how much of an object's own b log R its value with edits left has.
        levels: figures of each level.
    """

    weights: dict[str, float]
    log_rewards: dict[str, float]
    beta: float
    slopes: list[float]
    levels: list[dict[str, float]] = field(default_factory=list)

    @property
    def log_z(self) -> float:
        """Estimate of log E_walk[R^b]."""
        return float(np.logaddexp.reduce(list(self.weights.values())))


def effective(log_weights: FloatArray) -> float:
    """Return the effective number of draws with log-weights (n,): (sum w)^2 / sum w^2, between 1 and n."""
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / np.square(weights).sum())


def beta_of(log_rewards: FloatArray, share: float) -> float:
    """Return b at which draws with log-rewards (n,), weighted by R^b, are worth a share of their number.

    Rewards that are all alike give 1: no power of them prefers any.
    """
    wanted = max(share * len(log_rewards), 1.0)
    if len(log_rewards) < 2 or np.ptp(log_rewards) == 0:
        return 1.0
    low, high = 0.0, _LARGEST
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective(middle * log_rewards) > wanted else (low, middle)
    return low


def without_replacement(log_weights: FloatArray, n: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Draw up to n different places in proportion to weights; return them and the log of their inclusion probabilities.

    Given the largest key that was left out, a place is in with probability 1 - exp(-exp(phi - key)), and dividing by
    it leaves every sum right on average (Kool et al., Estimating gradients for discrete random variables by sampling
    without replacement, ICLR 2020).
    """
    keys = log_weights + rng.gumbel(size=len(log_weights))
    order = np.argsort(-keys, kind="stable")
    if n >= len(order):
        return order, np.zeros(len(order))
    chosen, threshold = order[:n], keys[order[n]]
    return chosen, np.log(-np.expm1(-np.exp(np.minimum(log_weights[chosen] - threshold, 50.0))))


def tilt(
    walk: EditWalk,
    log_reward: Callable[[Sequence[str]], FloatArray],
    rng: np.random.Generator,
    *,
    edits: int,
    parents: int,
    share: float,
    beta: float | None = None,
    prior: bool = True,
    slopes: Sequence[float] | None = None,
    progress: Callable[[int, dict[str, float]], None] = lambda level, figures: None,
) -> Tilted:
    """Draw from the target.

    Args:
        walk: the prior.
        log_reward: of objects, shape `(n,)`.
        rng: source of all randomness.
        edits: M, edits drawn of each object.
        parents: objects of a level that are edited further; the starts are the first level, all of them.
        share: effective share of the first edits, which decides b.
        beta: b, if it is given.
        prior: whether weights have the probability of the walk in them; False: they are R^b alone.
        slopes: of an earlier tilt over the same number of levels, which is gone on from; None: 0.5 each.
        progress: called after each level.

    Raises:
        ValueError: no edit of any start succeeds.
    """
    found: dict[str, list[float]] = {}
    log_rewards: dict[str, float] = {}
    learnt = [0.5] * walk.depth if slopes is None else list(slopes)
    here, log_weight = list(walk.starts), np.full(len(walk.starts), -np.log(len(walk.starts)))
    own = np.asarray(log_reward(here), dtype=np.float64)
    levels: list[dict[str, float]] = []
    for level in range(walk.depth):
        brood = [walk.children(parent, edits, rng) for parent in here]
        place = np.repeat(np.arange(len(here), dtype=np.int64), [len(children) for children in brood])
        objects = [child for children in brood for child in children]
        if not objects:
            break
        rewards = np.asarray(log_reward(objects), dtype=np.float64)
        if beta is None:
            beta = beta_of(rewards, share)
        counts = np.bincount(place, minlength=len(here))
        arrived = log_weight[place] - np.log(counts[place])
        final = arrived + beta * rewards - np.log(walk.depth)
        for obj, weight in zip(objects, final.tolist(), strict=True):
            found.setdefault(obj, []).append(weight)
        log_rewards.update(zip(objects, rewards.tolist(), strict=True))
        learnt[level] = slope_of(beta * own, place, beta * rewards, learnt[level])
        figures = {
            "step": level + 1.0,
            "objects": float(len(objects)),
            "mean_log_reward": float(rewards.mean()),
            "best_log_reward": float(rewards.max()),
            "effective": effective(final),
            "beta": beta,
            "slope": learnt[level],
        }
        levels.append(figures)
        progress(level + 1, figures)
        # An object with edits left is worth what its own reward says, as far as the slope of the level goes.
        distinct = list({obj: i for i, obj in reversed(list(enumerate(objects)))}.values())
        merged = dict.fromkeys(objects, -np.inf)
        for obj, weight in zip(objects, arrived.tolist(), strict=True):
            merged[obj] = float(np.logaddexp(merged[obj], weight))
        states = [objects[i] for i in distinct]
        arriving = np.array([merged[obj] for obj in states])
        own = rewards[distinct]
        chosen, log_inclusion = without_replacement(arriving + learnt[level] * beta * own, parents, rng)
        here = [states[i] for i in chosen]
        log_weight, own = arriving[chosen] - log_inclusion, own[chosen]
    if not found:
        raise ValueError(
            f"No edit of any of the {len(walk.starts)} objects to start from succeeded, so there is nothing to draw. "
            "Give another library, or use another generator."
        )
    beta = 1.0 if beta is None else beta
    if prior:
        weights = {obj: float(np.logaddexp.reduce(values)) for obj, values in found.items()}
    else:
        weights = {obj: beta * reward for obj, reward in log_rewards.items()}
    return Tilted(weights, log_rewards, beta, learnt, levels)


def slope_of(own: FloatArray, place: IntArray, edited: FloatArray, before: float) -> float:
    """Return the slope of the value of objects, log mean exp of their edits' b log R, in their own b log R.

    Least squares with a ridge towards the slope of before, which counts like 20 objects; between 0 and 1.

    Args:
        own: b log R of the objects, shape `(n,)`.
        place: of which object each edit is, shape `(m,)`.
        edited: b log R of the edits, shape `(m,)`.
        before: the slope that was learnt before.
    """
    some = np.unique(place)
    if len(some) < 3:
        return before
    value = np.array([np.logaddexp.reduce(edited[place == i]) - np.log((place == i).sum()) for i in some])
    x, y = own[some] - own[some].mean(), value - value.mean()
    ridge = 20.0 * max(float(x @ x) / len(some), 1e-9)
    return float(np.clip((x @ y + ridge * before) / (x @ x + ridge), 0.0, 1.0))
