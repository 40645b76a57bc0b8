"""Fractions that sum to one: the parts of a formulation, in whole units so that sums are exact."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from data.objects import NotStandardError
from models.spaces.named import Named
from models.spaces.variables import decimals, read_number, written

_OFF = 100
"""A row may be off by one part in this many: fractions are often told with two digits."""
_TRIES = 400
_LARGEST = 1e9
_REMEMBERED = 50_000


class Fraction(Named):
    """A part of a mixture, with its bounds."""

    low: float = Field(ge=0, le=1, description="least share")
    high: float = Field(ge=0, le=1, description="largest share")

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError(
                f"the range of the fraction {self.name!r} goes from {self.low:g} to {self.high:g}, which leaves "
                "nothing to vary; expected [low, high] with low below high"
            )
        return self


class Mixture:
    """Shares in units of `10**-digits`, which sum to `10**digits`; parts are in the order of their names.

    Raises:
        ValueError: no shares, or a single set of them, sum to one; or the bounds have more digits.
    """

    def __init__(self, fractions: Sequence[Fraction], digits: int) -> None:
        fractions = sorted(fractions, key=lambda fraction: fraction.name)
        self.names = tuple(fraction.name for fraction in fractions)
        self.digits, self.whole = digits, 10**digits
        for fraction in fractions:
            if max(decimals(fraction.low), decimals(fraction.high)) > digits:
                raise ValueError(
                    f"the bounds of the fraction {fraction.name!r}, {fraction.low:g} and {fraction.high:g}, have more "
                    f"than {digits} digits; raise `fraction_digits` or round them"
                )
        self.low = [round(fraction.low * self.whole) for fraction in fractions]
        self.high = [round(fraction.high * self.whole) for fraction in fractions]
        # What cells mean, and how shares are written, is kept: tables repeat both.
        self._shares: dict[str, float] = {}
        self._texts: dict[int, str] = {}
        self.tolerance = max(self.whole // _OFF, (len(fractions) + 1) // 2)
        if len(fractions) == 1:
            raise ValueError(
                f"fractions sum to one, so one alone ({self.names[0]!r}) cannot vary; name the others too, or make it "
                "a variable"
            )
        if sum(self.low) >= self.whole or sum(self.high) <= self.whole:
            total, side = (sum(self.low), "least") if sum(self.low) >= self.whole else (sum(self.high), "largest")
            raise ValueError(
                f"the fractions {', '.join(self.names)} sum to one, but their {side} shares sum to "
                f"{written(total / self.whole)}, which leaves nothing to vary; "
                + ("lower some of the lows" if side == "least" else "raise some of the highs")
            )

    def read(self, cells: Sequence[str]) -> list[int]:
        """Return the shares of a row in units: summing to the whole exactly if they do so within the tolerance.

        Raises:
            NotStandardError: one is no number, or a sum of shares without any.
        """
        known = self._shares
        shares = [known[cell] if cell in known else self._read(at, cell) for at, cell in enumerate(cells)]
        units = [round(share * self.whole) for share in shares]
        off = self.whole - sum(units)
        return units if off == 0 or abs(off) > self.tolerance else self._settled(shares)

    def _read(self, at: int, cell: str) -> float:
        share = read_number(self.names[at], cell)
        if abs(share) > _LARGEST:
            raise NotStandardError(f"{self.names[at]}={cell} is no share of one")
        if len(self._shares) < _REMEMBERED:
            self._shares[cell] = share
        return share

    def _settled(self, shares: Sequence[float]) -> list[int]:
        """Return units in proportion to the shares that sum to the whole: the largest remainders are rounded up."""
        total = sum(shares)
        exact = [share / total * self.whole for share in shares]
        units = [int(np.floor(one + 1e-9)) for one in exact]
        by_remainder = sorted(range(len(units)), key=lambda i: (units[i] - exact[i], i))
        for i in by_remainder[: self.whole - sum(units)]:
            units[i] += 1
        # A share that stood at its bound stays inside it.
        inside = [
            low <= round(share * self.whole) <= high
            for share, low, high in zip(shares, self.low, self.high, strict=True)
        ]
        return self.repaired(units) if all(inside) else units

    def repaired(self, units: Sequence[int]) -> list[int]:
        """Return units inside the bounds that sum to the whole: clipped, and the rest given where there is room."""
        made = [min(max(one, low), high) for one, low, high in zip(units, self.low, self.high, strict=True)]
        rest = self.whole - sum(made)
        while rest:
            room = [
                high - one if rest > 0 else one - low for one, low, high in zip(made, self.low, self.high, strict=True)
            ]
            share = max(1, abs(rest) // max(1, sum(1 for free in room if free)))
            for i, free in enumerate(room):
                step = min(free, share, abs(rest))
                made[i] += step if rest > 0 else -step
                rest -= step if rest > 0 else -step
        return made

    def outside(self, units: Sequence[int]) -> str | None:
        """Return why shares are no mixture of the space, a phrase."""
        if sum(units) != self.whole:
            total = sum(units) / self.whole
            hint = " (write 0.2 for 20 %)" if abs(total - 100) < 2 else ""
            return (
                f"the fractions {', '.join(self.names)} sum to {written(round(total, self.digits))} instead of 1{hint}"
            )
        for name, one, low, high in zip(self.names, units, self.low, self.high, strict=True):
            if not low <= one <= high:
                return f"{name}={self.written(one)} is outside {self.written(low)} to {self.written(high)}"
        return None

    def written(self, units: int) -> str:
        """Return the text of a share."""
        text = self._texts.get(units)
        if text is None:
            text = written(round(units / self.whole, self.digits))
            if len(self._texts) < _REMEMBERED:
                self._texts[units] = text
        return text

    def columns(self, units: Sequence[int]) -> list[float]:
        """Return the features: each share between its bounds."""
        return [(one - low) / (high - low) for one, low, high in zip(units, self.low, self.high, strict=True)]

    def drawn(self, uniform: Sequence[float]) -> list[int] | None:
        """Return the mixture for k - 1 uniform numbers, None if it is outside the bounds.

        The gaps between sorted uniform numbers are uniform on the simplex (Devroye, Non-Uniform Random Variate
        Generation, 1986, V.2); what is left of the whole beyond all least shares is divided by them.
        """
        ends = [0.0, *sorted(uniform), 1.0]
        units = self.spread([after - before for before, after in pairwise(ends)])
        return units if self.outside(units) is None else None

    def spread(self, parts: Sequence[float]) -> list[int]:
        """Return the mixture, which may be outside, in which parts that sum to one divide what is beyond all lows."""
        spare = self.whole - sum(self.low)
        return self._settled([(low + part * spare) / self.whole for low, part in zip(self.low, parts, strict=True)])

    def parts(self, units: Sequence[int]) -> list[float]:
        """Return the parts of what is beyond all lows, which sum to one."""
        spare = self.whole - sum(self.low)
        return [(one - low) / spare for one, low in zip(units, self.low, strict=True)]

    def random(self, rng: np.random.Generator) -> list[int]:
        """Return a mixture that is uniform inside the bounds; where hardly any draw is inside, one is moved in."""
        for _ in range(_TRIES):
            units = self.drawn(rng.random(len(self.names) - 1).tolist())
            if units is not None:
                return units
        return self.repaired(
            [
                low + int(u * (high - low))
                for u, low, high in zip(rng.random(len(self.low)), self.low, self.high, strict=True)
            ]
        )

    def changed(self, units: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Return a mixture near another: one part gives to another as much as both bounds allow."""
        made = list(units)
        for _ in range(8):
            giver, taker = rng.permutation(len(made))[:2].tolist()
            most = min(made[giver] - self.low[giver], self.high[taker] - made[taker])
            if most > 0:
                size = (0.2, 0.05, 0.01)[rng.integers(3)] * (self.high[giver] - self.low[giver])
                moved = min(most, max(1, round(abs(rng.normal()) * size)))
                made[giver] -= moved
                made[taker] += moved
                return made
        return made

    def between(self, first: Sequence[int], second: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Return a mixture of two mixtures, which is inside where both are."""
        share = float(rng.uniform())
        return self._settled([(a + share * (b - a)) / self.whole for a, b in zip(first, second, strict=True)])
