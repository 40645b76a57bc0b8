"""RDUCB: are many variables searched better by sums over the edges of random trees than by a plain Gaussian process?"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data.config import derive_seed
from data.records import FloatArray
from models.acquisition.log_reward import AcquisitionReward
from models.acquisition.upper_confidence_bound import UpperConfidenceBound
from models.generators.genetic import Genetic
from models.protocols import GenerationContext, Proxy
from models.proxies.gaussian_process import GaussianProcess
from models.proxies.random_decomposition import RandomDecomposition
from models.registry import Component
from models.spaces.vectors import Vectors
from models.systems.base import Bench, Check, System
from models.threads import single_thread

BETA = 0.5


class RandomDecompositionClaim(System["RandomDecompositionClaim.Options"]):
    """Bayesian optimisation with another additive process each round."""

    kind: ClassVar[str] = "random_decomposition"
    cites: ClassVar[tuple[str, ...]] = ("ziomek2023random",)
    title: ClassVar[str] = "RDUCB, random decompositions"
    claim: ClassVar[str] = (
        "A Gaussian process that is a sum over the edges of a tree of variables, drawn at random each round and not "
        "from the data, finds better values of functions of many variables than one of all variables at once, and "
        "than a process whose decomposition stays."
    )
    protocol: ClassVar[str] = (
        "Sixty variables between 0 and 1. The function is a sum of 30 peaks, one of each pair of a hidden matching of "
        "the variables, with heights from 0.5 to 1.5, places and matching drawn by the seed; its maximum is about 30. "
        "No tree knows the matching. Each arm has the same 40 first values and buys 12 rounds of 8: the best by the "
        "upper confidence bound (beta 0.5) of what the genetic search finds under it, 10 generations of 60. Arms: a "
        "random tree each round; the same tree in all rounds; a Gaussian process with a length-scale of each variable "
        "(the default), and with one of all; and random points. The figure is the best value bought, as a share of the "
        "maximum. The paper maximises its bound by messages along the tree, and its functions are others."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (
        ("proxy", "random_decomposition"),
        ("acquisition", "upper_confidence_bound"),
    )
    example: ClassVar[str] = "campaigns/process/many_variables.yaml"
    axes: ClassVar[tuple[str, str]] = ("Values bought", "Best value, share of the maximum")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("better than random points", "tree", "chance", at_least=0.0),
        Check("better than a Gaussian process with a length-scale of each", "tree", "each", at_least=0.0),
        Check("better than a Gaussian process with one length-scale", "tree", "one", at_least=0.0),
        Check("better than the same tree in all rounds", "tree", "fixed", at_least=0.0),
        Check("best of what was known at first", "known"),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        pairs: int = Field(30, ge=1, description="pairs of variables")
        first: int = Field(40, ge=5, description="values that are known at first")
        rounds: int = Field(12, ge=1, description="rounds of purchases")
        batch_size: int = Field(8, ge=1, description="purchases of a round")
        generations: int = Field(10, ge=1, description="generations of the search in each round")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Let each arm buy; return the best values, as shares of the maximum."""
        options, arms = self.options, ("tree", "fixed", "each", "one", "chance")
        space = Vectors(variables={f"x{at:02d}": [0, 1] for at in range(2 * options.pairs)})
        peaks = Peaks(options.pairs, seed)
        first = list(space.design(options.first, derive_seed(seed, "first")))
        known = peaks.of(space, first)
        figures: dict[str, Any] = {"known": float(known.max())}
        curves = dict[str, list[list[float]]]()
        for number, arm in enumerate(arms):
            objects, values, best = list(first), known, [figures["known"]]
            for round in range(options.rounds):
                with single_thread():
                    batch = self._batch(arm, space, objects, values, seed, round)
                objects += batch
                values = np.concatenate([values, peaks.of(space, batch)])
                best.append(float(values.max()))
                bench.progress(number * options.rounds + round + 1, len(arms) * options.rounds, {"best": best[-1]})
            figures[arm] = best[-1]
            curves[arm] = [[float(options.batch_size * at) for at in range(len(best))], best]
        return figures | {"curves": curves}

    def _batch(
        self, arm: str, space: Vectors, objects: list[str], values: FloatArray, seed: int, round: int
    ) -> list[str]:
        n, now = self.options.batch_size, derive_seed(seed, "round", str(round))
        if arm == "chance":
            return list(space.random(n, now))
        proxy: Proxy
        if arm in ("tree", "fixed"):
            proxy = RandomDecomposition(features=dict(space.features), redrawn=arm == "tree")
        else:
            proxy = GaussianProcess(features=dict(space.features), length_scales=arm)
        proxy.fit(objects, values, seed=derive_seed(seed, "proxy"))
        score = AcquisitionReward(
            (proxy,), UpperConfidenceBound(beta=BETA), (), values[:, None], inverse_temperature=1.0
        )
        order = np.argsort(-values, kind="stable")
        search = Genetic(generations=self.options.generations, offspring=60, population=60)
        search.fit(
            GenerationContext(
                space=space,
                log_reward=score,
                seed=now,
                known=tuple(objects[at] for at in order),
                known_log_reward=values[order],
            )
        )
        found = [candidate.object for candidate in search.sample(60, seed=now)]
        return [found[at] for at in np.argsort(-score(found), kind="stable")[:n]]


class Peaks:
    """A sum of peaks, one of each pair of variables, as a share of the sum of their heights.

    Args:
        pairs: of variables; there are twice as many.
        seed: of matching, places and heights.
    """

    def __init__(self, pairs: int, seed: int) -> None:
        rng = np.random.default_rng(derive_seed(seed, "peaks"))
        self._pairs = rng.permutation(2 * pairs).reshape(pairs, 2)
        self._places, self._heights = rng.random((pairs, 2)), rng.uniform(0.5, 1.5, pairs)

    def of(self, space: Vectors, objects: list[str]) -> FloatArray:
        """Return the values (n,) of n objects."""
        x = np.array([space.point(obj).values for obj in objects], dtype=np.float64)
        away = np.square(x[:, self._pairs] - self._places).sum(2)
        return np.asarray(np.exp(-away / (2.0 * 0.3**2)) @ self._heights / self._heights.sum())
