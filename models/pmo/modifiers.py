"""From a property to a score in [0, 1], and from several scores to one.

Reference: Brown, Fiscato, Segler, Vaucher, J. Chem. Inf. Model. 2019, 59, 1096 (GuacaMol), Supporting Information.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


def plain(value: float) -> float:
    """Return the value itself."""
    return value


@dataclass(frozen=True)
class Clipped:
    """A line from 0 at 0 to 1 at `full`, which it does not leave."""

    full: float

    def __call__(self, value: float) -> float:
        """Return the score of a value."""
        return min(max(value / self.full, 0.0), 1.0)


@dataclass(frozen=True)
class Gaussian:
    """1 at `mean`, falling on both sides as a normal density of standard deviation `width`."""

    mean: float
    width: float

    def __call__(self, value: float) -> float:
        """Return the score of a value."""
        return math.exp(-0.5 * ((value - self.mean) / self.width) ** 2)


@dataclass(frozen=True)
class AtMost:
    """1 up to `limit`, falling above as a normal density of standard deviation `width` (GuacaMol: MinGaussian)."""

    limit: float
    width: float

    def __call__(self, value: float) -> float:
        """Return the score of a value."""
        return Gaussian(self.limit, self.width)(max(value, self.limit))


@dataclass(frozen=True)
class AtLeast:
    """1 from `limit` on, falling below as a normal density of standard deviation `width` (GuacaMol: MaxGaussian)."""

    limit: float
    width: float

    def __call__(self, value: float) -> float:
        """Return the score of a value."""
        return Gaussian(self.limit, self.width)(min(value, self.limit))


Modifier = Callable[[float], float]
"""What makes a score of a value."""

Mean = Callable[[Sequence[float]], float]
"""What makes one score of several."""


def arithmetic(scores: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return math.fsum(scores) / len(scores)


def geometric(scores: Sequence[float]) -> float:
    """Return the geometric mean of scores that are not negative; 0 if one of them is."""
    if min(scores) == 0:
        return 0.0
    return math.exp(math.fsum(map(math.log, scores)) / len(scores))
