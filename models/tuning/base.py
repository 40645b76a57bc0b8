"""What is tuned, what it may cost, and what a way to search promises."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from models.registry import Component, OptionsT
from models.tuning.ranges import SearchSpace, Settings

FAILED = -np.inf
"""Score of what could not be trained."""


class Member(Protocol):
    """One candidate of a search: settings, and a training with them."""

    settings: Settings
    done: int
    """Units that it was trained for."""
    failure: str | None
    """Why it could not be trained, the first line of the error; None: it could."""

    def train(self, units: int) -> None:
        """Train for so many units more; one that failed before stays as it is."""

    def score(self) -> float:
        """Return how good it is, greater being better; `FAILED` if it could not be trained."""

    def alter(self, settings: Settings) -> None:
        """Go on with other settings."""

    def weights(self) -> Any:
        """Return a copy of all that training goes on from."""

    def adopt(self, weights: Any) -> None:
        """Go on from the weights of another one; the settings stay."""


class Evolving(Member, Protocol):
    """A member of a population that learns from what all of them met."""

    def draw(self, population: int) -> Any:
        """Return this member's part of what a population of so many draws for one step, rewards included."""

    def learn(self, drawn: list[Any]) -> None:
        """Take a step on what all members drew, and on objects that any of them met before."""

    def disturb(self, deviation: float) -> None:
        """Move the weights at random, by this share of each."""


class Subject(Protocol):
    """What is tuned."""

    @property
    def space(self) -> SearchSpace:
        """What may be chosen."""

    @property
    def settings(self) -> Settings:
        """Those it has without tuning."""

    @property
    def units(self) -> int:
        """That a member is trained for in full."""

    def member(self, settings: Settings, seed: int) -> Any:
        """Return a member before its first unit."""

    def company(self, settings: list[Settings], seeds: list[int]) -> list[Any]:
        """Return members that share the objects they meet.

        Raises:
            ConfigError: what is tuned cannot learn from what others met.
        """


@dataclass(frozen=True)
class Row:
    """What a member was at one moment of a search.

    Attributes:
        member: its number.
        units: that it was trained for.
        score: then.
        settings: with which.
        cpu_seconds: of the whole search so far.
        source: number of the member whose weights it went on from; None: its own.
        failure: why it could not be trained, the first line of the error; None: it could.
    """

    member: int
    units: int
    score: float
    settings: Settings
    cpu_seconds: float
    source: int | None = None
    failure: str | None = None


@dataclass
class Budget:
    """How much a search may cost: CPU seconds of the thread that trains, or units of training, whichever ends first.

    Members are trained in turns in one thread, so its CPU time is that of all members, their judgement included.
    """

    cpu_seconds: float = np.inf
    units: float = np.inf
    clock: Callable[[], float] = time.thread_time
    used: int = 0
    _since: float = field(init=False)

    def __post_init__(self) -> None:
        self._since = self.clock()

    @property
    def spent(self) -> float:
        """CPU seconds so far."""
        return self.clock() - self._since

    def charge(self, units: int) -> None:
        """Count units of training."""
        self.used += units

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count what a block takes: it only tells others how far the search is."""
        since = self.clock()
        try:
            yield
        finally:
            self._since += self.clock() - since

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self.spent >= self.cpu_seconds or self.used >= self.units


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        settings: the best.
        score: of the member that had them, when it was last judged.
        member: that one.
        rows: the course of the search.
    """

    settings: Settings
    score: float
    member: Any
    rows: list[Row]


Tell = Callable[[Row], None]


class Tuner(Component[OptionsT]):
    """A way to search for better settings; the same seed takes the same way, and the budget says how far it goes."""

    group: ClassVar[str] = "tuner"
    copies: ClassVar[bool] = True
    """Whether weights go from one member to another, so that options can be chosen in the course of a training only."""

    @abstractmethod
    def search(
        self, subject: Subject, population: int, budget: Budget, *, seed: int, tell: Tell = lambda row: None
    ) -> Found:
        """Search until the budget is spent, or every member has been trained in full.

        The first member has the settings that the subject has without tuning.

        Args:
            subject: what is tuned.
            population: members at one time.
            budget: what it may cost.
            seed: of everything that is random.
            tell: called whenever a member was judged.
        """


def first_settings(subject: Subject, population: int, rng: np.random.Generator) -> list[Settings]:
    """Return the settings of a new population: those without tuning, then others at random."""
    return [dict(subject.settings), *(subject.space.draw(rng) for _ in range(population - 1))]


def first_line(error: Exception) -> str:
    """Return what an error says in one line, its name where it says nothing."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def seeds_of(seed: int, n: int) -> list[int]:
    """Return seeds of n members."""
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(n)]
