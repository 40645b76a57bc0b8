"""What every oracle shares: cost, timeout and chunk as options, and one measurement per object, whatever happens."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter  # bound before other people's modules can put another clock in its place
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field
from typing_extensions import TypeVar

from data.config import digest
from data.records import LARGEST_VALUE, Measurement
from models.oracles.function_worker import LONGEST_MESSAGE, short
from models.oracles.libraries import content
from models.oracles.source_files import class_parts
from models.registry import Component, Options

if TYPE_CHECKING:  # importing it takes half a second, which a process that measures need not spend
    from models.spaces.base import BaseSpace

SPEED = frozenset({"cost", "timeout", "chunk", "retries", "wait", "workers"})
"""Options that say how dear or how fast a measurement is, and nothing about its value."""


LONGEST_ERROR = 32
"""Characters of the class of a failure, which is a word."""


class MeasurementFailure(Exception):
    """One object could not be measured.

    Args:
        error: the class of the failure, a word: `invalid`, `embedding`, `calculation`, `not_finite` ...
        message: what happened.
    """

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


def _named(outputs: Any) -> Any:
    """Let a list of names stand for outputs without units."""
    return dict.fromkeys(outputs, "") if isinstance(outputs, list | tuple) else outputs


Outputs = Annotated[dict[Annotated[str, Field(min_length=1)], str], BeforeValidator(_named)]
OUTPUTS: Any = Field(
    default={}, description="name and unit of each value, where an answer has several; a list names them without units"
)
"""Option of oracles that can answer with several values."""


class OracleOptions(Options):
    """Options of every oracle."""

    cost: float = Field(default=1.0, ge=0, description="cost of one call, in the unit of the campaign's budget")
    timeout: float = Field(default=60.0, gt=0, description="seconds that one object may take")
    chunk: int = Field(default=1, ge=1, description="objects per call")


OracleOptionsT = TypeVar("OracleOptionsT", bound=OracleOptions, default=Any)
"""Options of an oracle."""


class BaseOracle(Component[OracleOptionsT]):
    """Base of every oracle: what its values depend on, and what people call it.

    `parts` names all that decides a value, `identity` is its hash: two oracles of one identity give one object one
    value, wherever their files are. Options count as far as they differ from their defaults (so that a new option with
    a default changes nothing) and are not in `SPEED`; an option that is a path counts by the content of the file. The
    module of an oracle from another distribution counts as well, and what the space says of the meaning of texts.

    A campaign binds its oracle to its space; one that is not bound is asked for molecules.
    """

    group = "oracle"
    version: str = "1"
    by_content: ClassVar[frozenset[str]] = frozenset()
    """Options that do not count as text, since `contents` tells what they lead to."""
    lasting: ClassVar[bool] = False
    """Whether a process that has measured may wait for the next round: it remembers nothing that the identity leaves
    out, and holds no device or licence meanwhile."""
    _space: BaseSpace[Any] | None = None

    def bind(self, space: BaseSpace[Any]) -> Self:
        """Take the space of the objects that are asked for; returns the oracle."""
        self._space = space
        return self

    @property
    def space(self) -> BaseSpace[Any]:
        """The space of the objects that are asked for."""
        if self._space is None:
            from models.spaces.usual import usual_space

            return usual_space()
        return self._space

    def question(self, obj: str) -> Any:
        """Return what the process that measures is sent for an object, JSON-able: its text."""
        return obj

    @property
    def label(self) -> str:
        """Short name for people: the kind, and what tells it from others of its kind."""
        return self.kind

    def contents(self, base: Path) -> dict[str, str]:
        """Return what decides a value beside kind, options and version: name -> hash or version.

        Args:
            base: folder of the campaign file.

        Raises:
            ValueError: something is not there; a complete sentence.
        """
        return {}

    def remarks(self, base: Path) -> list[str]:
        """Return sentences on what decides a value and is not counted, as far as that can be seen.

        Args:
            base: folder of the campaign file.
        """
        return []

    def parts(self, base: Path = Path()) -> dict[str, str]:
        """Return all that decides a value, by name.

        Args:
            base: folder of the campaign file.

        Raises:
            ValueError: something is not there; a complete sentence.
        """
        return oracle_parts(self, base)

    def identity(self, base: Path = Path()) -> str:
        """Return the sha256 of all that decides a value; `base` is the campaign file's folder."""
        return digest(self.parts(base))


def oracle_parts(oracle: Any, base: Path) -> dict[str, str]:
    """Return all that decides an oracle's value, also of one that is only a `Component`."""
    parts = {"kind": str(oracle.kind), "version": str(oracle.version)}
    by_content: frozenset[str] = getattr(oracle, "by_content", frozenset())
    for name, value in oracle.options.model_dump(mode="json", exclude_defaults=True).items():
        if name in SPEED or name in by_content:
            continue
        path = getattr(oracle.options, name)
        if isinstance(path, Path) and (base / path.expanduser()).exists():
            parts[f"file of option {name}"] = content(base / path.expanduser())
        else:
            parts[f"option {name}"] = json.dumps(value, sort_keys=True)
    foreign = [
        cls
        for cls in type(oracle).__mro__
        if issubclass(cls, Component) and cls.__module__.partition(".")[0] != "models"
    ]
    parts |= class_parts(foreign)
    if not isinstance(oracle, BaseOracle):
        return parts
    reading = oracle.space.reading()
    if reading:
        parts["meaning of objects"] = reading
    return parts | oracle.contents(base)


def parts_for_campaign(oracle: Any, base: Path, campaign: str) -> dict[str, str]:
    """Return the same for the campaign of a name: what people measure may be of one campaign only."""
    parts = oracle_parts(oracle, base)
    # What people measure is known by its protocol; where none is named, nobody can tell whether two are the same.
    return parts if getattr(oracle, "shared", True) else {**parts, "campaign": campaign}


def bound(oracle: Any, space: BaseSpace[Any]) -> Any:
    """Return an oracle that has been given its space, also one that is only a `Component` and asks for none."""
    return oracle.bind(space) if isinstance(oracle, BaseOracle) else oracle


class ObjectOracle(BaseOracle[OracleOptionsT]):
    """Base of oracles that measure one object at a time; `measure` either returns a value or raises.

    An oracle whose unit is fixed may round to `digits` decimals of it, so that its values do not depend on the number
    of threads or the machine's summation order. The others answer to the last digit: a value in mol/l may be 1e-12.
    """

    semantics: str = "pure"
    unit: str = ""
    digits: int | None = None

    class Options(OracleOptions):
        """Options of every oracle."""

    @property
    def cost(self) -> float:
        """Cost of one call."""
        return float(self.options.cost)

    @property
    def timeout(self) -> float:
        """Seconds that one object may take."""
        return float(self.options.timeout)

    @property
    def chunk(self) -> int:
        """Objects per call of `evaluate`."""
        return int(self.options.chunk)

    def prepare(self) -> None:
        """Load what the first measurement needs; called once in the process that measures.

        Raises:
            ImportError: a library is missing.
        """

    @abstractmethod
    def measure(self, obj: str) -> float:
        """Return the value of one object.

        Raises:
            MeasurementFailure: it cannot be measured.
        """

    def evaluate(self, objects: Sequence[str], *, keys: Sequence[str]) -> Iterator[Measurement]:
        """Yield one Measurement per object, in order; an object that fails has an error and ends nothing."""
        for obj in objects:
            started = perf_counter()
            try:
                value = self.measure(obj)
            except MeasurementFailure as failure:
                yield failed(obj, failure.error, str(failure), started)
            except Exception as error:  # a fault of a library on one object is that object's result
                yield failed(obj, "calculation", f"{type(error).__name__}: {error}", started)
            else:
                yield measured(obj, value, started, self.digits)


class MoleculeOracle(ObjectOracle[OracleOptionsT]):
    """Base of oracles that measure one molecule at a time, a SMILES."""

    spaces = ("molecules",)


def measured(obj: str, value: float, started: float, digits: int | None = None) -> Measurement:
    """Return the measurement of a value; one that is not finite or too large becomes the failure `not_finite`."""
    if not abs(value) <= LARGEST_VALUE:
        message = f"The oracle answered {value}; expected a finite number of at most {LARGEST_VALUE:g}."
        return failed(obj, "not_finite", message, started)
    value = value if digits is None else round(value, digits)
    return Measurement(obj, value, seconds=perf_counter() - started)


def measured_outputs(obj: str, values: Mapping[str, float | str | None], started: float) -> Measurement:
    """Return the measurement of several values, each a number, a sentence that says why there is none, or None.

    Values that are not finite or too large are none; an object without any has failed.
    """
    outputs = {
        name: value if isinstance(value, float | int) and abs(value) <= LARGEST_VALUE else None
        for name, value in values.items()
    }
    seconds = perf_counter() - started
    told = next((value for value in values.values() if isinstance(value, str)), None)
    if any(value is not None for value in outputs.values()):
        return Measurement(obj, None, message=told or "", seconds=seconds, outputs=outputs)
    if told is not None:
        return Measurement(obj, None, "wrong_answer", told, seconds)
    return Measurement(
        obj, None, "not_finite", f"The oracle answered {dict(values)}, without a finite number.", seconds
    )


def failed(obj: str, error: str, message: str, started: float) -> Measurement:
    """Return the measurement of a failure."""
    return Measurement(obj, None, error=error, message=message, seconds=perf_counter() - started)


def usable(obj: str, answer: Mapping[str, Any]) -> Measurement:
    """Return the measurement that a process answered as `{"value", "outputs", "error", "message", "seconds"}`.

    A value that is not finite or too large becomes the failure `not_finite`, seconds that no clock gives become 0; the
    texts are made such that any file, terminal and database takes them.

    Raises:
        TypeError: it is no such answer.
    """
    value, error, seconds = answer["value"], answer["error"], float(answer["seconds"])
    if isinstance(value, bool) or not isinstance(value, int | float | None) or not isinstance(error, str | None):
        raise TypeError(f"expected a number and a class of failure; got {value!r} and {error!r}")
    seconds = seconds if math.isfinite(seconds) and seconds >= 0 else 0.0
    if value is not None and not abs(value) <= LARGEST_VALUE:
        told = f"The oracle answered {short(str(value), 80)}; expected a finite number of at most {LARGEST_VALUE:g}."
        return Measurement(obj, None, "not_finite", told, seconds)
    outputs = answer.get("outputs")
    if outputs is not None:
        if value is not None or error is not None or not _are_outputs(outputs):
            raise TypeError(f"expected numbers by name; got {short(str(outputs), 80)}")
        return replace(measured_outputs(obj, outputs, 0.0), seconds=seconds)
    error = None if error is None else printable(error, LONGEST_ERROR) or "unnamed"
    return Measurement(obj, None if value is None else float(value), error, printable(str(answer["message"])), seconds)


def _are_outputs(outputs: Any) -> bool:
    return isinstance(outputs, Mapping) and all(
        isinstance(name, str) and not isinstance(value, bool) and isinstance(value, int | float | None)
        for name, value in outputs.items()
    )


def printable(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Return a text without NUL, other control characters and lone surrogates, the middle of a long one left out."""
    kept = (c if c.isprintable() or c in "\n\t" else "\ufffd" for c in short(text, longest))
    return "".join(kept)
