"""Which answer of which oracle each objective reads: several may read one, which is then asked once."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data.records import CallState, CandidateRow, Level


@dataclass(frozen=True, slots=True)
class Reading:
    """Where an objective's values come from."""

    objective: str
    part: str
    """The campaign's oracle, as the ledger's calls name it: empty the first, then `1`, `2` and so on."""
    output: str | None = None
    """Which of the oracle's several values; None: the oracle answers with one."""
    below: tuple[tuple[str, str | None], ...] = ()
    """Part and output of each cheaper oracle of the objective, from the cheapest; empty where it has one oracle."""

    @property
    def levels(self) -> tuple[tuple[str, str | None], ...]:
        """Part and output of each oracle of the objective, from cheap to true."""
        return (*self.below, (self.part, self.output))


LABORATORY = "laboratory"
"""Kind of the oracles whose answers people bring."""


LACKING = "no_output"
"""Class of the failure that an answer is which lacks a value that an objective reads."""


def _only_output(oracle: Mapping[str, Any]) -> str | None:
    """Return the output of an oracle that has one with a name; None: it has none, or several."""
    outputs = oracle.get("outputs") or ()
    return str(next(iter(outputs))) if len(outputs) == 1 else None


def oracles_of(objective: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the oracles of an objective as a configuration has it, JSON-able, from cheap to true."""
    oracle = objective["oracle"]
    return list(oracle) if isinstance(oracle, list | tuple) else [oracle]


class Readings(tuple[Reading, ...]):
    """The readings of K objectives, in their order."""

    replicates: int
    """How often each candidate is measured."""
    later: bool
    """Whether answers come later than the questions: a laboratory is among the oracles."""
    remeasured: bool
    """Whether what is measured may be measured again in a later round."""

    def __new__(
        cls, readings: Iterable[Reading], *, replicates: int = 1, later: bool = False, remeasured: bool = False
    ) -> Readings:
        """Make the readings of a campaign."""
        made = super().__new__(cls, readings)
        made.replicates, made.later, made.remeasured = replicates, later, remeasured
        return made

    @classmethod
    def of(cls, objectives: Sequence[Mapping[str, Any]], *, remeasured: bool = False) -> Readings:
        """Return the readings of objectives as a campaign's configuration has them, JSON-able.

        Objectives that write their oracle alike read answers of one oracle. Of oracles from cheap to true the last
        gives the value; cheaper ones are named after all that do.
        """
        parts: dict[str, str] = {}

        def read(one: Mapping[str, Any], oracle: Mapping[str, Any]) -> tuple[str, str | None]:
            written = json.dumps(oracle, sort_keys=True)
            part = parts.setdefault(written, str(len(parts)) if parts else "")
            return part, one.get("output") or _only_output(oracle)

        oracles = [oracles_of(one) for one in objectives]
        true = [read(one, listed[-1]) for one, listed in zip(objectives, oracles, strict=True)]
        found = [
            Reading(str(one["name"]), *last, tuple(read(one, cheaper) for cheaper in listed[:-1]))
            for one, listed, last in zip(objectives, oracles, true, strict=True)
        ]
        replicates = max((int(one.get("replicates") or 1) for one in objectives), default=1)
        later = any(oracle.get("kind") == LABORATORY for listed in oracles for oracle in listed)
        return cls(found, replicates=replicates, later=later, remeasured=remeasured)

    @property
    def parts(self) -> tuple[str, ...]:
        """The campaign's oracles, each once: those that give values, then the cheaper ones."""
        return tuple(dict.fromkeys([*self.true_parts, *(part for one in self for part, _ in one.below)]))

    @property
    def true_parts(self) -> tuple[str, ...]:
        """The oracles that give the values of candidates, each once."""
        return tuple(dict.fromkeys(one.part for one in self))

    @property
    def levelled(self) -> Reading | None:
        """The reading of the objective that is measured at several levels; None: there is none."""
        return next((one for one in self if one.below), None)

    def readers(self, part: str) -> list[int]:
        """Return the positions of the objectives that read an oracle, at whatever level."""
        return [k for k, one in enumerate(self) if any(part == of for of, _ in one.levels)]

    @property
    def plain(self) -> bool:
        """Whether there is one value for a candidate and no more, so that a row of the ledger tells all."""
        alone = len(self) == 1 and self[0].output is None and not self[0].below
        return alone and self.replicates == 1 and not self.later and not self.remeasured

    def units(self, objectives: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Return the units that the configuration names, by objective; empty where it names none."""
        found = {}
        for one, reading in zip(objectives, self, strict=True):
            true = oracles_of(one)[-1]
            outputs = true.get("outputs")
            named = outputs if isinstance(outputs, Mapping) else {}
            unit = true.get("unit") if reading.output is None else named.get(reading.output)
            found[reading.objective] = str(unit or "")
        return found

    def judged(self, call: CallRow) -> CallRow:
        """Return a call as it counts: one whose answer lacks a value that an objective reads is a failure.

        Everything that counts failures asks here, so that all count the same ones.
        """
        read = dict.fromkeys(output for one in self for part, output in one.levels if part == call.part)
        lacking = [output for output in read if call.read(output) is None]
        return call.unread(*lacking) if lacking else call

    def first_of(self, part: str) -> int:
        """Return the position of the first objective that reads an oracle."""
        return self.readers(part)[0]


_OPEN = (CallState.IN_DOUBT, CallState.SUBMITTED, CallState.RESERVED, CallState.FAILED, CallState.ABANDONED)
"""What is told of a candidate of which some values are missing: the first that one of its calls is."""
_ENDED = (CallState.FAILED, CallState.ABANDONED)


@dataclass(frozen=True, slots=True)
class CallRow:
    """The newest call of a candidate to one oracle, as the ledger tells of it."""

    part: str
    value: float | None
    state: str
    error: str | None
    message: str
    origin: str | None
    outputs: Mapping[str, float | None] | None = None
    """Values of an oracle that answers with several, by name."""
    replicate: int = 0
    round: int | None = None
    """In which it was bought; None: not asked for."""

    def read(self, output: str | None) -> float | None:
        """Return a value of the answer, None where there is no answer yet or it has none of that name."""
        if self.state != CallState.DONE:
            return None
        return self.value if output is None else (self.outputs or {}).get(output)

    def unread(self, *outputs: str | None) -> CallRow:
        """Return the call as it is where an answer has no value of these names: a failure, whose message says why."""
        if self.state != CallState.DONE:
            return self
        named = " and ".join("it" if output is None else repr(output) for output in outputs)
        told = f"The oracle's answer has no value of {named}."
        told = f"{told} {self.message}".strip()
        return replace(self, state=CallState.FAILED, error=LACKING, message=told)


def together(row: CandidateRow, calls: Sequence[CallRow], readings: Readings, main: str) -> CandidateRow:
    """Return a candidate with the values of all objectives.

    Args:
        row: of the candidate, without what its calls say.
        calls: its newest calls, at most one of each oracle and replicate.
        readings: of the campaign.
        main: the objective whose value stands for the candidate where there is room for one.
    """
    values: dict[str, float] = {}
    repeats: dict[str, tuple[float, ...]] = {}
    missing: list[CallRow] = []
    unasked = False
    levels: dict[str, tuple[Level, ...]] = {}
    for reading in readings:
        if reading.below:
            levels[reading.objective] = tuple(_level(calls, part, output) for part, output in reading.levels)
    # What is known of a candidate that is not measured yet is that its cheaper measurements are done.
    cheap = bool(levels) and not any(call.part in readings.true_parts for call in calls)
    sources = [(one.objective, *one.levels[-1]) for one in readings]
    if cheap:
        below = {part for one in readings for part, _ in one.below}
        missing = [call for call in calls if call.part in below and call.state != CallState.DONE]
        unasked = not calls
        sources = []
    for objective, part, output in sources:
        mine = [call for call in calls if call.part == part]
        read = [(call, call.read(output)) for call in mine]
        told = [value for _, value in read if value is not None]
        if told:
            values[objective] = math.fsum(told) / len(told)
        if len(told) > 1:
            repeats[objective] = tuple(told)
        # A replicate that failed is no loss while another one tells; one that is still to come is waited for.
        silent = [call.unread(output) for call, value in read if value is None]
        missing += [call for call in silent if not told or call.state not in _ENDED]
        unasked |= not mine
    state, error, message = "proposed", None, ""
    if not missing and not unasked:
        imported = [call.message for call in calls if call.origin == "imported" and call.message]
        state, message = CallState.DONE, " ".join([*imported, _lost_cheaply(calls, readings)]).strip()
    elif missing:
        first = min(missing, key=lambda call: _OPEN.index(CallState(call.state)))
        state, error, message = first.state, first.error, first.message
    return row._replace(
        value=values.get(main),
        values=values,
        repeats=repeats or None,
        state=str(state),
        error=error,
        message=message,
        origin=_origin([call.origin for call in calls]),
        calls=sum(call.origin != "imported" for call in calls),
        booked=_booked(calls, row.round, readings),
        levels=levels or None,
    )


def _booked(calls: Iterable[CallRow], round: int, readings: Readings) -> dict[int, tuple[int, int]]:
    """Return the calls that were booked in each round, and how many of these failed or lack a value that is read."""
    found: dict[int, tuple[int, int]] = {}
    for call in calls:
        if call.origin != "imported":
            at = round if call.round is None else call.round
            booked, failed = found.get(at, (0, 0))
            found[at] = (booked + 1, failed + (readings.judged(call).state == CallState.FAILED))
    return found


def _lost_cheaply(calls: Sequence[CallRow], readings: Readings) -> str:
    """Return what became of cheaper calls that failed, where the true one tells; empty: none did."""
    places = {part: place for one in readings for place, (part, _) in enumerate(one.below)}
    failed = [call for call in calls if call.part in places and call.state in _ENDED]
    return " ".join(f"Level {places[call.part]} {call.state}: {call.message}".strip() for call in failed)


def _level(calls: Sequence[CallRow], part: str, output: str | None) -> Level:
    """Return what is known of a candidate at a level."""
    mine = [call for call in calls if call.part == part]
    told = [value for call in mine if (value := call.read(output)) is not None]
    bought = [call for call in mine if call.origin != "imported"]
    return Level(
        math.fsum(told) / len(told) if told else None,
        min((call.round for call in mine if call.round is not None), default=None),
        len(bought),
        tuple(told) if len(told) > 1 else (),
    )


def _origin(origins: Sequence[str | None]) -> str | None:
    """Return how the values of a candidate came about: as calls, if one of them was called."""
    for origin in ("called", "awaited", "reused", "imported"):
        if origin in origins:
            return origin
    return None
