"""Experiments on a system of variables: set one of them to a value and measure all, or only watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from data.config import digest
from data.objects import NotStandardError, joined, split
from data.records import FloatArray
from data.tables.library_file import require_file
from data.tables.observations import observations
from data.tables.rows import SourceError
from data.yaml_text import shown
from models.registry import Component, ComponentError, FolderPath
from models.spaces.base import BaseSpace
from models.spaces.variables import read_number, written

WATCH = "watch"
"""Stands for the experiment in which nothing is set."""
_RUN = "run"
_ALIKE = 1.0 - 1e-9
"""Correlation from which on two variables are one."""
_READ_OFF = 0.25
"""Standard deviations that a set variable may be read off without a remark."""
_AWAY = 2.0
"""Standard deviations from the mean that variables are set to where nobody says to what."""


@dataclass(frozen=True, eq=False)
class Observed:
    """What is known of a system before any experiment.

    Attributes:
        names: of the V variables.
        values: (N, V), a row per observation.
        intervened: (N, V) bool, which were set; None: none was.
    """

    names: tuple[str, ...]
    values: FloatArray
    intervened: NDArray[np.bool_] | None

    @property
    def centre(self) -> FloatArray:
        """Means (V,)."""
        return np.asarray(self.values.mean(0))

    @property
    def spread(self) -> FloatArray:
        """Standard deviations (V,); 1 of a variable that does not vary."""
        spread = self.values.std(0)
        return np.where(spread > 0, spread, 1.0)


class Interventions(BaseSpace["Interventions.Options"]):
    """Experiments that set one variable of a system, and one that sets none: the answer is a row of all variables.

    The text is `gene=0`, or `watch` where nothing is set; the second run of it is `gene=0, run=2`. Measured again, an
    experiment tells something new, so each run is an object of its own.
    """

    kind = "interventions"
    cites = ("murphy2001active",)
    nouns = ("experiment", "experiments")
    column = "experiment"
    text_name = "Experiment"
    family_name = "experiment"
    likeness = "similarity 1 / (1 + distance of what is set, in standard deviations)"

    class Options(Component.Options):
        """The system, and what can be done to it."""

        data: FolderPath = Field(description="CSV of what was observed: a column per variable, a row per observation")
        intervened: str | None = Field(
            default=None, description="column of `data` that names the variables set in a row, apart by `;`; null: none"
        )
        settings: dict[str, tuple[float, ...]] | None = Field(
            default=None,
            description="variable -> values it can be set to, such as {gene: [0]}; null: each variable two standard "
            "deviations below and above its mean",
        )
        watch: bool = Field(default=True, description="whether a row in which nothing is set can be asked for too")
        runs: PositiveInt = Field(default=20, description="most runs of one experiment")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.observed = _read(self.options.data, self.options.intervened)
        """What is known before any experiment."""
        self.variables = self.observed.names
        """Names, in order."""
        self.settings = self._settings()
        """Variable -> values it can be set to."""

    def __hash__(self) -> int:
        return hash((type(self), self.key()))

    def _settings(self) -> dict[str, tuple[float, ...]]:
        told = self.options.settings
        if told is None:
            ends = zip(self.variables, self.observed.centre, self.observed.spread, strict=True)
            return {
                name: tuple(float(f"{middle + way * _AWAY * spread:.3g}") for way in (-1, 1))
                for name, middle, spread in ends
            }
        unknown = next((name for name in told if name not in self.variables), None)
        if unknown is not None or not all(told.values()):
            what = shown(unknown) if unknown is not None else "a variable without values"
            raise ComponentError(
                f"Option 'settings' of space 'interventions' has {what}; expected variables of "
                f"{self.options.data.name}, each with a list of values, such as {{{self.variables[0]}: [0]}}. It has "
                f"{', '.join(self.variables)}."
            )
        return {name: tuple(dict.fromkeys(told[name])) for name in self.variables if name in told}

    @property
    def features(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """What is set, and to what."""
        return {"kind": "settings", "space": {key: value for key, value in self.config().items() if key != "kind"}}

    @property
    def neighbours(self) -> Mapping[str, Any]:  # type: ignore[override]  # as the others
        """What is set, and to what."""
        return self.features

    def told(self) -> str:
        """Return what is in the space, in a few words for people."""
        return (
            f"experiments on {len(self.variables)} variables, of which {len(self.settings)} can be set, "
            f"after {len(self.observed.values)} observations"
        )

    def standard(self, text: str) -> str:
        """Return what is set, with the number in one form, and the run where it is not the first.

        Raises:
            NotStandardError: it is no such text, or names no variable.
        """
        return self._written(*self.parts(text))

    def parts(self, text: str) -> tuple[str | None, float, int]:
        """Return the variable that is set, None: none is; its value; and the number of the run.

        Raises:
            NotStandardError: as `standard`.
        """
        words = text.strip()
        if not words:
            raise NotStandardError(f"no experiment in this row; expected such as {self.variables[0]}=0, or {WATCH}")
        watched = words.split(",")[0].strip() == WATCH
        cells = split(words.partition(",")[2]) if watched and "," in words else {} if watched else split(words)
        run = self._run(cells.pop(_RUN, "1"))
        if watched and not cells:
            return None, 0.0, run
        if watched or len(cells) != 1:
            raise NotStandardError(f"{len(cells)} variables set at once; expected one, or {WATCH}")
        ((name, cell),) = cells.items()
        if name not in self.variables:
            raise NotStandardError(f"{name} is none of the variables {', '.join(self.variables)}")
        return name, read_number(name, cell), run

    def _run(self, cell: str) -> int:
        if not cell.isascii() or not cell.isdigit() or not int(cell):
            raise NotStandardError(f"run={cell} is no number of a run, 1 or more")
        return int(cell)

    def _written(self, name: str | None, value: float, run: int) -> str:
        told = WATCH if name is None else joined([name], [written(value)])
        return told if run == 1 else f"{told}, {_RUN}={run}"

    def outside(self, obj: str) -> str | None:
        """Return why an experiment is outside, a phrase: it cannot be done, or not so often."""
        name, value, run = self.parts(obj)
        if run > self.options.runs:
            return f"run {run} of an experiment, of which there are {self.options.runs}"
        if name is None:
            return None if self.options.watch else "an experiment in which nothing is set, which `watch` rules out"
        if value not in self.settings.get(name, ()):
            able = ", ".join(map(written, self.settings.get(name, ())))
            return f"{name}={written(value)}, which is none of the settings of {name} ({able or 'it has none'})"
        return None

    def family(self, obj: str) -> str:
        """Return the experiment whatever its run."""
        name, value, _ = self.parts(obj)
        return self._written(name, value, 1)

    def value(self, obj: str) -> dict[str, float]:
        """Return the variable that is set with its value, if one is, and the number of the run."""
        name, value, run = self.parts(obj)
        return {**({} if name is None else {name: value}), _RUN: run}

    def contradiction(self, obj: str, name: str, answer: float) -> str:
        """Return why the answer about a variable does not go with what was set, the end of a sentence; empty: it does.

        A set variable may be read a quarter of its standard deviation off.
        """
        variable, value, _ = self.parts(obj)
        if variable != name:
            return ""
        reach = _READ_OFF * float(self.observed.spread[self.variables.index(name)])
        return "" if abs(answer - value) <= reach else f"is not what was set, {written(value)}"

    def text(self, value: Any) -> str:
        """Return the experiment of what `value` returned.

        Raises:
            NotStandardError: it is no mapping of a variable and the run to numbers.
        """
        if not isinstance(value, Mapping):
            raise NotStandardError(f"a {type(value).__name__} that is no mapping of a variable to a number")
        cells = {str(name): str(cell) for name, cell in value.items()}
        run = cells.pop(_RUN, "1")
        told = joined(list(cells), list(cells.values())) if cells else WATCH
        return self.standard(f"{told}, {_RUN}={run}")

    def random(self, n: int, seed: int) -> Sequence[str]:
        """Return up to n experiments in random order, those that were never run first."""
        rng = np.random.default_rng(seed)
        every = [(name, value) for name, values in self.settings.items() for value in values]
        whole: list[tuple[str | None, float]] = [*every, *([(None, 0.0)] if self.options.watch else [])]
        runs = range(1, min(self.options.runs, n // len(whole) + 1) + 1)
        drawn = [(*whole[at], run) for run in runs for at in rng.permutation(len(whole))]
        return [self._written(name, value, run) for name, value, run in drawn[:n]]

    def design(self, n: int, seed: int) -> Sequence[str]:
        """Return up to n experiments: first one for each variable, with a random value, then the others."""
        rng = np.random.default_rng(seed)
        first = [
            self._written(name, values[int(rng.integers(len(values)))], 1) for name, values in self.settings.items()
        ]
        shuffled = [first[at] for at in rng.permutation(len(first))]
        return list(dict.fromkeys([*shuffled, *self.random(n + len(first), seed)]))[:n]

    def table(self, objects: Sequence[str]) -> FloatArray:
        """Return `(n, 2 V)`: which variable is set, and how far from its mean, in its standard deviations.

        Raises:
            ValueError: one of the texts is no experiment.
        """
        n = len(self.variables)
        found, observed = np.zeros((len(objects), 2 * n)), self.observed
        for row, obj in enumerate(objects):
            name, value, _ = self.parts(obj)
            if name is not None:
                place = self.variables.index(name)
                found[row, place] = 1.0
                found[row, n + place] = (value - observed.centre[place]) / observed.spread[place]
        return found

    def content(self) -> str:
        """Return a hash of what was observed."""
        known = self.observed
        rows = [] if known.intervened is None else known.intervened.tolist()
        return digest([known.names, known.values.tolist(), rows])

    def key(self) -> str:
        """Return a hash of the options and of what was observed, wherever the file lies."""
        return digest([{k: v for k, v in self.config().items() if k != "data"}, self.rules, self.content()])


def _read(path: Path, column: str | None) -> Observed:
    file = path.expanduser()
    try:
        require_file(file)
        found = _kept(file, file.stat().st_mtime_ns, column)
    except (SourceError, OSError, ValueError) as error:
        raise ComponentError(str(error)) from error
    _require_telling(found, file.name)
    reserved = next((name for name in found.names if name in (WATCH, _RUN) or not name or set(name) & set('=,"')), None)
    if reserved is not None:
        raise ComponentError(
            f"The variable {shown(reserved)} of {file.name} cannot stand in the text of an experiment, `gene=0, "
            f"run=2`. Take a name without =, comma and quotation mark that is not {WATCH} or {_RUN}."
        )
    return found


def _require_telling(observed: Observed, file: str) -> None:
    """Refuse variables that never vary, and pairs of which each is the other in another unit.

    Raises:
        ComponentError: there are such.
    """
    names, values = observed.names, observed.values
    constant = [name for name, column in zip(names, values.T, strict=True) if np.ptp(column) == 0]
    if constant:
        raise ComponentError(
            f"{', '.join(constant)} of {file} never vary, so nothing is known of what acts on them. Leave these "
            "columns out, or add rows in which they vary."
        )
    if len(values) > 2:
        alike = np.abs(np.corrcoef(values.T)) > _ALIKE
        pair = next(((i, j) for i, j in np.argwhere(np.triu(alike, 1)).tolist()), None)
        if pair is not None:
            raise ComponentError(
                f"{names[pair[0]]} and {names[pair[1]]} of {file} are the same quantity in two units, as far as the "
                f"{len(values)} rows tell: which acts on what cannot be told apart. Leave one of them out."
            )


@lru_cache(maxsize=8)
def _kept(file: Path, changed: int, column: str | None) -> Observed:
    del changed
    return Observed(*observations(file, column))
