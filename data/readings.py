"""Which answer of which oracle each objective reads: several may read one, which is then asked once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data.records import CallState, CandidateRow


@dataclass(frozen=True, slots=True)
class Reading:
    """Where an objective's values come from."""

    objective: str
    part: str
    """The campaign's oracle, as the ledger's calls name it: empty the first, then `1`, `2` and so on."""
    output: str | None = None
    """Which of the oracle's several values; None: the oracle answers with one."""


class Readings(tuple[Reading, ...]):
    """The readings of K objectives, in their order."""

    __slots__ = ()

    @classmethod
    def of(cls, objectives: Iterable[Mapping[str, Any]]) -> Readings:
        """Return the readings of objectives as a campaign's configuration has them, JSON-able.

        Objectives that write their oracle alike read answers of one oracle.
        """
        parts: dict[str, str] = {}
        found = []
        for one in objectives:
            written = json.dumps(one["oracle"], sort_keys=True)
            part = parts.setdefault(written, str(len(parts)) if parts else "")
            found.append(Reading(str(one["name"]), part, one.get("output")))
        return cls(found)

    @property
    def parts(self) -> tuple[str, ...]:
        """The campaign's oracles, each once."""
        return tuple(dict.fromkeys(one.part for one in self))

    @property
    def plain(self) -> bool:
        """Whether there is one value for a candidate and no more, so that a row of the ledger tells all."""
        return len(self) == 1 and self[0].output is None

    def first_of(self, part: str) -> int:
        """Return the position of the first objective that reads an oracle."""
        return next(k for k, one in enumerate(self) if one.part == part)


_OPEN = (CallState.IN_DOUBT, CallState.SUBMITTED, CallState.RESERVED, CallState.FAILED, CallState.ABANDONED)
"""What is told of a candidate of which some values are missing: the first that one of its calls is."""


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

    def read(self, output: str | None) -> float | None:
        """Return a value of the answer, None where there is no answer yet or it has none of that name."""
        if self.state != CallState.DONE:
            return None
        return self.value if output is None else (self.outputs or {}).get(output)

    def unread(self, output: str | None) -> CallRow:
        """Return the call as it is where an answer has no value of that name: a failure, whose message says why."""
        if self.state != CallState.DONE:
            return self
        told = f"The oracle's answer has no value of {'it' if output is None else repr(output)}."
        return replace(self, state=CallState.FAILED, error="no_output", message=told)


def together(row: CandidateRow, calls: Sequence[CallRow], readings: Readings, main: str) -> CandidateRow:
    """Return a candidate with the values of all objectives.

    Args:
        row: of the candidate, without what its calls say.
        calls: its newest calls, at most one of each oracle.
        readings: of the campaign.
        main: the objective whose value stands for the candidate where there is room for one.
    """
    by_part = {call.part: call for call in calls}
    values: dict[str, float] = {}
    missing = []
    for reading in readings:
        call = by_part.get(reading.part)
        value = None if call is None else call.read(reading.output)
        if value is not None:
            values[reading.objective] = value
        else:
            missing.append(None if call is None else call.unread(reading.output))
    state, error, message = "proposed", None, ""
    if not missing:
        state = CallState.DONE
    elif calls:
        undone = [call for call in missing if call is not None]
        state = next((state for state in _OPEN if any(call.state == state for call in undone)), "proposed")
        told = next((call for call in undone if call.state == state), None)
        error, message = (told.error, told.message) if told else (None, "")
    return row._replace(
        value=values.get(main),
        values=values,
        state=str(state),
        error=error,
        message=message,
        origin=_origin([call.origin for call in calls]),
        calls=sum(call.origin != "imported" for call in calls),
    )


def _origin(origins: Sequence[str | None]) -> str | None:
    """Return how the values of a candidate came about: as calls, if one of them was called."""
    for origin in ("called", "awaited", "reused", "imported"):
        if origin in origins:
            return origin
    return None
