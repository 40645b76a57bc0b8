"""SEARL: an evolutionary population whose members all learn from what any of them met."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from models.registry import Component
from models.tuning.base import Budget, Found, Row, Subject, Tell, Tuner, first_settings, seeds_of
from models.tuning.population import rounds_of
from models.tuning.ranges import Settings


class SharedReplay(Tuner["SharedReplay.Options"]):
    """An evolving population with one replay: a reward that one member asked for serves all of them.

    In a step every member draws its part of one batch, and each learns off-policy from the whole batch and from the
    replay of all. So a population of P asks for as many rewards as one training. At the end of a generation the elite
    goes on as it is; every other place is taken by the winner of a tournament, which is then mutated: its settings, or
    its weights by noise, or not at all. The paper also mutates the architecture; here the network stays.

    Reference: Franke, Köhler, Biedenkapp and Hutter, Sample-efficient automated deep reinforcement learning (2021),
    arXiv:2009.01555, algorithm 1.
    """

    kind: ClassVar[str] = "shared_replay"
    cites: ClassVar[tuple[str, ...]] = ("franke2021sample",)

    class Options(Component.Options):
        """How the population evolves."""

        rounds: int = Field(10, ge=1, description="generations of a member that is trained in full")
        tournament: int = Field(3, ge=1, description="members that a parent is the best of")
        noise: float = Field(0.1, ge=0, description="standard deviation of the factors of mutated weights, less 1")
        factors: tuple[float, ...] = Field(
            (0.8, 1.2), min_length=1, description="that mutated settings are multiplied by"
        )
        resample: float = Field(0.1, ge=0, le=1, description="probability that a mutated setting is drawn anew")

    def search(
        self, subject: Subject, population: int, budget: Budget, *, seed: int, tell: Tell = lambda row: None
    ) -> Found:
        """Train all members a generation at a time."""
        rng = np.random.default_rng(seed)
        members = subject.company(first_settings(subject, population, rng), seeds_of(seed, population))
        rows: list[Row] = []
        sources: list[int | None] = [None] * population
        scores = [-np.inf] * population
        for start, end in rounds_of(subject.units, self.options.rounds):
            for _ in range(start, end):
                drawn = [member.draw(population) for member in members]
                for member in members:
                    member.learn([one for one in drawn if one is not None])
                budget.charge(population)
            for number, member in enumerate(members):
                scores[number] = member.score()
                told = dict(member.settings), budget.spent, sources[number], member.failure
                rows.append(Row(number, end, scores[number], *told))
                tell(rows[-1])
            if budget.over or end == subject.units:
                break
            sources = self._evolve(members, scores, subject, rng)
        best = int(np.argmax(scores))
        return Found(dict(members[best].settings), scores[best], members[best], rows)

    def _evolve(
        self, members: list[Any], scores: list[float], subject: Subject, rng: np.random.Generator
    ) -> list[int | None]:
        n, elite = len(members), int(np.argmax(scores))
        parents = [elite if number == elite else self._winner(scores, rng) for number in range(n)]
        taken = {parent: (members[parent].weights(), dict(members[parent].settings)) for parent in set(parents)}
        for number, (member, parent) in enumerate(zip(members, parents, strict=True)):
            if number == elite:
                continue
            weights, settings = taken[parent]
            member.adopt(weights)
            member.alter(self._mutated(settings, member, subject, rng))
        return [None if parent == number else parent for number, parent in enumerate(parents)]

    def _winner(self, scores: list[float], rng: np.random.Generator) -> int:
        entrants = rng.choice(len(scores), min(self.options.tournament, len(scores)), replace=False)
        return int(max(entrants, key=lambda number: scores[number]))

    def _mutated(self, settings: Settings, member: Any, subject: Subject, rng: np.random.Generator) -> Settings:
        what = int(rng.integers(3))
        if what == 0:
            return subject.space.explored(settings, rng, self.options.factors, self.options.resample)
        if what == 1:
            member.disturb(self.options.noise)
        return settings
