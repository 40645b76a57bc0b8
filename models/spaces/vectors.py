"""Vectors of named variables: process conditions, formulations, settings of a device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from data.objects import NotStandardError, handle, joined, split
from data.yaml_text import shown
from models.registry import Component
from models.spaces.base import BaseSpace
from models.spaces.mixtures import Fraction, Mixture
from models.spaces.variable_forms import long_form
from models.spaces.variables import Value, Variable

_ENUMERATED = 4096
"""Spaces of at most so many vectors are listed, not drawn from."""
_ROUNDS = 40
"""Sets of draws until a space is taken for exhausted."""
_REMEMBERED = 50_000
"""Cells of a variable whose values are kept: tables and campaigns repeat them."""


class Point(NamedTuple):
    """A vector as it is calculated with: values of the variables, shares of the mixture in units."""

    values: tuple[Value, ...]
    units: tuple[int, ...]


class Vectors(BaseSpace["Vectors.Options"]):
    """Vectors of named variables: real ranges, whole numbers, choices, and fractions that sum to one.

    The text is `temperature=80, ratio=0.35, solvent=dmf`, in the order in which the variables are declared. Real
    numbers are rounded to a thousandth of their range or finer, fractions to `fraction_digits`. A row whose fractions
    sum to one within one per cent is scaled to one exactly (largest remainders first); another one is outside.
    """

    kind = "vectors"
    cites = ("owen1998scrambling",)
    construction = {"kind": "betas"}
    nouns = ("vector", "vectors")
    column = "vector"
    text_name = "Vector"
    likeness = "similarity 1 / (1 + distance of scaled variables)"

    class Options(Component.Options):
        """Variables of the vectors."""

        variables: tuple[Variable, ...] = Field(
            default=(),
            description="name: [low, high], {low, high, step | digits, log}, {integer: [low, high]}, a list of words, "
            "or {choices: [...]}; with `column`, where the user's files call it otherwise",
        )
        fractions: tuple[Fraction, ...] = Field(default=(), description="name: [low, high] of parts that sum to one")
        fraction_digits: int = Field(default=3, ge=2, le=6, description="digits behind the point of fractions")

        @field_validator("variables", mode="before")
        @classmethod
        def _long_variables(cls, raw: Any) -> Any:
            return _listed(raw, "variables")

        @field_validator("fractions", mode="before")
        @classmethod
        def _long_fractions(cls, raw: Any) -> Any:
            made = _listed(raw, "fractions")
            for one in made:
                if (
                    isinstance(one, dict)
                    and set(one) - {"column"} != {"name", "low", "high"}
                    and not {"log", "digits", "step"} & set(one)
                ):
                    raise ValueError(f"the fraction {one['name']!r} is a range such as [0.2, 0.8]; got {shown(raw)}")
            return made

        @model_validator(mode="after")
        def _a_space(self) -> Self:
            names = [one.name for one in (*self.variables, *self.fractions)]
            if not names:
                raise ValueError("a space of vectors has variables or fractions, such as {temperature: [20, 120]}")
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"the name {twice!r} stands for two variables; give one of them another name")
            headers = [one.header for one in (*self.variables, *self.fractions)]
            twice = next((header for header in headers if headers.count(header) > 1), None)
            if twice is not None:
                raise ValueError(f"the column {twice!r} is that of two variables; give one of them another `column`")
            if self.fractions:
                Mixture(self.fractions, self.fraction_digits)
            return self

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        made = self.options
        # Inside, variables are in the order of their names: whoever reorders them in a file has the same objects.
        self.variables: tuple[Variable, ...] = tuple(sorted(made.variables, key=lambda one: one.name))
        self.mixture = Mixture(made.fractions, made.fraction_digits) if made.fractions else None
        self._fields = tuple(one.name for one in (*made.variables, *made.fractions))
        self._inner = (*(one.name for one in self.variables), *(self.mixture.names if self.mixture else ()))
        self._places = [self._fields.index(name) for name in self._inner]
        self._order = [self._inner.index(name) for name in self._fields]
        self._heads = [joined([name], ["x"])[:-1] for name in self._fields]
        self._known: tuple[dict[str, _Cell], ...] = tuple({} for _ in self.variables)

    @property
    def features(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """Featuriser of the scaled variables."""
        return {"kind": "variables", "space": {key: value for key, value in self.config().items() if key != "kind"}}

    @property
    def neighbours(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """Featuriser of the scaled variables."""
        return self.features

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the variables, then those of the fractions."""
        return self._fields

    @property
    def headers(self) -> Mapping[str, str]:
        """Variable or fraction -> its column in the user's files."""
        return {one.name: one.header for one in (*self.options.variables, *self.options.fractions)}

    def told(self) -> str:
        """Return what is in the space, in a few words for people."""
        told = {one.name: one.told() for one in self.variables}
        parts = [f"{name} ({told[name]})" if name in told else f"{name} (fraction)" for name in self._fields]
        return f"vectors of {', '.join(parts)}"

    def standard(self, text: str) -> str:
        """Return the vector with its variables in order and its numbers rounded.

        Raises:
            NotStandardError: a variable has no value or an unreadable one, or is none of the space's.
        """
        return self.written(self.point(text))

    def outside(self, obj: str) -> str | None:
        """Return why a vector is outside, a phrase with the variable, its value and its range."""
        return self._outside(self.point(obj))

    def admit(self, text: str) -> str:
        """Return the standard form of a vector inside the space.

        Raises:
            NotStandardError: it cannot be read, or is outside.
        """
        cells, told = self._split(text), []
        for cell, variable, known in zip(cells, self.variables, self._known, strict=False):
            found = known.get(cell) or _learn(cell, variable, known)
            if found.problem is not None:
                raise NotStandardError(found.problem)
            told.append(found.text)
        if self.mixture is not None:
            units = self.mixture.read(cells[len(told) :])
            problem = self.mixture.outside(units)
            if problem is not None:
                raise NotStandardError(problem)
            told += map(self.mixture.written, units)
        return self._joined(told)

    def point(self, text: str) -> Point:
        """Return the values of a vector.

        Raises:
            NotStandardError: as `standard`.
        """
        cells = self._split(text)
        found = zip(cells, self.variables, self._known, strict=False)
        values = tuple([(known.get(cell) or _learn(cell, variable, known)).value for cell, variable, known in found])
        return Point(values, () if self.mixture is None else tuple(self.mixture.read(cells[len(values) :])))

    def written(self, point: Point) -> str:
        """Return the standard form of a vector."""
        told = [_quoted(variable, value) for variable, value in zip(self.variables, point.values, strict=True)]
        if self.mixture is not None:
            told += map(self.mixture.written, point.units)
        return self._joined(told)

    def identity(self, obj: str) -> str:
        """Return the handle of the vector, the same in whatever order variables are declared."""
        return handle(joined(self._inner, self._split(obj)))

    def value(self, obj: str) -> dict[str, Value]:
        """Return the numbers and words by name."""
        point = self.point(obj)
        told: list[Value] = list(point.values)
        if self.mixture is not None:
            told += [float(self.mixture.written(one)) for one in point.units]
        return {name: told[at] for name, at in zip(self._fields, self._order, strict=True)}

    def text(self, value: Any) -> str:
        """Return the vector of what `value` returned.

        Raises:
            NotStandardError: it is no mapping of names to numbers and words, or as `standard`.
        """
        if not isinstance(value, Mapping):
            raise NotStandardError(f"a {type(value).__name__} that is no mapping of names to values")
        return self.standard(joined(list(map(str, value)), list(map(str, value.values()))))

    def random(self, n: int, seed: int) -> list[str]:
        """Return up to n distinct vectors, uniform over the space."""
        rng = np.random.default_rng(seed)
        if self._size() <= _ENUMERATED:
            whole = self._all()
            return [whole[i] for i in rng.permutation(len(whole))[:n]]
        found: dict[str, None] = {}
        for _ in range(_ROUNDS):
            for row in rng.random((n, len(self.variables))).tolist():
                found[self.written(Point(self._values(row), self._random_units(rng)))] = None
            if len(found) >= n:
                break
        return list(found)[:n]

    def design(self, n: int, seed: int) -> list[str]:
        """Return up to n distinct vectors of a scrambled Sobol sequence over all variables.

        Reference: Owen, J. Complexity 14, 466 (1998), as in `scipy.stats.qmc`.
        """
        if self._size() <= min(_ENUMERATED, 4 * n):
            return self.random(n, seed)
        from scipy.stats import qmc  # half a second, which only a design needs

        rng = np.random.default_rng(seed)
        parts = 0 if self.mixture is None else len(self.mixture.names) - 1
        sobol = qmc.Sobol(len(self.variables) + parts, scramble=True, rng=rng)
        found: dict[str, None] = {}
        size = max(1, math.ceil(math.log2(n + 1)))
        for _ in range(_ROUNDS):
            for row in sobol.random(2**size).tolist():
                units = self._units_at(row[len(self.variables) :])
                if units is not None and len(found) < n:
                    found[self.written(Point(self._values(row), units))] = None
            if len(found) == n:
                return list(found)
        return list(dict.fromkeys([*found, *self.random(2 * n, seed)]))[:n]

    def variation(self, sample: Sequence[str]) -> Steps:
        """Return steps of a variable or two, and mixtures of two vectors."""
        return Steps(self)

    def table(self, objects: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the features of n vectors, shape `(n, columns)`: ranges between 0 and 1, words as columns.

        Raises:
            ValueError: one of the texts is no vector of the space.
        """
        rows = []
        for obj in objects:
            point = self.point(obj)
            problem = self._outside(point)
            if problem is not None:
                raise ValueError(f"{shown(obj)} is outside the space of vectors: {problem}.")
            row = [u for one, value in zip(self.variables, point.values, strict=True) for u in one.columns(value)]
            rows.append(row + ([] if self.mixture is None else self.mixture.columns(point.units)))
        width = sum(one.width for one in self.variables) + (0 if self.mixture is None else len(self.mixture.names))
        return np.array(rows, dtype=np.float64).reshape(len(rows), width)

    def table_names(self) -> tuple[str, ...]:
        """Return the variable or fraction that each column of `table` belongs to."""
        variables = tuple(one.name for one in self.variables for _ in range(one.width))
        return variables if self.mixture is None else (*variables, *self.mixture.names)

    def _split(self, text: str) -> list[str]:
        """Return the cells of the variables and fractions, in inner order."""
        parts = text.split(", ")
        if len(parts) == len(self._heads) and '"' not in text and all(map(str.startswith, parts, self._heads)):
            return [parts[at][len(self._heads[at]) :].strip() for at in self._places]
        if not text:
            raise NotStandardError(f"no vector in this row; expected such as {self._heads[0]}...")
        cells = split(text)
        unknown = [name for name in cells if name not in self._fields]
        if unknown:
            raise NotStandardError(f"{unknown[0]} is none of the variables {', '.join(self._fields)}")
        missing = [name for name in self._fields if name not in cells]
        if missing:
            raise NotStandardError(f"no value of {missing[0]}")
        return [cells[name] for name in self._inner]

    def _joined(self, cells: Sequence[str]) -> str:
        """Return the text of quoted cells in inner order."""
        return ", ".join([head + cells[at] for head, at in zip(self._heads, self._order, strict=True)])

    def _outside(self, point: Point) -> str | None:
        for variable, value in zip(self.variables, point.values, strict=True):
            problem = variable.outside(value)
            if problem is not None:
                return problem
        return None if self.mixture is None else self.mixture.outside(point.units)

    def _size(self) -> float:
        return math.inf if self.mixture is not None else math.prod(one.count for one in self.variables)

    def _all(self) -> list[str]:
        """Return every vector of a space whose variables have few values."""
        values = ([one.drawn((i + 0.5) / one.count) for i in range(int(one.count))] for one in self.variables)
        return [self.written(Point(one, ())) for one in product(*values)]

    def _values(self, row: Sequence[float]) -> tuple[Value, ...]:
        return tuple(one.drawn(u) for one, u in zip(self.variables, row, strict=False))

    def _units_at(self, row: Sequence[float]) -> tuple[int, ...] | None:
        units = [] if self.mixture is None else self.mixture.drawn(row)
        return None if units is None else tuple(units)

    def _random_units(self, rng: np.random.Generator) -> tuple[int, ...]:
        return () if self.mixture is None else tuple(self.mixture.random(rng))


class Steps:
    """Edits of vectors: steps of a few variables, scaled to their ranges and reflected at the ends; mixed vectors."""

    def __init__(self, space: Vectors) -> None:
        self._space = space
        self._parts = len(space.variables) + (space.mixture is not None)

    def mutate(self, obj: str, rng: np.random.Generator) -> str | None:
        """Return a vector of which one variable or more have moved."""
        if self._space.outside(obj) is not None:
            return None
        point, mixture = self._space.point(obj), self._space.mixture
        for _ in range(_TRIES):
            moved = rng.random(self._parts) < 1.0 / self._parts
            moved[rng.integers(self._parts)] = True
            values = tuple(
                one.changed(value, rng) if move else value
                for one, value, move in zip(self._space.variables, point.values, moved, strict=False)
            )
            units = tuple(mixture.changed(point.units, rng)) if mixture is not None and moved[-1] else point.units
            made = self._space.written(Point(values, units))
            if made != obj:
                return made
        return None

    def crossover(self, first: str, second: str, rng: np.random.Generator) -> str | None:
        """Return a vector whose every variable is one parent's or between both."""
        if self._space.outside(first) is not None or self._space.outside(second) is not None:
            return None
        one, other, mixture = self._space.point(first), self._space.point(second), self._space.mixture
        pairs = zip(self._space.variables, one.values, other.values, strict=True)
        values = tuple(variable.between(a, b, rng) for variable, a, b in pairs)
        units = one.units if mixture is None else tuple(mixture.between(one.units, other.units, rng))
        return self._space.written(Point(values, units))


_TRIES = 20


class _Cell(NamedTuple):
    """What a cell means: quoted text of the standard form, value, and why it is outside."""

    text: str
    value: Value
    problem: str | None


def _learn(cell: str, variable: Variable, known: dict[str, _Cell]) -> _Cell:
    value = variable.read(cell)
    found = _Cell(_quoted(variable, value), value, variable.outside(value))
    if len(known) < _REMEMBERED:
        known[cell] = found
    return found


def _quoted(variable: Variable, value: Value) -> str:
    told = variable.written(value)
    return joined("x", [told])[2:] if isinstance(value, str) else told


def _listed(raw: Any, option: str) -> Any:
    """Return variables as they are kept, from a mapping of names or from what was kept."""
    if isinstance(raw, Mapping):
        return tuple(long_form(name, one) for name, one in raw.items())
    if not isinstance(raw, list | tuple) or not all(
        hasattr(one, "name") or (isinstance(one, Mapping) and "name" in one) for one in raw
    ):
        raise ValueError(f"`{option}` are names with ranges, such as {{temperature: [20, 120]}}; got {shown(raw)}")
    return tuple(long_form(one["name"], one) if isinstance(one, Mapping) else one for one in raw)
