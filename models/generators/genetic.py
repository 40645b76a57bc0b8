"""A genetic algorithm on molecular graphs: crossover and mutation of the best objects known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from data.records import Candidate, Making, Origin
from models.generators.origins import KEY, Origins, from_state, to_state
from models.generators.spreading import spread
from models.protocols import GenerationContext
from models.registry import Component
from models.spaces.base import BaseSpace, Variation, variation_of

_SAMPLING_TRIES = 50
"""Offspring bred per missing candidate before sampling gives up."""


class Genetic(Component["Genetic.Options"]):
    """Evolve a population towards a high log-reward and propose the best objects it met that are not measured.

    The population starts from the best measured objects, a sample of the library, the best that the search of the last
    round met and did not get bought, and what other generators hint at. In each generation parents are
    drawn log-uniformly in rank, `floor(N * 10^U(-2.5, 0))`; a share `mutation_share` of the offspring are mutants of
    one parent, the others crossovers, of which a share `mutate_crossover` are mutated too; the best `population` of
    parents and offspring go on. `fit` is a pure function of its context, so it needs no checkpoint. Stereochemistry is
    dropped by the edits.

    Reference: Jensen, Chem. Sci. 2019, 10, 3567; log-uniform parents from Tripp and Hernandez-Lobato, arXiv 2310.09267.
    """

    group = "generator"
    kind = "genetic"
    cites = ("jensen2019graph", "tripp2023genetic")

    class Options(Component.Options):
        """Options of the generator `genetic`."""

        generations: int = Field(default=12, ge=1, le=10_000, description="rounds of selection")
        offspring: int = Field(default=100, ge=1, le=1_000_000, description="offspring per generation")
        population: int = Field(default=150, ge=2, le=1_000_000, description="objects that go on")
        elite: int = Field(default=100, ge=0, description="best measured objects in the first population")
        fresh: int = Field(default=100, ge=0, description="random library objects in the first population")
        carried: int = Field(default=100, ge=0, description="best of the last search in the first population")
        hinted: int = Field(default=100, ge=0, description="best objects of other generators in the first population")
        per_family: int | None = Field(default=None, ge=1, description="most objects of a family that go on; null: any")
        mutation_share: float = Field(default=0.3, ge=0, le=1, description="share of offspring with one parent")
        mutate_crossover: float = Field(default=0.05, ge=0, le=1, description="share of crossovers mutated too")

        @model_validator(mode="after")
        def _elite_goes_on(self) -> Self:
            # Of a population that is set alone, the usual elite is cut to it.
            if self.elite > self.population and self.elite != type(self).model_fields["elite"].default:
                raise ValueError(
                    f"`elite` is {self.elite}, and only {self.population} objects go on (`population`): the others "
                    "would be left out at once. Give an elite of at most the population"
                )
            return self

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._population: dict[str, float] = {}
        self._archive: dict[str, float] = {}
        self._known: frozenset[str] = frozenset()
        self._hints: frozenset[str] = frozenset()
        self._variation: Variation | None = None
        self._space: BaseSpace[Any] | None = None
        self._history: list[dict[str, float]] = []
        self._origins = Origins()

    def cited_in(self, space: BaseSpace[Any]) -> tuple[str, ...]:
        """Return the paper of the draw of parents, and those of the space's edits: Jensen's are of molecules."""
        return (*space.edits_cite, "tripp2023genetic")

    def fit(self, context: GenerationContext) -> None:
        """Evolve the population under `context.log_reward`; deterministic under `context.seed`.

        Raises:
            ValueError: the context has neither a measured object nor a library to start from.
        """
        self._prepare(context)
        rng = np.random.default_rng(context.seed)
        self._archive, self._history, self._origins = {}, [], Origins()
        self._population = self._first_population(context, rng)
        options = self.options
        generations = max(1, round(options.generations * context.effort))
        for generation in range(1, generations + 1):
            children = self._breed(options.offspring, rng)
            self._evaluate(children, context)
            metrics = self._metrics(generation, len(children))
            self._history.append(metrics)
            context.progress(generation, generations, metrics)

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n candidates: the best that the search met, then, if those are too few, new offspring.

        Members of the library that are not measured count as met; measured objects are never proposed.
        """
        space, _ = self._require_fit()
        found: dict[str, Candidate] = {}
        for obj in self._proposals(n, np.random.default_rng(seed)):
            if len(found) >= n:
                break
            key = space.identity(obj)
            if key not in self._known:
                found.setdefault(key, Candidate(id=key, object=obj, source=self.kind))
        return list(found.values())

    def best(self, n: int) -> dict[str, float]:
        """Return up to n objects that the search met, without measured ones and hints, best first."""
        space, _ = self._require_fit()
        fresh = (obj for obj in _ranked(self._archive) if obj not in self._hints)
        unmeasured = (obj for obj in fresh if space.identity(obj) not in self._known)
        return {obj: self._archive[obj] for obj in islice(unmeasured, n)}

    def lineage(self, objects: Sequence[str]) -> dict[str, Origin]:
        """Return how objects and their ancestors were bred, those of earlier rounds included that were carried over."""
        return self._origins.closure(objects)

    def state(self) -> dict[str, Any]:
        """Return population and archive with their log-rewards, how they were bred, and the history."""
        return {
            "population": list(self._population),
            "population_log_reward": list(self._population.values()),
            "archive": list(self._archive),
            "archive_log_reward": list(self._archive.values()),
            "hints": sorted(self._hints),
            KEY: to_state(self._origins.closure(self._archive)),
            "history": [dict(row) for row in self._history],
        }

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned."""
        self._prepare(context)
        self._hints = frozenset(state.get("hints", ()))  # states of before have none
        self._population = dict(zip(state["population"], state["population_log_reward"], strict=True))
        self._archive = dict(zip(state["archive"], state["archive_log_reward"], strict=True))
        self._history = [dict(row) for row in state["history"]]
        self._origins = Origins(from_state(state.get(KEY)), self._population)

    def history(self) -> list[dict[str, float]]:
        """Return, per generation: step, best and mean log-reward of the population, new objects, evaluated in all."""
        return [dict(row) for row in self._history]

    def _prepare(self, context: GenerationContext) -> None:
        source = context.library or context.known
        if not source:
            raise ValueError(
                "The generator 'genetic' starts from measured objects or a library; the context has neither. Add a "
                "data source to the campaign."
            )
        self._space, self._variation = context.space, variation_of(context.space, source, self.kind)
        self._known = frozenset(map(context.space.identity, context.known))
        # A member of the library counts as met by everyone.
        self._hints = frozenset(context.hints) - frozenset(context.library)

    def check(self, space: BaseSpace[Any]) -> None:
        """Look whether objects of the space can be varied.

        Raises:
            ComponentError: the space has no edits.
        """
        variation_of(space, (), self.kind)

    def _require_fit(self) -> tuple[BaseSpace[Any], Variation]:
        if self._space is None or self._variation is None:
            raise ValueError("The generator 'genetic' has no population yet; call `fit` or `load_state` first.")
        return self._space, self._variation

    def _first_population(self, context: GenerationContext, rng: np.random.Generator) -> dict[str, float]:
        options = self.options
        measured = dict(zip(context.known, context.known_log_reward.tolist(), strict=True))
        elite = list(context.known[: options.elite])
        if options.per_family is not None:
            elite = list(spread(context.known, context.space.family, options.elite, options.per_family))
        population = {obj: measured[obj] for obj in elite}
        order = rng.permutation(len(context.library))[: options.fresh]
        fresh = [context.library[index] for index in order]
        others = [*self._carried(context), *context.hints[: options.hinted], *fresh]
        unseen = [obj for obj in dict.fromkeys(others) if obj not in population and not context.space.outside(obj)]
        if unseen:
            values = context.log_reward(unseen)
            scored = {obj: float(value) for obj, value in zip(unseen, values, strict=True)}
            self._archive.update(scored)
            population.update(scored)
        if not population:
            raise ValueError(
                "The generator 'genetic' found no object to start from: `elite` or `fresh` is 0, or no member of the "
                "library lies inside the space."
            )
        return self._fittest(population)

    def _carried(self, context: GenerationContext) -> list[str]:
        """Return the best that the last round's search met, those left out that were measured since."""
        if context.warm_start is None or not self.options.carried:
            return []
        import torch  # only where a state must be read

        state = torch.load(context.warm_start, weights_only=True)
        archive = dict(zip(state["archive"], state["archive_log_reward"], strict=True))
        measured = set(context.known)
        carried = [obj for obj in _ranked(archive) if obj not in measured][: self.options.carried]
        self._origins = Origins(Origins(from_state(state.get(KEY))).closure(carried))
        return carried

    def _breed(self, n: int, rng: np.random.Generator) -> list[str]:
        """Return up to n distinct new objects; a population that is exhausted gives fewer."""
        parents, children = list(self._population), dict[str, None]()
        for _ in range(4 * n):
            if len(children) == n:
                break
            child = self._offspring(parents, rng)
            if child is not None and child not in self._archive and child not in self._population:
                children[child] = None
        return list(children)

    def _offspring(self, parents: Sequence[str], rng: np.random.Generator) -> str | None:
        (_, variation), options = self._require_fit(), self.options
        first = _parent(parents, rng)
        if rng.random() < options.mutation_share:
            return self._born(variation.mutate(first, rng), Making.MUTATION, first)
        second = _parent(parents, rng)
        child = variation.crossover(first, second, rng)
        if child is not None and rng.random() < options.mutate_crossover:
            return self._born(variation.mutate(child, rng), Making.BOTH, first, second)
        return self._born(child, Making.CROSSOVER, first, second)

    def _born(self, child: str | None, operation: Making, *parents: str) -> str | None:
        """Note how a child was bred; what was met before keeps the origin that it had, and starts have none."""
        if child is not None and child not in self._archive and child not in self._population:
            self._origins.record(child, Origin(str(operation), tuple(dict.fromkeys(parents))))
        return child

    def _evaluate(self, children: Sequence[str], context: GenerationContext) -> None:
        if not children:
            return
        values = context.log_reward(children)
        scored = {obj: float(value) for obj, value in zip(children, values, strict=True)}
        self._archive.update(scored)
        self._population = self._fittest({**self._population, **scored})

    def _fittest(self, objects: Mapping[str, float]) -> dict[str, float]:
        options, ranked = self.options, _ranked(objects)
        if options.per_family is not None:
            space, _ = self._require_fit()
            ranked = list(spread(ranked, space.family, options.population, options.per_family))
        return {obj: objects[obj] for obj in ranked[: options.population]}

    def _metrics(self, generation: int, children: int) -> dict[str, float]:
        values = list(self._population.values())
        return {
            "step": float(generation),
            "best": values[0],
            "mean": math.fsum(values) / len(values),
            "new": float(children),
            "evaluated": float(len(self._archive)),
        }

    def _proposals(self, n: int, rng: np.random.Generator) -> Iterator[str]:
        yield from (obj for obj in _ranked(self._archive) if obj not in self._hints)
        parents = list(self._population)
        for _ in range(_SAMPLING_TRIES * n):
            child = self._offspring(parents, rng)
            if child is not None and child not in self._hints:
                yield child


def _ranked(objects: Mapping[str, float]) -> list[str]:
    """Return objects by log-reward, best first, ties by text."""
    return sorted(objects, key=lambda obj: (-objects[obj], obj))


def _parent(parents: Sequence[str], rng: np.random.Generator) -> str:
    return parents[int(len(parents) * 10 ** rng.uniform(-2.5, 0))]
