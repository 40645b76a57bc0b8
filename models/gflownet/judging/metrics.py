"""How good a sampler is: against the exact target where it can be enumerated, from samples where it cannot.

Conventions: TV is half of the L1 sum, and no distance is divided by the number of objects; divergences are in nats;
terminal states that are the same object are merged; the object None (outside the space) has target probability zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from data.chemistry.molecules import morgan_counts
from data.records import FloatArray
from models.featurisers.nearness import min_max
from models.gflownet.environments.base import Environment, States
from models.gflownet.judging import exact
from models.gflownet.policies.backward import BackwardWalk
from models.gflownet.policies.base import Policy
from models.gflownet.training.trajectories import sample_backward

S = TypeVar("S", bound=States)
Distance = Callable[[Sequence[Any], Sequence[Any]], FloatArray]
"""Objects (n) and (m) -> their distances (n, m)."""
_CHUNK = 4096
_MASS = 1e-3
"""How far from one the probabilities of a policy in float32 may add up."""


def exact_metrics(
    p: FloatArray,
    log_reward: FloatArray,
    objects: Sequence[Hashable],
    log_z: float | None = None,
    log_prior: FloatArray | None = None,
) -> dict[str, float]:
    """Compare the exact law of a policy with R / Z over distinct objects, or with p_prior R / Z.

    Args:
        p: (X,) probability of each terminal state, from `exact.terminal_law`.
        log_reward: (X,) of the terminal states.
        objects: the X objects they are; states of one object are merged.
        log_z: the estimate of log Z, if there is one.
        log_prior: (X,) log-probability, under the prior, of the object that each terminal state is.

    Returns:
        `tv` (0 to 1), `l1_sum` (0 to 2, twice tv), `jsd` (nats, 0 to log 2), `kl` = KL(target || policy) (nats,
        infinite if the policy misses an object), `expected_reward` = E_p[R], with `expected_reward_error` = E_p[R] /
        E_target[R] - 1 (signed), `spearman` and `pearson` of log p and log R, plus the log prior, over objects (NaN
        where one of them is constant, or not finite for pearson), and `log_z_error` = |log_z - log Z| where `log_z`
        was given.

    Raises:
        ValueError: the probabilities do not add up to one, or no state is an object of the space.
    """
    mass = float(np.sum(p))
    if abs(mass - 1.0) > _MASS:
        raise ValueError(
            f"The probabilities of the terminal states add up to {mass:.6f}, expected 1: masks and steps of the "
            "environment disagree, or the policy gives probability to illegal actions."
        )
    merged = exact.merge(objects, np.asarray(p, dtype=np.float64))
    rewards = dict(zip(objects, np.asarray(log_reward, dtype=np.float64).tolist(), strict=True))
    outside = merged.pop(None, 0.0)
    if not merged:
        raise ValueError(
            "No terminal state is an object of the space (all are None): there is no target to compare with."
        )
    inside = np.array(list(merged.values()))
    log_r = np.array([rewards[key] for key in merged])
    priors = {} if log_prior is None else dict(zip(objects, log_prior.tolist(), strict=True))
    log_target = log_r + np.array([priors.get(key, 0.0) for key in merged])
    # What lies outside is a last object, with target probability zero and no reward.
    law, target = np.append(inside, outside), np.append(exact.target_law(log_target), 0.0)
    shifted = np.append(np.exp(log_r - log_r.max()), 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        found = {
            "tv": exact.total_variation(law, target),
            "l1_sum": exact.l1_sum(law, target),
            "jsd": exact.jensen_shannon(law, target),
            "kl": exact.kl_divergence(target, law),
            "expected_reward": float((law * shifted).sum() * np.exp(log_r.max())),
            "expected_reward_error": float((law * shifted).sum() / (target * shifted).sum() - 1.0),
            "spearman": spearman(np.log(inside), log_target),
            "pearson": pearson(np.log(inside), log_target),
        }
    if log_z is not None:
        found["log_z_error"] = log_z_error(log_z, log_target)
    return found


def log_z_error(log_z: float, log_reward: FloatArray) -> float:
    """Return |log_z - log sum R| of the log-rewards (X,) of all distinct objects."""
    top = float(np.max(log_reward))
    return abs(log_z - top - math.log(np.exp(np.asarray(log_reward) - top).sum()))


def relative_mean_error(rewards: FloatArray, target: float) -> float:
    """Return mean(R) / target - 1 of the rewards (n,) of samples: signed, 0 if the first moment is right.

    Args:
        rewards: of samples from the policy, not logs.
        target: E[R] under R / Z.
    """
    return float(np.mean(rewards)) / target - 1.0


def pearson(x: FloatArray, y: FloatArray) -> float:
    """Return the linear correlation of (n,) and (n,); NaN if one is constant or not finite."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return math.nan
    x, y = x - x.mean(), y - y.mean()
    norm = math.sqrt(float(x @ x)) * math.sqrt(float(y @ y))
    return float(x @ y) / norm if norm > 0 else math.nan


def spearman(x: FloatArray, y: FloatArray) -> float:
    """Return the correlation of the ranks of (n,) and (n,), ties at their mean rank; NaN if one is constant.

    It says nothing of how probabilities are spread: it can be one while the law is wrong, and low with few levels.
    """
    from scipy.stats import rankdata  # half a second of import, which most processes never need

    return pearson(rankdata(x), rankdata(y))


@torch.no_grad()
def log_probability(
    env: Environment[S],
    policy: Policy[S],
    walk: BackwardWalk[S],
    terminal: S,
    generator: torch.Generator,
    *,
    draws: int = 10,
    condition: Tensor | None = None,
) -> FloatArray:
    """Estimate log p(x), (n,), of n terminal states: log mean of P_F(tau) / P_B(tau | x) over tau drawn from P_B.

    The estimate of p is unbiased; that of its logarithm is low by about half the relative variance, which falls as one
    over `draws`. Corrections of P_B are included, so p is that of the object where several states are the same one.

    Args:
        env: the environment.
        policy: P_F.
        walk: P_B.
        terminal: n terminal states.
        generator: source of all randomness.
        draws: trajectories per state.
        condition: (n, C) encoded conditions, or None.
    """
    index = torch.arange(len(terminal), device=terminal.done.device).repeat(draws)
    with policy.frozen():
        parts = [
            _log_ratio(env, policy, walk, terminal[rows], generator, None if condition is None else condition[rows])
            for rows in torch.split(index, _CHUNK)
        ]
    ratios = torch.cat(parts).view(draws, len(terminal))
    out: FloatArray = (ratios.logsumexp(0) - math.log(draws)).cpu().numpy()
    return out


def _log_ratio(
    env: Environment[S],
    policy: Policy[S],
    walk: BackwardWalk[S],
    terminal: S,
    generator: torch.Generator,
    condition: Tensor | None,
) -> Tensor:
    """Return (n,) log P_F - log P_B of one backward trajectory per state, float64."""
    paths = sample_backward(env, walk, terminal, generator, condition=condition)
    log_pf = policy.score(paths.before, paths.forward, None, paths.conditions).log_pf.double()
    log_pb = walk.chosen(paths.after, paths.backward, paths.conditions).double()
    log_pb = log_pb + env.log_correction(paths.before, paths.forward, paths.after).double()
    return log_pf.new_zeros(len(terminal)).index_add_(0, paths.row, log_pf - log_pb)


def tanimoto_distance(a: Sequence[str], b: Sequence[str]) -> FloatArray:
    """Return 1 - Tanimoto similarity (n, m) of the Morgan fingerprints (radius 2, 2048 bits) of SMILES."""
    return 1.0 - min_max((morgan_counts(a) > 0).astype(np.int8), (morgan_counts(b) > 0).astype(np.int8))


def euclidean_distance(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> FloatArray:
    """Return the distances (n, m) of rows of numbers, all of one length."""
    x, y = (np.array(items, dtype=np.float64) for items in (a, b))
    return np.stack([np.sqrt(((row - y) ** 2).sum(1)) for row in x])


def angular_distance(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> FloatArray:
    """Return the mean of 1 - cos of the differences (n, m) of rows of angles, all of one length; 0 to 2."""
    x, y = (np.array(items, dtype=np.float64) for items in (a, b))
    return np.stack([(1.0 - np.cos(row - y)).mean(1) for row in x])


def hamming_distance(a: Sequence[Sequence[Any]], b: Sequence[Sequence[Any]]) -> FloatArray:
    """Return the number of different places (n, m) of strings or tuples, all of one length.

    Raises:
        ValueError: lengths differ.
    """
    lengths = {len(item) for item in (*a, *b)}
    if len(lengths) > 1:
        raise ValueError(f"The Hamming distance is of sequences of one length; got lengths {sorted(lengths)}.")
    x, y = (np.array([list(item) for item in items]) for items in (a, b))
    return np.stack([(row != y).sum(1) for row in x]).astype(np.float64)


def top_k(objects: Sequence[Hashable], rewards: FloatArray, k: int) -> list[tuple[Any, float]]:
    """Return the k best distinct objects with their rewards, best first; of equal ones the first seen.

    Raises:
        ValueError: there are fewer than k.
    """
    best = {key: float(value) for key, value in zip(objects, rewards, strict=True) if key is not None}
    if len(best) < k or k < 1:
        raise ValueError(f"The best {k} of {len(best)} distinct objects were asked for; ask for 1 to {len(best)}.")
    return sorted(best.items(), key=lambda item: -item[1])[:k]


def top_k_reward(objects: Sequence[Hashable], rewards: FloatArray, k: int) -> float:
    """Return the mean reward of the k best distinct objects."""
    return math.fsum(value for _, value in top_k(objects, rewards, k)) / k


def top_k_diversity(objects: Sequence[Hashable], rewards: FloatArray, k: int, distance: Distance) -> float:
    """Return the mean distance over the k (k - 1) / 2 pairs of the k best distinct objects, k >= 2."""
    if k < 2:
        raise ValueError(f"Diversity is of pairs: it needs at least the best 2 objects; got k = {k}.")
    best = [key for key, _ in top_k(objects, rewards, k)]
    return float(distance(best, best)[np.triu_indices(k, 1)].mean())


class Modes:
    """Modes found against unique oracle calls: every distinct object seen is one call.

    Without a distance a mode is an object with a reward of at least `threshold`. With one, modes are chosen greedily
    among these, best first: an object is a mode if it is further than `cutoff` from all modes before it. A Tanimoto
    similarity below 0.7 is `distance=tanimoto_distance, cutoff=0.3`; a Hamming distance of at least 2 is `cutoff=1`.
    The greedy set is that of everything seen so far, whatever the order in which it was seen.

    Args:
        threshold: least reward of a mode.
        distance: of objects, or None.
        cutoff: modes are further apart than this.
    """

    def __init__(self, threshold: float, *, distance: Distance | None = None, cutoff: float = 0.0) -> None:
        self.threshold, self.distance, self.cutoff = threshold, distance, cutoff
        self.curve: list[tuple[int, int]] = []
        """(unique oracle calls, modes) after each update."""
        self._seen: dict[Hashable, float] = {}
        self._high: list[Hashable] = []
        self._near = np.zeros((0, 0), dtype=bool)
        self._modes: list[Hashable] = []

    @property
    def calls(self) -> int:
        """Distinct objects seen."""
        return len(self._seen)

    @property
    def modes(self) -> list[Hashable]:
        """The modes, best first."""
        if self.distance is None:  # put in order when asked: each update would sort all that were found so far
            return sorted(self._high, key=lambda key: -self._seen[key])
        return list(self._modes)

    def __len__(self) -> int:
        return len(self._high if self.distance is None else self._modes)

    def update(self, objects: Sequence[Hashable], rewards: FloatArray | Tensor) -> int:
        """Take in objects with their rewards (n,), not logs; None is passed over. Return the number of modes."""
        fresh: dict[Hashable, float] = {}
        for key, value in zip(objects, rewards.tolist(), strict=True):
            if key is not None and key not in self._seen:
                fresh[key] = value
        self._seen.update(fresh)
        high = [key for key, value in fresh.items() if value >= self.threshold]
        if high:
            self._take(high)
        self.curve.append((self.calls, len(self)))
        return len(self)

    def _take(self, high: list[Hashable]) -> None:
        if self.distance is None:
            self._high += high
            return
        every = [*self._high, *high]
        order = sorted(range(len(every)), key=lambda place: -self._seen[every[place]])
        # A similarity of exactly 0.7 is a distance of 0.30000000000000004: rounding must not decide.
        new = self.distance(every, high) <= self.cutoff + 1e-9
        near = np.empty((len(every), len(every)), dtype=bool)
        near[: len(self._high), : len(self._high)] = self._near
        near[:, len(self._high) :] = new
        near[len(self._high) :] = near[:, len(self._high) :].T
        self._near = near
        self._high = every
        self._modes = [every[place] for place in self._greedy(order)]

    def _greedy(self, order: list[int]) -> list[int]:
        blocked = np.zeros(len(order), dtype=bool)
        chosen = []
        for place in order:
            if not blocked[place]:
                chosen.append(place)
                blocked |= self._near[place]
        return chosen

    def state(self) -> dict[str, Any]:
        """Return what `load_state` goes on from: objects, rewards and the curve."""
        return {
            "objects": list(self._seen),
            "rewards": list(self._seen.values()),
            "curve": [list(p) for p in self.curve],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        fresh = Modes(self.threshold, distance=self.distance, cutoff=self.cutoff)
        fresh.update(state["objects"], np.array(state["rewards"]))
        fresh.curve = [(calls, modes) for calls, modes in state["curve"]]
        vars(self).update(vars(fresh))
