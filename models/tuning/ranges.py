"""What may be chosen: ranges and lists of values, by the key of the option."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.config import ConfigError
from data.records import FloatArray

Settings = dict[str, Any]
"""Key of an option -> its value."""

DECADE = 10.0
DIGITS = 3
"""Significant digits of a number that is chosen, so that a file can be read."""


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, on a logarithmic scale where they are a decade or more apart.

    Attributes:
        low, high: the ends, included.
        whole: whether only whole numbers are meant.
    """

    low: float
    high: float
    whole: bool = False

    @property
    def logarithmic(self) -> bool:
        """Whether ratios count, not differences."""
        return self.low > 0 and self.high / self.low >= DECADE

    def unit(self, value: Any) -> float:
        """Return where a value is between the ends, from 0 to 1."""
        low, high, at = (math.log(x) if self.logarithmic else x for x in (self.low, self.high, self._inside(value)))
        return (at - low) / (high - low)

    def at(self, unit: float) -> Any:
        """Return the value at a place from 0 to 1."""
        if self.logarithmic:
            return self._told(self.low * (self.high / self.low) ** unit)
        return self._told(self.low + (self.high - self.low) * unit)

    def perturbed(self, value: Any, factor: float, rng: np.random.Generator) -> Any:
        """Return a value times a factor, inside the ends; 0 gets an eighth of the range instead of staying."""
        del rng
        moved = value * factor if value else (self.high - self.low) / 8
        if self.whole and round(moved) == value:
            moved = value + (1 if factor > 1 else -1)
        return self._told(self._inside(moved))

    def _inside(self, value: float) -> float:
        return min(max(value, self.low), self.high)

    def _told(self, value: float) -> Any:
        return round(value) if self.whole else self._inside(float(f"{value:.{DIGITS}g}"))


@dataclass(frozen=True)
class Choices:
    """Some values without an order."""

    values: tuple[Any, ...]

    def unit(self, value: Any) -> float:
        """Return the place of a value among them, from 0 to 1; of one that is not among them that of the first."""
        place = self.values.index(value) if value in self.values else 0
        return place / max(len(self.values) - 1, 1)

    def at(self, unit: float) -> Any:
        """Return the value at a place from 0 to 1."""
        return self.values[min(int(unit * len(self.values)), len(self.values) - 1)]

    def perturbed(self, value: Any, factor: float, rng: np.random.Generator) -> Any:
        """Return the value, or, when the factor is above 1, another one at random."""
        others = [other for other in self.values if other != value]
        return others[int(rng.integers(len(others)))] if factor > 1 and others else value


@dataclass(frozen=True)
class SearchSpace:
    """The options that are chosen, each with what it may be."""

    options: Mapping[str, Range | Choices]

    def draw(self, rng: np.random.Generator) -> Settings:
        """Return settings at random."""
        return {key: option.at(float(rng.random())) for key, option in self.options.items()}

    def explored(
        self, settings: Settings, rng: np.random.Generator, factors: Sequence[float], resample: float
    ) -> Settings:
        """Return other settings: each value times one of the factors, or, with probability `resample`, drawn anew."""
        return {
            key: option.at(float(rng.random()))
            if rng.random() < resample
            else option.perturbed(settings[key], factors[int(rng.integers(len(factors)))], rng)
            for key, option in self.options.items()
        }

    def point(self, settings: Settings) -> FloatArray:
        """Return settings as numbers from 0 to 1, shape `(d,)`; choices have a number for each value."""
        numbers: list[float] = []
        for key, option in self.options.items():
            if isinstance(option, Range):
                numbers.append(option.unit(settings[key]))
            else:
                numbers += [float(settings[key] == value) for value in option.values]
        return np.array(numbers)


def search_space(over: Mapping[str, Any]) -> SearchSpace:
    """Return what `over: {learning_rate: [1e-4, 1e-2], kernel: [sum, descriptors, tanimoto]}` says.

    Two numbers are the ends of a range, of whole numbers where both are; anything else is a list of values.

    Raises:
        ConfigError: nothing can be chosen, or an entry is no list of two values at least.
    """
    if not over:
        raise ConfigError("There is nothing to choose: no option has a range. Give --over KEY=[LOW, HIGH].")
    return SearchSpace({key: _option(key, value) for key, value in over.items()})


def _option(key: str, given: Any) -> Range | Choices:
    values = [_number(value) for value in given] if isinstance(given, list | tuple) else []
    if len(values) < 2:
        raise ConfigError(
            f"What {key} may be is told by a list: [LOW, HIGH], or several values; got {given!r}. "
            f"For example --over '{key}=[0.001, 0.1]'."
        )
    if len(values) == 2 and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = values
        if not low < high:
            raise ConfigError(f"The range of {key} goes from the lower to the higher end; got [{low}, {high}].")
        return Range(float(low), float(high), whole=isinstance(low, int) and isinstance(high, int) and high > 1)
    return Choices(tuple(values))


def _number(value: Any) -> Any:
    """Return a number that YAML takes for a text, such as 1e-4."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value
