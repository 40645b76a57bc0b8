"""Model-based asynchronous tuning: a Gaussian process proposes settings, rungs end the poor ones early."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from scipy.special import ndtr

from data.records import FloatArray
from models.proxies.gaussian_process import GaussianProcess
from models.proxies.pending import believing_pending
from models.registry import Component
from models.tuning.base import Budget, Found, Row, Subject, Tell, Tuner, seeds_of
from models.tuning.ranges import Settings

CANDIDATES = 256
"""Settings among which the best is proposed; half of them are near the best of what was tried."""


@dataclass
class _Job:
    number: int
    member: Any
    rung: int


class ModelBased(Tuner["ModelBased.Options"]):
    """Settings proposed by a Gaussian process over settings and the logarithm of the training; rungs end poor ones.

    A member is trained to r, eta r, eta^2 r ... units, the last being a training in full. At a rung it goes on if its
    score is among the best 1 / eta of those that have reached the rung so far; else its place goes to new settings,
    without waiting for others. New settings maximise the expected improvement on the best at the highest rung that
    enough members have reached. Members still in training are believed to be as the process predicts, so that two
    places do not try the same; the paper averages over sampled fantasies instead.

    Reference: Klein, Tiao, Lienart, Archambeau and Seeger, Model-based asynchronous hyperparameter and neural
    architecture search (2020), arXiv:2003.10865; rungs: Li et al., A system for massively parallel hyperparameter
    tuning (2020), arXiv:1810.05934.
    """

    kind: ClassVar[str] = "model_based"
    cites: ClassVar[tuple[str, ...]] = ("klein2020model", "li2020system", "ginsbourger2010kriging", "jones1998ego")
    copies: ClassVar[bool] = False

    class Options(Component.Options):
        """Rungs and the model."""

        rungs: int = Field(3, ge=1, le=10, description="how many there are, the last one a training in full")
        eta: float = Field(3.0, gt=1, description="units of a rung to those of the one before")
        random: int = Field(6, ge=2, description="scores before the model proposes; settings are drawn until then")
        model: bool = Field(True, description="whether there is a model; false: all settings are drawn at random")

    def search(
        self, subject: Subject, population: int, budget: Budget, *, seed: int, tell: Tell = lambda row: None
    ) -> Found:
        """Train members in turns, each to its next rung, until the budget is spent."""
        rng = np.random.default_rng(seed)
        levels = self.levels(subject.units)
        rows: list[Row] = []
        trained: list[tuple[Row, int, Any]] = []
        jobs: list[_Job] = []
        count = 0
        while True:
            if len(jobs) < population:
                pending = [(job.member.settings, job.rung) for job in jobs]
                settings = (
                    dict(subject.settings) if count == 0 else self._proposed(subject, trained, pending, levels, rng)
                )
                jobs.append(_Job(count, subject.member(settings, seeds_of(seed + count, 1)[0]), 0))
                count += 1
                if len(jobs) < population:
                    continue
            job = jobs.pop(0)
            more = levels[job.rung] - job.member.done
            job.member.train(more)
            budget.charge(more)
            score = job.member.score()
            row = Row(
                job.number, levels[job.rung], score, dict(job.member.settings), budget.spent, failure=job.member.failure
            )
            rows.append(row)
            trained.append((row, job.rung, job.member))
            tell(row)
            if budget.over:
                break
            rivals = [one.score for one, rung, _ in trained if rung == job.rung]
            if job.rung + 1 < len(levels) and self.goes_on(row.score, rivals):
                job.rung += 1
                jobs.append(job)
        top = max(rung for _, rung, _ in trained)
        best, _, member = max((one for one in trained if one[1] == top), key=lambda one: one[0].score)
        return Found(dict(best.settings), best.score, member, rows)

    def levels(self, units: int) -> list[int]:
        """Return the units of each rung, ascending, without those that are less than one unit."""
        powers = range(self.options.rungs - 1, -1, -1)
        return sorted({level for power in powers if (level := round(units / self.options.eta**power)) >= 1})

    def goes_on(self, score: float, rivals: list[float]) -> bool:
        """Return whether a score is among the best 1 / eta of all at its rung, itself included."""
        better = sum(rival > score for rival in rivals)
        return score > -math.inf and better < max(1, math.floor(len(rivals) / self.options.eta))

    def _proposed(
        self,
        subject: Subject,
        trained: list[tuple[Row, int, Any]],
        pending: list[tuple[Settings, int]],
        levels: list[int],
        rng: np.random.Generator,
    ) -> Settings:
        finite = [(row, rung) for row, rung, _ in trained if row.score > -math.inf]
        if not self.options.model or len(finite) < self.options.random:
            return subject.space.draw(rng)

        def at(settings: Settings, rung: int) -> FloatArray:
            share = math.log(levels[rung] / levels[0]) / max(math.log(levels[-1] / levels[0]), 1e-9)
            return np.append(subject.space.point(settings), share)

        worst = min(row.score for row, _ in finite)
        points = np.stack([at(row.settings, rung) for row, rung, _ in trained])
        scores = np.array([max(row.score, worst) for row, _, _ in trained])
        process: Any = GaussianProcess(features="identity", kernel="descriptors")
        process.fit(points, scores, seed=int(rng.integers(2**31)))
        reached = [sum(rung == own for _, own in finite) for rung in range(len(levels))]
        enough = [rung for rung, number in enumerate(reached) if number >= points.shape[1]] or [int(np.argmax(reached))]
        rung = enough[-1]
        if pending:
            rows: list[Any] = [at(*one) for one in pending]
            process = believing_pending(process, rows)
        best = max((row for row, own in finite if own == rung), key=lambda row: row.score)
        near = [subject.space.explored(best.settings, rng, (0.8, 1.0, 1.25), 0.1) for _ in range(CANDIDATES // 2)]
        candidates = [*near, *(subject.space.draw(rng) for _ in range(CANDIDATES - len(near)))]
        predicted = process.predict(np.stack([at(one, rung) for one in candidates]))
        z = (predicted.mean - best.score) / predicted.std
        density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        gain = predicted.std * (z * ndtr(z) + density)
        return candidates[int(np.argmax(gain))]
