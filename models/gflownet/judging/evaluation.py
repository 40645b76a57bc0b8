"""Judges a sampler while it is trained: by its exact law where the space is enumerated, else from samples.

Rows of an evaluation are plain numbers by name. Under conditioning the name of a figure ends in its condition, as in
`tv/beta_1`.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.records import FloatArray
from models.gflownet.conditioning.base import Conditioning
from models.gflownet.conditioning.inverse_temperature import InverseTemperature
from models.gflownet.judging import metrics
from models.gflownet.judging.densities import DensityFigures
from models.gflownet.judging.exact import StateGraph, forward_log_probs, merge, target_law, terminal_law
from models.gflownet.policies.base import Exploration, Policy
from models.gflownet.rewards.base import Judged
from models.gflownet.training.trainer import Trainer
from models.gflownet.training.trajectories import sample_forward
from models.sealed import read_sealed, write_sealed

POOL = 8
"""Random objects drawn for each held-out one."""


@dataclass(frozen=True)
class Case:
    """A condition under which a policy is judged; without conditioning there is one case, with an empty name.

    Attributes:
        name: suffix of the figures, such as "/beta_1".
        raw: (1, C0), the condition, or None.
        encoded: (1, C), what the network sees of it, or None.
        conditioning: how the reward depends on it, or None.
    """

    name: str = ""
    raw: Tensor | None = None
    encoded: Tensor | None = None
    conditioning: Conditioning | None = None

    def log_reward(self, values: Tensor) -> Tensor:
        """Return the log-rewards (n,) under the condition, of what the reward gave: (n,), or (n, K)."""
        if self.conditioning is None or self.raw is None:
            return values
        return self.conditioning.log_reward(values, self.raw.expand(len(values), -1))

    def spread(self, n: int) -> Tensor | None:
        """Return the encoded condition n times, (n, C), or None."""
        return None if self.encoded is None else self.encoded.expand(n, -1)


def cases_of(conditioning: Conditioning | None, rows: Sequence[Sequence[float]] | None) -> list[Case]:
    """Return the conditions under which a policy is judged.

    Args:
        conditioning: of the sampler, or None.
        rows: numbers of each condition; None: beta = 1, the middle and the end of its range; three drawn ones where the
            condition is not an inverse temperature.

    Raises:
        ValueError: a condition has the wrong number of numbers, or is outside the range of training.
    """
    if conditioning is None:
        return [Case()]
    drawn = conditioning.draw(3, torch.Generator().manual_seed(0))
    is_beta = isinstance(conditioning, InverseTemperature)
    if rows is not None:
        wrong = [list(row) for row in rows if len(row) != drawn.shape[1]]
        if wrong:
            raise ValueError(
                f"A condition of {conditioning.kind!r} has {drawn.shape[1]} numbers; evaluation.conditions has {wrong}."
            )
        drawn = torch.tensor([list(row) for row in rows], dtype=torch.float64)
    elif is_beta:
        low, high = conditioning.options.low, conditioning.options.high
        betas = dict.fromkeys([min(max(1.0, low), high), 0.5 * (low + high), high])
        drawn = torch.tensor(list(betas), dtype=torch.float64)[:, None]
    encoded = conditioning.encode(drawn)
    return [
        Case(_name(drawn[i].tolist(), is_beta), drawn[i : i + 1], encoded[i : i + 1], conditioning)
        for i in range(len(drawn))
    ]


def _name(values: Sequence[float], is_beta: bool) -> str:
    told = "_".join(f"{value:.4g}" for value in values)
    return f"/beta_{told}" if is_beta else f"/condition_{told}"


@dataclass(frozen=True)
class Law:
    """The law of a policy over the terminal states, beside the target; states of one object are not merged.

    Attributes:
        case: suffix of the condition.
        objects: the X objects.
        policy, target: (X,) probabilities.
    """

    case: str
    objects: list[Any]
    policy: FloatArray
    target: FloatArray


class ExactEvaluator:
    """Exact figures of `metrics.exact_metrics`, by dynamic programming over all states.

    The error of log Z is told where the objective trains log Z.

    Args:
        graph: all states of the trainer's environment.
        judged: log-rewards (X,) and objects of its terminal states.
        trainer: what is judged.
        cases: under which conditions.
        seen: what training has found, if modes are counted.
    """

    def __init__(
        self, graph: StateGraph[Any], judged: Judged, trainer: Trainer[Any], cases: Sequence[Case], seen: Seen | None
    ) -> None:
        self.graph, self.trainer, self.cases, self.seen = graph, trainer, cases, seen
        self.values, self.objects = judged[0].double().cpu(), list(judged[1])

    def __call__(self) -> dict[str, float]:
        """Return the figures of the policy as it is."""
        out: dict[str, float] = {}
        for case in self.cases:
            log_reward = case.log_reward(self.values).numpy()
            found = metrics.exact_metrics(
                self._law(case),
                log_reward,
                self.objects,
                _learnt_log_z(self.trainer, case),
                self._log_prior(case),
            )
            out.update({f"{name}{case.name}": value for name, value in found.items()})
        return out if self.seen is None else {**out, **self.seen.figures()}

    def _law(self, case: Case) -> FloatArray:
        return self._law_of(self.trainer.policy, case)

    def _law_of(self, policy: Policy[Any], case: Case) -> FloatArray:
        encoded = None if case.encoded is None else case.encoded[0]
        return terminal_law(self.graph, forward_log_probs(self.graph, policy, encoded))

    def _log_prior(self, case: Case) -> FloatArray:
        """Return the log of the prior's law of the objects (X,), 0 where the target is not relative to a prior."""
        prior = self.trainer.prior
        if prior is None:
            return np.zeros(len(self.objects))
        merged = merge(self.objects, self._law_of(prior, case))
        return np.log([merged[obj] for obj in self.objects])

    def laws(self) -> list[Law]:
        """Return the law under each condition."""
        return [
            Law(
                case.name,
                self.objects,
                self._law(case),
                target_law(case.log_reward(self.values).numpy() + self._log_prior(case)),
            )
            for case in self.cases
        ]


def _learnt_log_z(trainer: Trainer[Any], case: Case) -> float | None:
    """Return log Z under a condition, None where the loss does not depend on it."""
    partition = trainer.partition
    gradient = partition.value.grad
    if gradient is None or not bool(gradient.any()):
        return None
    with torch.no_grad():
        return float(partition(case.encoded, 1))


class SampledEvaluator:
    """Figures for spaces that are not enumerated.

    * `spearman` and `pearson` of estimates of log p(x) against log R(x), plus that of the prior where the target is
      relative to one, over held-out objects that are spread evenly
      over the log-rewards of random ones, and the same for all seeds of a file;
    * `mean_reward` and `unique_share` of fresh samples of the policy;
    * where objects have densities, `DensityFigures`;
    * what training has found so far (`Seen.figures`).

    Args:
        trainer: what is judged.
        reward: of its terminal states; calls of it are not counted.
        cases: under which conditions.
        seen: what training has found.
        held_out: states whose log p(x) is estimated, with their log-rewards; None: nothing is correlated.
        draws: backward trajectories per held-out state.
        samples: fresh samples per condition; 0: none, and no figures of them.
        seed: of what is drawn for an evaluation.
    """

    def __init__(
        self,
        trainer: Trainer[Any],
        reward: Callable[[Any], Judged],
        cases: Sequence[Case],
        seen: Seen,
        *,
        held_out: HeldOut | None,
        draws: int,
        samples: int,
        seed: int,
    ) -> None:
        self.trainer, self.reward, self.cases, self.seen, self.held_out = trainer, reward, cases, seen, held_out
        self.draws, self.samples, self.seed = draws, samples, seed
        self.densities = DensityFigures(trainer, reward) if samples and trainer.env.continuous else None

    def __call__(self) -> dict[str, float]:
        """Return the figures of the policy as it is."""
        out: dict[str, float] = {}
        for case in self.cases:
            # The trainer's own generator is left alone: an evaluation must not change the training.
            generator = torch.Generator().manual_seed(self.seed + self.trainer.done)
            found = {**self._correlations(case, generator), **self._drawn(case, generator)}
            out.update({f"{name}{case.name}": value for name, value in found.items()})
        return finite({**out, **self.seen.figures()})

    def _correlations(self, case: Case, generator: torch.Generator) -> dict[str, float]:
        if self.held_out is None:
            return {}
        trainer, states = self.trainer, self.held_out.states
        given = case.spread(len(states))
        log_p = metrics.log_probability(
            trainer.env, trainer.policy, trainer.walk, states, generator, draws=self.draws, condition=given
        )
        log_target = case.log_reward(self.held_out.log_reward).numpy()
        if trainer.prior is not None:
            log_target = log_target + metrics.log_probability(
                trainer.env, trainer.prior, trainer.walk, states, generator, draws=self.draws, condition=given
            )
        return {"spearman": metrics.spearman(log_p, log_target), "pearson": metrics.pearson(log_p, log_target)}

    def _drawn(self, case: Case, generator: torch.Generator) -> dict[str, float]:
        trainer = self.trainer
        if not self.samples:
            return {}
        paths = sample_forward(
            trainer.env, trainer.policy, self.samples, generator, condition=case.spread(self.samples)
        )
        values, objects = self.reward(paths.terminal)
        inside = [key for key in objects if key is not None]
        found = {"mean_reward": float(values.exp().mean()), "unique_share": len(set(inside)) / self.samples}
        if self.densities is None:
            return found
        found |= self.densities.of_samples(paths, case.log_reward(values))
        found |= self.densities.of_grid(case.log_reward, case.encoded, generator)
        return found | (self.densities.of_log_z(_learnt_log_z(trainer, case)) if case.conditioning is None else {})


@dataclass(frozen=True)
class HeldOut:
    """Terminal states to estimate log p(x) of.

    Attributes:
        states: n of them, of different objects.
        log_reward: (n,), or (n, K), what the reward says of them, before any condition.
        best: greatest log-reward of the random objects they were chosen from.
    """

    states: Any
    log_reward: Tensor
    best: float

    @classmethod
    def draw(cls, trainer: Trainer[Any], reward: Callable[[Any], Judged], n: int) -> HeldOut:
        """Choose up to n out of `POOL` times as many random objects, spread evenly over the range of log-rewards.

        Args:
            trainer: whose environment and untrained policy are used, with uniformly random actions.
            reward: of terminal states.
            n: how many.

        Raises:
            ValueError: fewer than three objects were found, or all have one reward: nothing can be correlated.
        """
        generator = torch.Generator().manual_seed(0)
        conditioning = trainer.conditioning
        given = None if conditioning is None else conditioning.encode(conditioning.draw(n * POOL, generator))
        terminal = sample_forward(
            trainer.env, trainer.policy, n * POOL, generator, exploration=Exploration(epsilon=1.0), condition=given
        ).terminal
        values, objects = reward(terminal)
        place = {key: i for i, key in enumerate(objects) if key is not None}
        index = torch.tensor(list(place.values()), dtype=torch.int64)
        log_reward = values.double()[index]
        if len(index) < 3 or float(log_reward.max()) == float(log_reward.min()):
            raise ValueError(
                f"{n * POOL} random trajectories gave {len(index)} objects with "
                f"{len(set(log_reward.tolist()))} different rewards: too few to compare log p(x) with log R(x). Raise "
                "evaluation.max_states, so that the space is judged exactly, or evaluation.held_out."
            )
        chosen = _spread(log_reward, n)
        return cls(terminal[index[chosen]], log_reward[chosen], float(log_reward.max()))


def _spread(values: Tensor, n: int) -> Tensor:
    """Return the places of up to n values: for each point of an even grid over their range, the nearest one left."""
    if len(values) <= n:
        return torch.arange(len(values))
    left, chosen = values.clone(), []
    for point in torch.linspace(float(values.min()), float(values.max()), n, dtype=values.dtype):
        nearest = int((left - point).abs().argmin())
        chosen.append(nearest)
        left[nearest] = torch.inf
    return torch.tensor(chosen)


class Seen:
    """A reward that remembers which objects it was asked for, and when: unique calls, modes, the best of them.

    Args:
        reward: of terminal states.
        top_k: how many of the best are told of.
        distance: of objects, for the diversity of the best and between modes.
        cutoff: modes are further apart than this; None: every object with the reward is a mode.
        most: modes are looked for among so many of the best, when figures are asked for, which a search in the square
            of their number asks for; None: among all.
        passed_over: objects that count as known, such as measured ones.

    Attributes:
        fresh: objects with their log-rewards since the last `drain`.
    """

    def __init__(
        self,
        reward: Callable[[Any], Judged],
        *,
        top_k: int,
        distance: metrics.Distance,
        cutoff: float | None,
        most: int | None = None,
        passed_over: Iterable[Hashable] = (),
    ) -> None:
        self.reward, self.top_k, self.distance = reward, top_k, distance
        self._cutoff, self._most, self._passed_over = cutoff, most, frozenset(passed_over)
        self.begin(math.inf)

    def begin(self, threshold: float) -> None:
        """Forget everything; a mode is an object with a log-reward of at least `threshold`, but for rounding."""
        self._threshold = threshold
        self.modes = self._no_modes()
        self.fresh: list[tuple[Hashable, float]] = []
        self._known: dict[Hashable, float] = {}
        self._counts: list[int] = []

    def expect(self, threshold: float) -> None:
        """Set the least log-reward of a mode, for figures to come."""
        self._threshold = threshold

    def _no_modes(self) -> metrics.Modes:
        if self._cutoff is None:
            return metrics.Modes(self._threshold - 1e-9)
        return metrics.Modes(self._threshold - 1e-9, distance=self.distance, cutoff=self._cutoff)

    def __call__(self, states: Any) -> Judged:
        """Judge terminal states, and remember."""
        values, objects = self.reward(states)
        self.take(objects, values.tolist())
        return values, objects

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, key: Hashable) -> bool:
        """Return whether an object was seen, or is passed over."""
        return key in self._known or key in self._passed_over

    def take(self, objects: Sequence[Hashable], log_reward: Sequence[float]) -> None:
        """Remember objects with their log-rewards; None, and what is known, are passed over."""
        new: dict[Hashable, float] = {}
        for key, value in zip(objects, log_reward, strict=True):
            if key is not None and not self.knows(key):
                new.setdefault(key, value)
        if not new:
            return
        self._known.update(new)
        self.fresh.extend(new.items())
        if self._most is None:
            self.modes.update(list(new), np.array(list(new.values())))

    def drain(self) -> list[tuple[Hashable, float]]:
        """Return the objects with their log-rewards since the last call."""
        out, self.fresh = self.fresh, []
        return out

    def best(self, n: int) -> dict[Hashable, float]:
        """Return the n best objects with their log-rewards, best first; of equal ones the first seen."""
        return dict(heapq.nsmallest(n, self._known.items(), key=lambda item: -item[1]))

    def figures(self) -> dict[str, float]:
        """Return `modes`, `reward_calls` (distinct objects asked for), and of the best `top_k` what there is.

        `top_reward` is their mean reward, left out where it is no finite number, `top_log_reward` the mean of its
        logarithm, `top_diversity` the mean distance of pairs.
        """
        modes = self.modes
        if self._most is not None:
            among = self.best(self._most)
            modes = self._no_modes()
            modes.update(list(among), np.array(list(among.values())))
        out = {"modes": float(len(modes)), "reward_calls": float(len(self._known))}
        best = self.best(self.top_k)
        if best:
            with np.errstate(over="ignore"):
                out["top_reward"] = float(np.exp(list(best.values())).mean())
            out["top_log_reward"] = math.fsum(best.values()) / len(best)
        if len(best) > 1:
            names = list(best)
            out["top_diversity"] = float(self.distance(names, names)[np.triu_indices(len(names), 1)].mean())
        return finite(out)

    def end_step(self) -> None:
        """Note that a training step is over."""
        self._counts.append(len(self._known))

    def save(self, path: Path) -> None:
        """Write atomically what was seen in the steps that are over."""
        write_sealed(self.record(), path)

    def record(self) -> dict[str, Any]:
        """Return what is kept on disk."""
        return {"objects": list(self._known), "values": list(self._known.values()), "counts": self._counts}

    def restore(self, path: Path, steps: int) -> Mapping[Hashable, Any]:
        """Go back to the end of a training step: what was seen later is forgotten. Return what was seen until then.

        Raises:
            DamagedCheckpoint: the file is not what was written.
            ValueError: the file is missing, or it was written before that step.
        """
        state = read_sealed(path) if path.is_file() else {"counts": []}
        if len(state["counts"]) < steps:
            raise ValueError(
                f"The checkpoint is of step {steps}, but {path} has {len(state['counts'])} steps of what was found "
                "until then. Remove the checkpoint to train anew."
            )
        counts = list(state["counts"][:steps])
        many = counts[-1] if steps else 0
        self.begin(self._threshold)
        self.take(state["objects"][:many], state["values"][:many])
        self._counts, self.fresh = counts, []
        return dict(self._known)


def finite(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the figures that exist: a correlation of equal rewards does not."""
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def overlap_distance(a: Sequence[Sequence[Any]], b: Sequence[Sequence[Any]]) -> FloatArray:
    """Return the elements that are not shared (n, m): the larger size minus the common elements, order ignored."""
    left, right = [Counter(item) for item in a], [Counter(item) for item in b]
    return np.array([[max(x.total(), y.total()) - (x & y).total() for y in right] for x in left], dtype=np.float64)
