"""Compositions of inorganic solids: how many atoms of which elements, with charges that balance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import combinations, product
from typing import Any, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from data.chemistry.element_properties import ELECTRONEGATIVITY, OXIDATION_STATES
from data.config import nearest_spelling
from data.objects import NotStandardError
from data.yaml_text import shown
from models.registry import Component
from models.spaces.base import BaseSpace
from models.spaces.formulas import counts_of, formula, imbalance

_ENUMERATED = 20_000
"""Count vectors up to which a space is listed, not drawn from."""
_TRIES = 200


class Compositions(BaseSpace["Compositions.Options"]):
    """Reduced formulas of given elements, such as Fe2O3; `Ca(OH)2` is read as CaH2O2, the same composition.

    Charges balance if some choice of usual oxidation states sums to zero; atoms of one element may have different ones
    (Fe3O4). Alloys have `balance: false`. Train and test share no chemical system (Fe-O).
    """

    kind = "compositions"
    nouns = ("composition", "compositions")
    column = "formula"
    text_name = "Formula"
    likeness = "share of common atoms"

    class Options(Component.Options):
        """Elements and counts."""

        elements: tuple[str, ...] = Field(min_length=2, description="symbols of the allowed elements")
        max_count: int = Field(default=4, ge=1, le=24, description="most atoms of one element in a reduced formula")
        min_elements: int = Field(default=2, ge=1, description="fewest different elements")
        max_elements: int = Field(default=3, ge=1, le=8, description="most different elements")
        balance: bool = Field(default=True, description="whether charges must balance")
        oxidation_states: tuple[tuple[str, tuple[int, ...]], ...] = Field(
            default=(), description="{Fe: [2, 3]}: states instead of the usual ones"
        )

        @field_validator("oxidation_states", mode="before")
        @classmethod
        def _listed(cls, raw: Any) -> Any:
            pairs = list(raw.items()) if isinstance(raw, Mapping) else raw
            if isinstance(raw, Mapping) and not all(
                isinstance(states, list | tuple) and states for states in raw.values()
            ):
                raise ValueError(f"oxidation states are lists by element, such as {{Fe: [2, 3]}}; got {shown(raw)}")
            return pairs

        @model_validator(mode="after")
        def _possible(self) -> Self:
            for symbol in self.elements:
                if symbol not in ELECTRONEGATIVITY:
                    hint = nearest_spelling(symbol.capitalize(), list(ELECTRONEGATIVITY))
                    raise ValueError(
                        f"{shown(symbol)} is no element of solids, such as Fe or O{hint and '.' + hint.rstrip('.')}"
                    )
            if len(set(self.elements)) < len(self.elements):
                raise ValueError("an element stands twice in `elements`; name each once")
            unknown = next((symbol for symbol, _ in self.oxidation_states if symbol not in self.elements), None)
            if unknown is not None:
                raise ValueError(f"`oxidation_states` has {unknown!r}, which is none of `elements`")
            if self.min_elements > min(self.max_elements, len(self.elements)):
                raise ValueError(
                    f"min_elements ({self.min_elements}) is above max_elements ({self.max_elements}) or the number of "
                    f"elements ({len(self.elements)})"
                )
            signs = {np.sign(state) for symbol in self.elements for state in self.states(symbol)}
            if self.balance and not {1, -1} <= signs and 0 not in signs:
                raise ValueError(
                    f"the oxidation states of {', '.join(self.elements)} have one sign, so no charges balance; add "
                    "elements, give `oxidation_states`, or set `balance: false` for alloys"
                )
            return self

        def states(self, symbol: str) -> tuple[int, ...]:
            """Return the oxidation states of an element."""
            return dict(self.oxidation_states).get(symbol, OXIDATION_STATES[symbol])

    @property
    def features(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """Featuriser of counts and descriptors."""
        return {"kind": "elements", "elements": list(self.options.elements)}

    @property
    def neighbours(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """Featuriser of counts."""
        return {**self.features, "descriptors": False}

    @cached_property
    def _states(self) -> dict[str, tuple[int, ...]]:
        return {symbol: self.options.states(symbol) for symbol in self.options.elements}

    def told(self) -> str:
        """Return what is in the space, in a few words for people."""
        made = self.options
        balance = ", charges balanced" if made.balance else ""
        return (
            f"compositions of {made.min_elements} to {made.max_elements} of {', '.join(made.elements)}, "
            f"up to {made.max_count} atoms each{balance}"
        )

    def standard(self, text: str) -> str:
        """Return the reduced formula, the least electronegative element first.

        Raises:
            NotStandardError: the text is no formula.
        """
        return formula(counts_of(text))

    def outside(self, obj: str) -> str | None:
        """Return why a composition is outside, a phrase; of charges, by how much they are out of balance."""
        return self._outside(counts_of(obj))

    def _outside(self, counts: Mapping[str, int]) -> str | None:
        made = self.options
        other = next((symbol for symbol in counts if symbol not in self._states), None)
        if other is not None:
            return f"an atom of {other}, which is none of the elements {', '.join(made.elements)}"
        if not made.min_elements <= len(counts) <= made.max_elements:
            return f"{len(counts)} different elements; expected {made.min_elements} to {made.max_elements}"
        symbol = max(counts, key=lambda one: counts[one])
        if counts[symbol] > made.max_count:
            return f"{counts[symbol]} atoms of {symbol}; at most {made.max_count}"
        charge = imbalance(counts, self._states) if made.balance else 0
        return f"charges do not balance: {charge:+d} is nearest to zero" if charge else None

    def family(self, obj: str) -> str:
        """Return the chemical system, such as Fe-O."""
        return "-".join(sorted(counts_of(obj)))

    def value(self, obj: str) -> dict[str, int]:
        """Return the counts of atoms by element."""
        return counts_of(obj)

    def text(self, value: Any) -> str:
        """Return the composition of what `value` returned.

        Raises:
            NotStandardError: it is no mapping of symbols to counts.
        """
        if not isinstance(value, Mapping) or not all(isinstance(count, int) and count > 0 for count in value.values()):
            raise NotStandardError("no mapping of elements to counts")
        return self.standard("".join(f"{symbol}{count}" for symbol, count in value.items()))

    def random(self, n: int, seed: int) -> list[str]:
        """Return up to n distinct compositions: of all, or where they are too many, of random systems and counts."""
        rng, made = np.random.default_rng(seed), self.options
        most = min(made.max_elements, len(made.elements))
        sizes = range(made.min_elements, most + 1)
        if sum(math.comb(len(made.elements), k) * made.max_count**k for k in sizes) <= _ENUMERATED:
            whole = _all(self)
            return [whole[i] for i in rng.permutation(len(whole))[:n]]
        found: dict[str, None] = {}
        for _ in range(_TRIES * n):
            size = int(rng.integers(made.min_elements, most + 1))
            symbols = rng.choice(made.elements, size, replace=False).tolist()
            counts = dict(zip(symbols, rng.integers(1, made.max_count + 1, size).tolist(), strict=True))
            self._keep(counts, found)
            if len(found) == n:
                break
        return list(found)

    def _keep(self, counts: Mapping[str, int], found: dict[str, None]) -> None:
        if math.gcd(*counts.values()) == 1 and self._outside(counts) is None:
            found[formula(counts)] = None

    def variation(self, sample: Sequence[str]) -> Exchange:
        """Return exchanges of atoms and elements."""
        return Exchange(self)


@lru_cache(maxsize=4)
def _all(space: Compositions) -> tuple[str, ...]:
    made, found = space.options, dict[str, None]()
    for size in range(made.min_elements, min(made.max_elements, len(made.elements)) + 1):
        for symbols in combinations(made.elements, size):
            for counts in product(range(1, made.max_count + 1), repeat=size):
                space._keep(dict(zip(symbols, counts, strict=True)), found)
    return tuple(found)


class Exchange:
    """Edits of compositions that stay balanced: an atom more or less, moved, or another element in one's place."""

    def __init__(self, space: Compositions) -> None:
        self._space = space

    def mutate(self, obj: str, rng: np.random.Generator) -> str | None:
        """Return another composition, or None where no edit was found."""
        for _ in range(_TRIES):
            counts = dict(counts_of(obj))
            for _ in range(int(rng.integers(1, 4))):
                self._edit(counts, rng)
            made = formula(counts) if counts else obj
            if made != obj and self._space.outside(made) is None:
                return made
        return None

    def _edit(self, counts: dict[str, int], rng: np.random.Generator) -> None:
        elements = self._space.options.elements
        here = str(rng.choice(sorted(counts))) if counts else str(rng.choice(elements))
        other = str(rng.choice(elements))
        kind = rng.integers(4)
        if kind == 0:  # another element in its place
            count = counts.pop(here, 1)
            counts[other] = counts.get(other, 0) + count
        elif kind == 1:  # one atom moves
            self._less(counts, here)
            counts[other] = counts.get(other, 0) + 1
        elif kind == 2:
            counts[other] = counts.get(other, 0) + 1
        else:
            self._less(counts, here)

    @staticmethod
    def _less(counts: dict[str, int], symbol: str) -> None:
        counts[symbol] = counts.get(symbol, 1) - 1
        if not counts[symbol]:
            del counts[symbol]

    def crossover(self, first: str, second: str, rng: np.random.Generator) -> str | None:
        """Return a composition whose every count is one parent's, or None where none balances."""
        one, other = counts_of(first), counts_of(second)
        for _ in range(_TRIES // 10):
            counts = {symbol: (one, other)[rng.integers(2)].get(symbol, 0) for symbol in sorted({*one, *other})}
            counts = {symbol: count for symbol, count in counts.items() if count}
            if counts and self._space.outside(formula(counts)) is None:
                return formula(counts)
        return None
