"""Frozen values that flow between the stages of a campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    """A float64 array; the shape stands in the docstring of whatever takes or returns it."""
else:
    FloatArray = Any  # `discover status` reads records and must not wait for numpy


LARGEST_VALUE = 1e100
"""Largest absolute value that is taken for one: the squares of larger ones overflow."""


class Arm(StrEnum):
    """Why a candidate was bought."""

    INITIAL = "initial"
    """Member of the initial design (round 0)."""
    ACQUISITION = "acquisition"
    """Chosen by the acquisition function and the selector."""
    CONTROL = "control"
    """Random member of the space: what the campaign would find with no model."""
    TOLD = "told"
    """Measured without having been asked for."""


class CallState(StrEnum):
    """Life of one oracle call in the ledger."""

    RESERVED = "reserved"
    """Booked with its cost; not yet sent."""
    SUBMITTED = "submitted"
    """Sent; no answer yet."""
    DONE = "done"
    """Answered with a finite value."""
    FAILED = "failed"
    """Answered with an error, of the class that the row names."""
    IN_DOUBT = "in_doubt"
    """In flight when the process died, and the oracle must not be called twice: a person decides."""
    ABANDONED = "abandoned"
    """Given up by a person."""


Named = TypeVar("Named")


def _also_smiles(record: type[Named]) -> type[Named]:
    """Let `smiles` name the field `object` too, for reading and making: parts outside this repository say so."""
    make = record.__init__

    @wraps(make)
    def either(self: Named, *given: Any, **named: Any) -> None:
        if "smiles" in named:
            named["object"] = named.pop("smiles")
        make(self, *given, **named)

    record.__init__ = either  # type: ignore[assignment, method-assign]  # takes what the other takes
    return record


@_also_smiles
@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposed object before it is bought. `smiles` is an earlier name of `object`."""

    id: str
    """Identity of the object: the handle of its canonical text."""
    object: str
    """Its text, in standard form."""
    source: str
    """Kind of the generator that proposed it."""
    log_prob: float | None = None
    """Log-probability under the generator, where it is known."""

    @property
    def smiles(self) -> str:
        """The object, by its earlier name."""
        return self.object


class Making(StrEnum):
    """How an object came to be; generators of others may have words of their own."""

    MUTATION = "mutation"
    CROSSOVER = "crossover"
    BOTH = "crossover and mutation"
    BUILT = "built"
    """From nothing, step by step: it has no parents."""
    STEP = "building step"
    """One of those steps, as it is shown."""
    DRAWN = "drawn at random"
    LIBRARY = "library"
    """Read from a library."""
    DATA = "data"
    """A row of the campaign's data file."""
    INITIAL = "initial design"
    TOLD = "told"
    """Measured without having been asked for."""
    UNKNOWN = "unknown"
    """Nobody wrote it down."""


class Origin(NamedTuple):
    """How an object was made, and of which others."""

    operation: str
    """One of `Making`, or a generator's own word."""
    parents: tuple[str, ...] = ()
    """Texts of the objects that it was made of; empty: of none."""


class Level(NamedTuple):
    """What is known of a candidate at one of the levels from cheap to true."""

    value: float | None = None
    """The mean of its measurements there; None: there is none, or it failed, or the answer is still to come."""
    round: int | None = None
    """In which it was bought there, or known from; None: it was not."""
    calls: int = 0
    """Calls that are booked for it there."""
    repeats: tuple[float, ...] = ()
    """The values, where it was measured several times."""


class CandidateRow(NamedTuple):
    """A candidate as the ledger tells of it, with its newest call.

    A tuple, since campaigns have a million of them: making one takes a sixth of the time of a frozen dataclass.
    """

    id: str
    """Identity of the object."""
    object: str = ""
    """Its text; empty where a question leaves texts out."""
    value: float | None = None
    """None while it is not measured."""
    round: int = 0
    position: int = 0
    """In the order of purchase within its round."""
    arm: str = Arm.ACQUISITION
    source: str = ""
    """Kind of the generator or data source that it is from."""
    predicted_mean: float | None = None
    predicted_std: float | None = None
    score: float | None = None
    novelty: float | None = None
    state: str = "proposed"
    """Of its call; `proposed` before one is booked."""
    error: str | None = None
    message: str = ""
    origin: str | None = None
    """Of its value: `called`, `imported`, `reused` or `awaited`; None before its call is booked."""
    compound: str | None = None
    """What its space says that other objects are the same of; empty: nothing, None: not looked up yet."""
    same_compound: str = ""
    """Ids of the other candidates of that compound, with blanks between, where they were looked for."""
    values: Mapping[str, float] | None = None
    """Objective -> measured value in its own unit, of a campaign that reads several values; `value` is then that of
    the first objective to be improved, and the state is `done` once every objective has a value. None: of one."""
    predicted: Mapping[str, tuple[float, float]] | None = None
    """Objective -> mean and deviation that were predicted, of such a campaign. None: of one."""
    repeats: Mapping[str, tuple[float, ...]] | None = None
    """Objective -> the values of its repeated measurements, whose mean is its value; those measured once are left out.
    None: nothing was measured twice."""
    calls: int = 1
    """Calls that are booked for it, where it is booked: one for each oracle of the campaign."""
    booked: Mapping[int, tuple[int, int]] | None = None
    """Round -> calls that were booked for it in that round, and how many of these failed. None: of campaigns of one
    value a candidate, of which a row tells all."""
    levels: Mapping[str, tuple[Level, ...]] | None = None
    """Objective -> what is known at each level, from cheap to true; `value` is that of the last. A candidate that is
    bought at cheaper levels only is `done` without a value. None: of campaigns whose objectives have one oracle."""


def measured_column(objective: str) -> str:
    """Return the column of a data set that holds an objective's measured values, where there are several."""
    return f"value[{objective}]"


def predicted_columns(objective: str) -> tuple[str, str]:
    """Return the columns of a data set that hold what was predicted of an objective, where there are several."""
    return f"predicted_mean[{objective}]", f"predicted_std[{objective}]"


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted values of n objects in the unit of the target.

    Attributes:
        mean: shape `(n,)`.
        std: shape `(n,)`, standard deviation of a new measurement, noise included, > 0.
        freedom: shape `(n,)`, degrees of freedom of Student's t, > 2, of a measurement that is distributed like that
            with this mean and standard deviation; None: it is normal.
    """

    mean: FloatArray
    std: FloatArray
    freedom: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.mean.shape != self.std.shape or self.mean.ndim != 1:
            raise ValueError(
                f"A Prediction holds two vectors of one length; got mean {self.mean.shape} and std {self.std.shape}."
            )
        if self.freedom is not None and (self.freedom.shape != self.mean.shape or not (self.freedom > 2).all()):
            raise ValueError(
                f"The degrees of freedom of a Prediction are one number above 2 for each of {len(self.mean)} objects; "
                f"got {self.freedom!r}. With 2 or fewer there is no standard deviation."
            )

    def part(self, rows: Any) -> Prediction:
        """Return the predictions of some objects, by indices or by a mask `(n,)`."""
        return Prediction(self.mean[rows], self.std[rows], None if self.freedom is None else self.freedom[rows])

    def with_std(self, std: FloatArray) -> Prediction:
        """Return the same means and shape of distribution with other standard deviations `(n,)`."""
        return Prediction(self.mean, std, self.freedom)

    def __len__(self) -> int:
        return len(self.mean)


@_also_smiles
@dataclass(frozen=True, slots=True)
class Measurement:
    """Answer of an oracle for one object: a finite value, several by name, or the class of its failure and a message.

    `smiles` is an earlier name of `object`.
    """

    object: str
    value: float | None
    error: str | None = None
    """Class of the failure (`invalid`, `embedding`, `calculation`, `timeout`, `not_finite` ...), None if measured."""
    message: str = ""
    seconds: float = 0.0
    """Wall seconds that the call took."""
    outputs: Mapping[str, float | None] | None = None
    """Values by name, of an oracle that answers with several, None where an object has none; `value` is None then."""

    def __post_init__(self) -> None:
        if [self.value is None, self.error is None, not self.outputs].count(False) != 1:
            raise ValueError(
                f"A Measurement has one of a value, outputs and an error; got value={self.value!r}, "
                f"outputs={self.outputs!r} and error={self.error!r} for {self.object}."
            )

    @property
    def smiles(self) -> str:
        """The object, by its earlier name."""
        return self.object


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row of an input file, or a proposed object, that was not taken, and why."""

    line: int | None
    """Line in the source file, the header being line 1; None where there is no file."""
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """What an arm measured, and how far chance may have moved its mean."""

    n: int
    mean: float
    half: float | None
    """Half of the 95 % interval of the mean, by Student's t; None for a single value."""


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better what the acquisition arm bought is than the control arm, on average; a gain is positive."""

    mean: float
    """In the unit of the main objective."""
    half: float | None
    """Half of the 95 % interval, by Welch's t; None where an arm has a single value."""
    acquisition: int
    control: int
    """Values that were compared."""

    @property
    def told(self) -> bool:
        """Whether the arms can be told apart: the interval does not contain 0."""
        return self.half is not None and abs(self.mean) > self.half


@dataclass(frozen=True, slots=True)
class ArmVolumes:
    """What hypervolume the purchases of both arms add to that of the initial design, by equally many calls."""

    n: int
    """Calls of each arm that are counted: those of the arm that has fewer, so far."""
    acquisition: float
    control: float


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """What became of the proposals of one source, over all rounds so far."""

    source: str
    proposed: int | None
    """None where it was not counted: the initial design."""
    screened: int | None
    """Of these, left after screening."""
    bought: int
    mean: float | None
    """Of the main objective, as is the best: of what keeps to the limits."""
    best: float | None
    hits: int = 0
    """Of what was measured, among the best tenth of everything measured."""
    families: int | None = None
    """Different families among the hits; None where nobody asked what a family is."""


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """What a round bought and found, for the terminal, the reports and MLflow.

    Values are those of the main objective. What breaks a limit is in none of them.
    """

    round: int
    calls: int
    """Calls spent since the campaign began."""
    best: float | None
    top10_mean: float | None
    acquisition_mean: float | None
    control_mean: float | None
    failed: int
    """Of these calls, those that failed: also answers that lack a value which an objective reads."""
    metrics: dict[str, float]
    acquisition: ArmFigures | None = None
    """What the acquisition arm bought in this round."""
    control: ArmFigures | None = None
    """What the control arm bought in this round."""
    feasible: float | None = None
    """Share of what was measured in this round that keeps to the limits; None without limits. So are the next two."""
    acquisition_feasible: float | None = None
    control_feasible: float | None = None
    acquisition_outside: int = 0
    """What the arm measured in this round that breaks a limit: it is in no mean. So is the next."""
    control_outside: int = 0
    top_n: int = 0
    """Values that `top10_mean` is the mean of: fewer than ten where fewer are known."""
    best_of: Mapping[str, float] | None = None
    """Objective -> its best value so far, where several are to be improved; so are the next three."""
    front: int | None = None
    """Candidates that no other dominates, so far."""
    hypervolume: float | None = None
    """What they dominate above the reference point of `data.goals.Goals.reference`, in the product of the units."""
    volumes: ArmVolumes | None = None
    """The arms side by side, so far; None where one of them has bought nothing."""

    TOP: ClassVar[int] = 10
    """Values in the mean of the best."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a campaign is, and its best values: of the main objective, and of what keeps to all limits."""

    round: int
    """The last that has candidates."""
    best: float | None
    top10_mean: float | None
    top_n: int = 0
    """Values that `top10_mean` is the mean of."""

    @classmethod
    def of(cls, round: int | None, best: Sequence[float]) -> Standing:
        """Make one of the last round, if there is any, and the best values, best first."""
        return cls(round or 0, best[0] if best else None, sum(best) / len(best) if best else None, len(best))


JsonDict = dict[str, Any]
