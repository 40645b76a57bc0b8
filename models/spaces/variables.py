"""Named variables of a space: real ranges, whole numbers, and choices of words or numbers."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Discriminator, Field, Tag, model_validator

from data.objects import NotStandardError
from data.tables.values import number
from data.yaml_text import shown
from models.spaces.named import Named

Value = float | int | str
"""What a variable has: a real number, a whole number or a word."""

_FINE = 1000
"""Steps of a range whose digits are not given, at least."""
_SIGNIFICANT = 4
"""Significant digits of a variable on a logarithmic scale."""
_MOST_DIGITS = 12
_STEPS = (0.2, 0.05, 0.01)
"""Standard deviations of a variation, in ranges: one is drawn, so that both the far and the near are tried."""


def written(value: float) -> str:
    """Return a number as people write it: no sign of zero, no point behind a whole number."""
    text = repr(float(value) + 0.0)
    return text[:-2] if text.endswith(".0") else text


def decimals(value: float) -> int:
    """Return how many digits stand behind the point, negative for whole numbers that end in zeros."""
    exponent = Decimal(repr(float(value))).normalize().as_tuple().exponent
    return -int(exponent) if value else -_MOST_DIGITS


def read_number(name: str, cell: str) -> float:
    """Return the number in a cell.

    Raises:
        NotStandardError: it holds none.
    """
    try:
        return number(cell)
    except NotStandardError as error:
        told = f"{name}={cell} is no number" if cell else f"no value of {name}"
        comma = cell.count(",") == 1 and cell.replace(",", "").isdigit()
        raise NotStandardError(f"{told} (decimals have a point)" if comma else told) from error


def reflected(u: float) -> float:
    """Return a place on the unit interval for one beyond its ends, as in a mirror."""
    u = u % 2.0
    return 2.0 - u if u > 1.0 else u


class Real(Named):
    """A number between two bounds, both of which it may take."""

    low: float = Field(description="least value")
    high: float = Field(description="largest value")
    log: bool = Field(default=False, description="whether equal ratios, not equal differences, are alike")
    digits: int | None = Field(
        default=None,
        ge=-12,
        le=_MOST_DIGITS,
        description="digits behind the point that count; null: a thousandth of the range or finer",
    )
    step: float | None = Field(default=None, gt=0, description="only low, low + step, ... are possible")

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        _require_range(self.name, self.low, self.high)
        if self.log and self.low <= 0:
            raise ValueError(f"{self.name!r} is on a logarithmic scale, so its low must be above 0; got {self.low:g}")
        if self.step is not None and self.digits is not None:
            raise ValueError(f"{self.name!r} has both `step` and `digits`; give one of them")
        if self.step is not None:
            whole = round((self.high - self.low) / self.step)
            if abs(self.low + whole * self.step - self.high) > 1e-6 * self.step or whole < 1:
                below = self.low + math.floor((self.high - self.low) / self.step) * self.step
                raise ValueError(
                    f"{self.name!r} goes from {self.low:g} in steps of {self.step:g} and does not meet {self.high:g}; "
                    f"set high to {below:g} or {below + self.step:g}"
                )
        if not self.rounds_ratios and max(map(decimals, (self.low, self.high, self.step or 0))) > _MOST_DIGITS:
            raise ValueError(f"{self.name!r} has bounds or a step of more than {_MOST_DIGITS} digits; round them")
        if self.digits is not None and max(decimals(self.low), decimals(self.high)) > self.digits:
            raise ValueError(
                f"{self.name!r} has {self.digits} digits behind the point, but its bounds {self.low:g} and "
                f"{self.high:g} have more; give more digits or rounder bounds"
            )
        return self

    @cached_property
    def places(self) -> int:
        """Digits behind the point of the standard form."""
        bounds = max(decimals(self.low), decimals(self.high))
        if self.step is not None:
            return max(decimals(self.low), decimals(self.step))
        if self.digits is not None:
            return self.digits
        fine = -math.floor(math.log10((self.high - self.low) / _FINE) + 1e-9)
        return min(max(fine, bounds), _MOST_DIGITS)

    @cached_property
    def rounds_ratios(self) -> bool:
        """Whether the standard form has significant digits, not digits behind the point."""
        return self.log and self.step is None and self.digits is None

    def rounded(self, value: float) -> float:
        """Return the nearest value in standard form; one that is off the steps is left for `outside` to refuse."""
        if self.rounds_ratios:
            near = float(f"{value:.{_SIGNIFICANT}g}")
            # A bound may have more digits than are kept; it must not be rounded out of its own range.
            return min(max(near, self.low), self.high) if self.low <= value <= self.high else near
        if self.step is not None:
            if not self.low <= value <= self.high:
                return value
            near = round(self.low + round((value - self.low) / self.step) * self.step, self.places)
            return near if abs(near - value) <= 1e-6 * self.step else value
        return round(value, self.places)

    def read(self, cell: str) -> float:
        """Return the value in a cell, rounded to the variable's digits."""
        return self.rounded(read_number(self.name, cell)) + 0.0

    def written(self, value: Value) -> str:
        """Return the text of a value."""
        return written(float(value))

    def outside(self, value: Value) -> str | None:
        """Return why a value is none of the variable's, a phrase."""
        if not self.low <= float(value) <= self.high:
            return f"{self.name}={self.written(value)} is outside {written(self.low)} to {written(self.high)}"
        if self.step is not None and float(value) != round(
            self.low + round((float(value) - self.low) / self.step) * self.step, self.places
        ):
            return f"{self.name}={self.written(value)} is no step of {written(self.step)} from {written(self.low)}"
        return None

    def told(self) -> str:
        """Return the range, for people."""
        scale = ", logarithmic" if self.log else ""
        steps = "" if self.step is None else f" in steps of {written(self.step)}"
        return f"{written(self.low)} to {written(self.high)}{steps}{scale}"

    @property
    def count(self) -> float:
        """How many values there are; infinite unless there are steps."""
        return math.inf if self.step is None else round((self.high - self.low) / self.step) + 1

    def unit(self, value: Value) -> float:
        """Return where a value lies between low (0) and high (1)."""
        if self.log:
            return math.log(float(value) / self.low) / math.log(self.high / self.low)
        return (float(value) - self.low) / (self.high - self.low)

    def at(self, u: float) -> float:
        """Return the value that lies nearest to a place between 0 and 1."""
        value = self.low * (self.high / self.low) ** u if self.log else self.low + u * (self.high - self.low)
        if self.step is not None:
            value = self.low + round((value - self.low) / self.step) * self.step
        return min(max(self.rounded(round(value, self.places) if self.step else value), self.low), self.high) + 0.0

    def drawn(self, u: float) -> float:
        """Return the value for a number in [0, 1) that is uniform."""
        return self.at(u)

    def columns(self, value: Value) -> list[float]:
        """Return the features of a value."""
        return [self.unit(value)]

    width: ClassVar[int] = 1

    def changed(self, value: Value, rng: np.random.Generator) -> float:
        """Return a value near another."""
        return self.at(reflected(self.unit(value) + rng.normal() * _STEPS[rng.integers(len(_STEPS))]))

    def between(self, first: Value, second: Value, rng: np.random.Generator) -> float:
        """Return one of two values, or one between them."""
        share = float(rng.uniform()) if rng.random() < 0.5 else float(rng.integers(2))
        return self.at(self.unit(first) + share * (self.unit(second) - self.unit(first)))


class Integer(Named):
    """A whole number between two bounds, both of which it may take."""

    integer: tuple[int, int] = Field(description="least and largest value")
    log: bool = Field(default=False, description="whether equal ratios, not equal differences, are alike")

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        _require_range(self.name, *self.integer)
        if self.log and self.integer[0] <= 0:
            raise ValueError(
                f"{self.name!r} is on a logarithmic scale, so its low must be above 0; got {self.integer[0]}"
            )
        return self

    def read(self, cell: str) -> float:
        """Return the value in a cell: an int, or a float that `outside` refuses."""
        value = read_number(self.name, cell)
        return int(value) if value == int(value) else value

    def written(self, value: Value) -> str:
        """Return the text of a value."""
        return str(value) if isinstance(value, int) else written(float(value))

    def outside(self, value: Value) -> str | None:
        """Return why a value is none of the variable's, a phrase."""
        low, high = self.integer
        if not isinstance(value, int):
            return f"{self.name}={self.written(value)} is no whole number"
        return None if low <= value <= high else f"{self.name}={value} is outside {low} to {high}"

    def told(self) -> str:
        """Return the range, for people."""
        return f"whole numbers {self.integer[0]} to {self.integer[1]}{', logarithmic' if self.log else ''}"

    @property
    def count(self) -> float:
        """How many values there are."""
        return self.integer[1] - self.integer[0] + 1

    def unit(self, value: Value) -> float:
        """Return where a value lies between low (0) and high (1)."""
        low, high = self.integer
        if self.log:
            return math.log(float(value) / low) / math.log(high / low)
        return (float(value) - low) / (high - low)

    def at(self, u: float) -> int:
        """Return the value that lies nearest to a place between 0 and 1."""
        low, high = self.integer
        return min(max(round(low * (high / low) ** u if self.log else low + u * (high - low)), low), high)

    def drawn(self, u: float) -> int:
        """Return the value for a number in [0, 1) that is uniform; each has one chance, or 1/value if logarithmic."""
        low, high = self.integer
        if self.log:
            return self.at(u)
        return min(low + int(u * (high - low + 1)), high)

    def columns(self, value: Value) -> list[float]:
        """Return the features of a value."""
        return [self.unit(value)]

    width: ClassVar[int] = 1

    def changed(self, value: Value, rng: np.random.Generator) -> int:
        """Return another value, near."""
        near = self.at(reflected(self.unit(value) + rng.normal() * _STEPS[rng.integers(len(_STEPS))]))
        if near != value:
            return near
        low, high = self.integer
        step = 1 if value == low or (value != high and rng.random() < 0.5) else -1
        return int(value) + step

    def between(self, first: Value, second: Value, rng: np.random.Generator) -> int:
        """Return one of two values, or one between them."""
        share = float(rng.uniform()) if rng.random() < 0.5 else float(rng.integers(2))
        return self.at(self.unit(first) + share * (self.unit(second) - self.unit(first)))


class Choice(Named):
    """One of several words, or of several numbers, which are then taken as amounts."""

    choices: tuple[int | float | str, ...] = Field(description="words, each its own thing; or numbers, as amounts")

    @model_validator(mode="before")
    @classmethod
    def _words(cls, raw: Any) -> Any:
        name, choices = raw.get("name"), raw.get("choices")
        if not isinstance(choices, list | tuple):
            raise ValueError(f"the choices of {name!r} are a list, such as [water, ethanol]; got {shown(choices)}")
        if any(isinstance(one, bool) for one in choices):
            raise ValueError(
                f"the choices of {name!r} hold true or false, as YAML reads yes, no, on and off; put the words in "
                "quotation marks"
            )
        if any(not isinstance(one, str | int | float) for one in choices):
            raise ValueError(f"the choices of {name!r} are words or numbers; got {shown(list(choices))}")
        if any(isinstance(one, str) for one in choices):
            words = [one.strip() if isinstance(one, str) else written(one) for one in choices]
        else:
            words = sorted(choices, key=float)
        return {**raw, "choices": words}

    @model_validator(mode="after")
    def _several(self) -> Self:
        if len(self.choices) < 2:
            raise ValueError(
                f"{self.name!r} has one choice only, so there is nothing to choose; give more, or leave it out"
            )
        seen = [self.written(one) for one in self.choices]
        twice = next((one for one in seen if seen.count(one) > 1), None)
        if twice is not None or "" in seen:
            raise ValueError(
                f"{self.name!r} has the choice {twice!r} twice; delete one"
                if twice
                else f"{self.name!r} has an empty choice; give it a word"
            )
        return self

    @property
    def amounts(self) -> bool:
        """Whether the choices are numbers."""
        return not isinstance(self.choices[0], str)

    def read(self, cell: str) -> Value:
        """Return the choice in a cell, spelt as declared; another word or number is left for `outside` to refuse."""
        if self.amounts:
            value = read_number(self.name, cell)
            return next((one for one in self.choices if one == value), value)
        if not cell:
            raise NotStandardError(f"no value of {self.name}")
        if cell in self.choices:
            return cell
        alike = [one for one in self.choices if str(one).casefold() == cell.casefold()]
        return alike[0] if len(alike) == 1 else cell

    def written(self, value: Value) -> str:
        """Return the text of a value."""
        return value if isinstance(value, str) else written(value)

    def outside(self, value: Value) -> str | None:
        """Return why a value is none of the variable's, a phrase."""
        if value in self.choices:
            return None
        known = ", ".join(self.written(one) for one in self.choices[:8]) + (", ..." if len(self.choices) > 8 else "")
        return f"{self.name}={self.written(value)} is none of {known}"

    def told(self) -> str:
        """Return the choices, for people."""
        words = [self.written(one) for one in self.choices]
        return " or ".join(words) if len(words) <= 4 else f"{', '.join(words[:3])} ..., {len(words)} choices"

    @property
    def count(self) -> float:
        """How many values there are."""
        return len(self.choices)

    def unit(self, value: Value) -> float:
        """Return where an amount lies between the least (0) and the largest (1)."""
        low, high = float(self.choices[0]), float(self.choices[-1])
        return (float(value) - low) / (high - low)

    def drawn(self, u: float) -> Value:
        """Return the choice for a number in [0, 1) that is uniform."""
        return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]

    def columns(self, value: Value) -> list[float]:
        """Return the features of a value: two words are as far apart as the ends of a range."""
        if self.amounts:
            return [self.unit(value)]
        return [math.sqrt(0.5) * (value == one) for one in self.choices]

    @property
    def width(self) -> int:
        """Number of features."""
        return 1 if self.amounts else len(self.choices)

    def changed(self, value: Value, rng: np.random.Generator) -> Value:
        """Return another choice; of amounts the next smaller or larger one."""
        at = self.choices.index(value)
        if self.amounts:
            step = 1 if at == 0 or (at < len(self.choices) - 1 and rng.random() < 0.5) else -1
            return self.choices[at + step]
        other = int(rng.integers(len(self.choices) - 1))
        return self.choices[other + (other >= at)]

    def between(self, first: Value, second: Value, rng: np.random.Generator) -> Value:
        """Return one of two choices."""
        return first if rng.random() < 0.5 else second


def _sort_of(raw: Any) -> str:
    if isinstance(raw, Real | Integer | Choice):
        return type(raw).__name__
    return "Integer" if "integer" in raw else "Choice" if "choices" in raw else "Real"


Variable = Annotated[
    Annotated[Real, Tag("Real")] | Annotated[Integer, Tag("Integer")] | Annotated[Choice, Tag("Choice")],
    Discriminator(_sort_of),
]


def _require_range(name: str, low: float, high: float) -> None:
    if low >= high:
        raise ValueError(
            f"the range of {name!r} goes from {low:g} to {high:g}, which leaves nothing to vary; expected [low, high] "
            "with low below high"
        )
