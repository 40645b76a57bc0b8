"""A GFlowNet of edits: objects a few edits from the best known ones, in proportion to reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from data.records import Candidate, Origin
from models.generators.origins import KEY, Origins, from_state, to_state
from models.generators.spreading import spread
from models.gflownet.editing.tilted import Tilted, tilt
from models.gflownet.editing.walk import EditWalk
from models.protocols import GenerationContext
from models.registry import Component
from models.spaces.base import BaseSpace, variation_of


class Edits(Component["Edits.Options"]):
    """Sample objects with probability p_walk(x) R(x)^b / Z: a random walk of edits from the best known, tilted.

    The walk starts at one of the `starts` best measured objects, of each family `per_family` at most, and makes 1 to
    `depth` edits: mutations, or crossovers with another start. Its objects are near the data, where the surrogate can
    tell them apart, and the reward decides among them, not the entropy of the space. b is such that the first edits,
    weighted by R^b, are worth `share` of their number. Without `prior` the weights are R^b alone. `sample` draws
    without replacement in proportion to the weights;
    `log_prob` is the logarithm of the estimated probability of a candidate.

    `fit` is a pure function of its context, so it needs no checkpoint.

    Reference: the objective is relative trajectory balance, Venkatraman et al., arXiv 2405.20971; see
    `models.gflownet.editing.tilted`.
    """

    group = "generator"
    kind = "edits"
    cites = ("venkatraman2024rtb", "kool2020estimating")

    class Options(Component.Options):
        """Options of the generator `edits`."""

        starts: int = Field(default=50, ge=1, description="best measured objects to start from")
        per_family: int = Field(default=5, ge=1, description="starts of one family at most")
        hinted: int = Field(default=25, ge=0, description="best objects of other generators to start from beside them")
        depth: int = Field(default=3, ge=1, le=20, description="most edits between a start and a candidate")
        edits: int = Field(default=8, ge=2, le=10_000, description="edits drawn of each object")
        parents: int = Field(default=100, ge=1, le=100_000, description="objects of a level that are edited further")
        mutation_share: float = Field(default=0.3, ge=0, le=1, description="share of edits that are not crossovers")
        share: float = Field(
            default=0.1, gt=0, le=1, description="effective share of the first edits, which decides the power of R"
        )
        beta: float | None = Field(default=None, gt=0, description="the power b of the reward; null: from `share`")
        prior: bool = Field(
            default=True, description="whether the walk's probability counts; false: R^b alone among the edits made"
        )

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._space: BaseSpace[Any] | None = None
        self._known: frozenset[str] = frozenset()
        self._hints: frozenset[str] = frozenset()
        self._tilted: Tilted | None = None
        self._origins = Origins()

    def check(self, space: BaseSpace[Any]) -> None:
        """Look whether objects of the space can be edited.

        Raises:
            ComponentError: the space has no edits.
        """
        variation_of(space, (), self.kind)

    def fit(self, context: GenerationContext) -> None:
        """Draw under `context.log_reward`; deterministic under `context.seed`.

        Raises:
            ComponentError: the space has no edits.
            ValueError: there is nothing to start from, or no edit succeeds.
        """
        options, space = self.options, self._prepare(context)
        rng = np.random.default_rng(context.seed)
        objects = context.known or tuple(context.library[i] for i in rng.permutation(len(context.library)))
        inside = [obj for obj in objects[: 20 * options.starts] if not space.outside(obj)]
        if not inside:
            raise ValueError(
                "The generator 'edits' starts from measured objects or a library inside the space; the context has "
                "neither. Add a data source to the campaign."
            )
        starts = spread(inside, space.family, options.starts, options.per_family)
        walk = EditWalk(
            variation_of(space, context.library or context.known, self.kind),
            tuple(dict.fromkeys([*starts, *context.hints[: options.hinted]])),
            options.depth,
            options.mutation_share,
        )
        self._tilted = tilt(
            walk,
            context.log_reward,
            rng,
            edits=options.edits,
            parents=max(1, round(options.parents * context.effort)),
            share=options.share,
            beta=options.beta,
            prior=options.prior,
            slopes=self._slopes(context.warm_start),
            progress=lambda level, figures: context.progress(level, options.depth, figures),
        )
        self._origins = Origins(walk.reached)

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct objects that are not measured, drawn in proportion to their weights.

        Raises:
            RuntimeError: `fit` was not called.
        """
        if self._space is None or self._tilted is None:
            raise RuntimeError("The generator 'edits' has nothing to draw from; call `fit` or `load_state` first.")
        tilted, drawn = self._tilted, dict[str, Candidate]()
        objects, log_weights = list(tilted.weights), np.array(list(tilted.weights.values()))
        keys = log_weights + np.random.default_rng(seed).gumbel(size=len(objects))
        for place in np.argsort(-keys, kind="stable").tolist():
            if len(drawn) == n:
                break
            key = self._space.identity(objects[place])
            if key not in self._known and objects[place] not in self._hints:
                log_prob = float(log_weights[place] - tilted.log_z)
                drawn.setdefault(key, Candidate(id=key, object=objects[place], source=self.kind, log_prob=log_prob))
        return list(drawn.values())

    def best(self, n: int) -> dict[str, float]:
        """Return up to n drawn objects of highest log-reward, without measured ones and hints."""
        if self._tilted is None or self._space is None:
            return {}
        rewards, space = self._tilted.log_rewards, self._space
        ranked = sorted(rewards, key=lambda obj: (-rewards[obj], obj))
        unmeasured = (obj for obj in ranked if obj not in self._hints and space.identity(obj) not in self._known)
        return {obj: rewards[obj] for obj in islice(unmeasured, n)}

    def lineage(self, objects: Sequence[str]) -> dict[str, Origin]:
        """Return by which edits objects were first reached from the walk's starts, which have no entry."""
        return self._origins.closure(objects)

    def state(self) -> dict[str, Any]:
        """Return the objects with their log-weights and how they were reached, b, the slopes and the history."""
        tilted = self._tilted or Tilted({}, {}, 1.0, [])
        return {
            "objects": list(tilted.weights),
            "log_weights": list(tilted.weights.values()),
            "log_rewards": [tilted.log_rewards[obj] for obj in tilted.weights],
            "beta": tilted.beta,
            "slopes": list(tilted.slopes),
            "hints": sorted(self._hints),
            KEY: to_state(self._origins.closure(tilted.weights)),
            "history": self.history(),
        }

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned."""
        self._prepare(context)
        self._hints = frozenset(state.get("hints", ()))  # states of before have none
        self._origins = Origins(from_state(state.get(KEY)))
        weights = dict(zip(state["objects"], state["log_weights"], strict=True))
        log_rewards = dict(zip(state["objects"], state.get("log_rewards", state["log_weights"]), strict=True))
        history = [dict(row) for row in state["history"]]
        self._tilted = Tilted(weights, log_rewards, state["beta"], list(state["slopes"]), history)

    def history(self) -> list[dict[str, float]]:
        """Return, per number of edits: objects, mean and best log-reward, effective draws, b, and the slope."""
        return [] if self._tilted is None else [dict(row) for row in self._tilted.levels]

    def _prepare(self, context: GenerationContext) -> BaseSpace[Any]:
        self._space = context.space
        self._known = frozenset(map(context.space.identity, context.known))
        self._hints = frozenset(context.hints)
        return context.space

    def _slopes(self, warm_start: Path | None) -> list[float] | None:
        if warm_start is None:
            return None
        import torch  # only where a state must be read

        slopes = torch.load(warm_start, weights_only=True)["slopes"]
        return list(slopes) if len(slopes) == self.options.depth else None
