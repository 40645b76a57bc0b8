"""What all ways of buying share: what they are offered, what they answer, and how a campaign begins."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypeVar

from data.records import FloatArray
from models.proxies.checks import MINIMUM_LABELS
from models.registry import Component, Options

NEW = -1
"""Level of a member that is not bought yet."""

LevelJoint = Callable[[Sequence[int]], tuple[FloatArray, FloatArray]]
"""Of k members the signed mean `(L, k)` and covariance `(L k, L k)` of the function at all levels, level by level."""


class Choice(NamedTuple):
    """One purchase: a member, and the levels that it is bought at; whole or not at all."""

    member: int
    levels: tuple[int, ...]


@dataclass(frozen=True)
class Offer:
    """What may be bought in a round, of m members: the new candidates, then what is bought at cheaper levels.

    Levels count from 0, the cheapest; the last is the truth. Values are signed (`data.goals`): larger is better.

    Attributes:
        chosen: the selector's choice among the new candidates, in its order.
        scores: shape `(m,)`, larger is better; minus infinity forbids a member.
        reached: shape `(m,)`, the highest level at which a member is measured, `NEW` of new ones.
        low: shape `(m,)`, its value there; nan of new ones.
        answered: shape `(L,)`, objects of the campaign that are measured at each level, the control arm left out.
        asked: shape `(L,)`, the same, whatever became of the call.
        costs: shape `(L,)`, of one purchase at each level alone, > 0; other objectives are asked with the truth.
        n: purchases wanted.
        best: the best measured value of the truth; None before there is one.
        joint: the posterior at all levels, where the proxy has one.
        noise: shape `(L,)`, variance of the measurement noise at each level, where there is `joint`.
        seed: of ways that draw.
    """

    chosen: tuple[int, ...]
    scores: FloatArray
    reached: NDArray[np.int64]
    low: FloatArray
    answered: NDArray[np.int64]
    asked: NDArray[np.int64]
    costs: FloatArray
    n: int
    best: float | None = None
    joint: LevelJoint | None = None
    noise: FloatArray = field(default_factory=lambda: np.zeros(0))
    seed: int = 0

    @property
    def top(self) -> int:
        """The level of the truth."""
        return len(self.costs) - 1

    def missing(self, member: int, level: int) -> tuple[int, ...]:
        """Return the levels up to one at which a member is not bought yet."""
        return tuple(range(int(self.reached[member]) + 1, level + 1))


BuyingT = TypeVar("BuyingT", bound=Options, default=Options)
"""Options of a way of buying."""


class Buying(Component[BuyingT]):
    """Base of all ways of buying."""

    group = "buying"
    wants_levels: bool = False
    """Whether the proxy must have a posterior at all levels."""

    @abstractmethod
    def buy(self, offer: Offer) -> list[Choice]:
        """Return what is bought in a round, in the order of purchase."""

    @abstractmethod
    def initial(self, n: int, levels: int) -> list[tuple[int, ...]]:
        """Return the levels at which each of n objects of the initial design is bought, in their order."""

    @abstractmethod
    def control(self, levels: int) -> tuple[int, ...]:
        """Return the levels at which the control arm is bought; the truth is one, or it compares with nothing."""

    @abstractmethod
    def why(self) -> str:
        """Return why some objects go to a higher level, the end of a sentence."""


class NestedOptions(Component.Options):
    """Options of ways that buy an object at a level and at all below it."""

    promote: float = Field(
        0.2, gt=0, le=1, description="share of what is measured at a level that goes one level up; of round 0 too"
    )


NestedT = TypeVar("NestedT", bound=NestedOptions, default=NestedOptions)


class Nested(Buying[NestedT]):
    """Base of ways that buy an object at a level only with all levels below it: a level is learnt from the one below.

    Of the initial design all are measured at the cheapest level and a share `promote` of each level one level up, but
    never fewer than a proxy needs.
    """

    def initial(self, n: int, levels: int) -> list[tuple[int, ...]]:
        """Return the levels of each of n objects; the first ones go up, as the order is one of chance."""
        counts = [n]
        for _ in range(levels - 1):
            counts.append(min(counts[-1], max(MINIMUM_LABELS, math.ceil(self.options.promote * counts[-1] - 1e-9))))
        return [tuple(level for level in range(levels) if at < counts[level]) for at in range(n)]

    def control(self, levels: int) -> tuple[int, ...]:
        """Return all levels: the truth, to compare with, and what the proxy learns it from."""
        return tuple(range(levels))
