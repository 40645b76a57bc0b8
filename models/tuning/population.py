"""Population based training: poor members go on from the weights of good ones, with settings like theirs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from models.registry import Component
from models.tuning.base import Budget, Found, Row, Subject, Tell, Tuner, first_settings, seeds_of


class Population(Tuner["Population.Options"]):
    """Population based training: members train side by side; every so often poor ones copy good ones and move on.

    Exploit: under truncation each of the worst `share` of the members takes the weights of one drawn from the best
    `share`; under a tournament each member meets another one, and takes its weights if they are better. Explore: every
    setting is multiplied by one of `factors`, or drawn anew with probability `resample`. With `inherit: weights` the
    settings are not taken over and not explored: each member keeps its own.

    What is chosen in the end may so be good only after what came before: a schedule was learnt, not one value.

    Reference: Jaderberg et al., Population based training of neural networks (2017), arXiv:1711.09846, algorithm 1 and
    section 3.2. The paper's tournament is a t-test over the last ten returns; here one score is compared.
    """

    kind: ClassVar[str] = "population"
    cites: ClassVar[tuple[str, ...]] = ("jaderberg2017population",)

    class Options(Component.Options):
        """When and how members copy others."""

        rounds: int = Field(10, ge=1, description="how often a member that is trained in full may copy another")
        exploit: Literal["truncation", "tournament", "none"] = Field("truncation", description="who copies whom")
        share: float = Field(0.2, gt=0, le=0.5, description="of the members that are the best, and the worst")
        inherit: Literal["all", "weights"] = Field("all", description="what is copied: settings too, or not")
        factors: tuple[float, ...] = Field((0.8, 1.2), min_length=1, description="that settings are multiplied by")
        resample: float = Field(0.25, ge=0, le=1, description="probability that a setting is drawn anew instead")

    def search(
        self, subject: Subject, population: int, budget: Budget, *, seed: int, tell: Tell = lambda row: None
    ) -> Found:
        """Train all members in turns, a round at a time."""
        rng = np.random.default_rng(seed)
        settings = first_settings(subject, population, rng)
        members = [subject.member(own, one) for own, one in zip(settings, seeds_of(seed, population), strict=True)]
        rows: list[Row] = []
        sources: list[int | None] = [None] * population
        scores = [-np.inf] * population
        for start, end in rounds_of(subject.units, self.options.rounds):
            for number, member in enumerate(members):
                member.train(end - start)
                budget.charge(end - start)
                scores[number] = member.score()
                told = dict(member.settings), budget.spent, sources[number], member.failure
                rows.append(Row(number, end, scores[number], *told))
                tell(rows[-1])
            if budget.over or end == subject.units:
                break
            sources = self._exploit(members, scores, subject, rng)
        best = int(np.argmax(scores))
        return Found(dict(members[best].settings), scores[best], members[best], rows)

    def _exploit(
        self, members: list[Any], scores: list[float], subject: Subject, rng: np.random.Generator
    ) -> list[int | None]:
        sources = self.chosen(scores, rng)
        taken = {
            source: (members[source].weights(), dict(members[source].settings))
            for source in sources
            if source is not None
        }
        for member, source in zip(members, sources, strict=True):
            if source is None:
                continue
            weights, settings = taken[source]
            member.adopt(weights)
            if self.options.inherit == "all":
                member.alter(subject.space.explored(settings, rng, self.options.factors, self.options.resample))
        return sources

    def chosen(self, scores: list[float], rng: np.random.Generator) -> list[int | None]:
        """Return for each member whose weights it takes; None: it keeps its own. Ties are broken at random."""
        n, exploit = len(scores), self.options.exploit
        sources: list[int | None] = [None] * n
        if exploit == "none" or n < 2:
            return sources
        noise = rng.permutation(n)
        order = sorted(range(n), key=lambda number: (scores[number], noise[number]))
        if exploit == "truncation":
            few = max(1, min(n // 2, round(self.options.share * n)))
            for number in order[:few]:
                sources[number] = order[n - 1 - int(rng.integers(few))]
            return sources
        place = {number: rank for rank, number in enumerate(order)}
        for number in range(n):
            rival = int(rng.integers(n - 1))
            rival += rival >= number
            if place[rival] > place[number]:
                sources[number] = rival
        return sources


def rounds_of(units: int, rounds: int) -> list[tuple[int, int]]:
    """Divide units into rounds, as (start, end), none of them empty."""
    ends = sorted({round(units * (place + 1) / rounds) for place in range(rounds)} - {0})
    return list(zip([0, *ends], ends, strict=False))
