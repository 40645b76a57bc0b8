"""What is sent and answered: the schema of the REST interface, as /openapi.json tells it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_ANSWERS = 10_000
"""Of one request."""
PRINTABLE = r"^[^\u0000-\u001f\u007f]*$"
Line = Annotated[str, Field(pattern=PRINTABLE)]
"""A text without control characters."""
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
State = Literal["proposed", "reserved", "submitted", "done", "failed", "in_doubt", "abandoned"]


class CampaignSummary(BaseModel):
    """A campaign, in one line."""

    name: str = Field(description="Name of the campaign.")
    generation: int = Field(description="1, and one more each time that the name was begun anew.")
    address: str = Field(description="What stands for it in addresses: the name, or `NAME~2` of a generation.")
    state: str = Field(description="`running`, `waiting` (for a laboratory), `done`, `budget_exhausted` and the like.")
    message: str | None = Field(description="Why it stands there and what to do, in sentences.")
    round: int = Field(description="The last one that has candidates; -1: none has.")
    rounds: int = Field(description="Planned, after the initial design, which is round 0.")
    calls: int = Field(description="Booked so far.")
    budget_calls: int | None = Field(description="Calls that may be booked; null: no limit.")
    cost: float = Field(description="Booked so far.")
    best: float | None = Field(description="Best measured value of the first objective to be improved.")
    created_at: str = Field(description="When it was begun, in UTC.")


class Output(BaseModel):
    """A value that is measured."""

    name: str = Field(description="Key of the value in answers.")
    unit: str = Field(description="Unit in which it is told; empty: it has none.")


class ObjectiveBody(BaseModel):
    """What is wanted."""

    name: str
    unit: str
    wanted: str = Field(description="In words, such as `as large as possible`.")


class CampaignBody(CampaignSummary):
    """A campaign."""

    objectives: list[ObjectiveBody]
    object: str = Field(description="What one object is, such as `molecule`.")
    columns: list[str] = Field(description="Keys that tell an object together; one: its text.")
    outputs: list[Output] = Field(description="Values that a laboratory is asked for; none: its oracles answer alone.")


class Campaigns(BaseModel):
    """Every campaign of the server."""

    campaigns: list[CampaignSummary]


class Rounds(BaseModel):
    """What each round bought and found."""

    campaign: str
    rounds: list[dict[str, Any]] = Field(
        description="A row per round: `round`, `calls`, `cost` and `failed` so far, `best`, `top10_mean`, and the "
        "means of the arms, as `Campaign.rounds` of the Python interface describes them."
    )


class Candidates(BaseModel):
    """A page of candidates, best first."""

    campaign: str
    total: int = Field(description="Candidates that meet the conditions, on all pages.")
    offset: int
    limit: int
    next: int | None = Field(description="`offset` of the next page; null: this is the last.")
    candidates: list[dict[str, Any]] = Field(
        description="`id`, the object, `value`, `unit`, `round`, `arm`, `state` and what else `discover candidates "
        "--format json` has."
    )


class Asked(BaseModel):
    """A measurement that is asked for."""

    id: str = Field(description="Names the object in answers.")
    object: str = Field(description="The object's text.")
    columns: dict[str, str] = Field(description="The same by columns, as `discover ask` writes it.")
    replicate: int = Field(description="Which repetition, from 1.")
    round: int
    asked_at: str = Field(description="When it was asked for, in UTC.")
    wanted: list[Output] = Field(description="Values that nobody has told yet.")
    told: dict[str, float | None] = Field(description="Values that were told already, while others are waited for.")
    facts: dict[str, Any] = Field(description="What helps to measure it.")


class Batch(BaseModel):
    """What is to be measured now: the ask."""

    campaign: str
    state: str
    batch: list[Asked]


class Pending(BaseModel):
    """What is asked and waits, in figures."""

    campaign: str
    state: str
    round: int | None = Field(description="The last round that asked; null: none did.")
    enough: bool = Field(description="Whether the round goes on with the answers that are there, at the next run.")
    open: int = Field(description="Measurements of all rounds that nobody has answered.")
    awaited: int = Field(description="Of other campaigns that are told there and taken over here.")
    oldest: str | None = Field(description="When the oldest of them was asked for, in UTC.")
    message: str = Field(description="How far the answers are, and what is next, in sentences.")


class AnswerBody(BaseModel):
    """What was measured of one object, or that it failed."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[Line, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="Of the object, as `batch` has it."
    )
    object: Annotated[Line, Field(min_length=1, max_length=20_000)] | None = Field(
        default=None, description="The object's text in any spelling; with an id both must be of one object."
    )
    replicate: Annotated[int, Field(strict=True, ge=1, le=9999)] | None = Field(
        default=None, description="Which repetition, from 1; null: the first that is open."
    )
    values: dict[Annotated[str, Field(max_length=200)], Number | None] = Field(
        default={},
        description="Value by name of the output, in its unit. null: this value will never be there. Values that are "
        "left out may be told later.",
    )
    units: dict[Annotated[str, Field(max_length=200)], Annotated[Line, Field(max_length=100)]] = Field(
        default={}, description="Units by name of the output, to be checked against those that are expected."
    )
    failed: bool = Field(
        default=False,
        strict=True,
        description="The measurement failed. Where several laboratories are asked, of those whose answers are waited "
        "for; null for all values of one says that only this one failed.",
    )
    message: Annotated[Line, Field(max_length=1000)] = Field(default="", description="Why it failed.")
    told_by: Annotated[Line, Field(max_length=100)] = Field(
        default="", description="Person or instrument; empty: as the request or its token says."
    )

    @model_validator(mode="after")
    def _says_something(self) -> AnswerBody:
        if self.id is None and self.object is None:
            raise ValueError("it names no object; give `id` or `object`")
        if self.failed and self.values:
            raise ValueError("it has values and is said to have failed; leave one of them out")
        if not self.failed and not self.values:
            raise ValueError('it has no value; give `values`, or `"failed": true` with a `message`')
        lost = self.failed or all(value is None for value in self.values.values())
        if self.message and not lost:
            raise ValueError("a `message` says why a measurement failed, and this one has a value; leave it out")
        return self


class AnswersBody(BaseModel):
    """What is told: all of it is taken, or none."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "answers": [
                        {"id": "m2x4jcc5wzkv7q3n5t6y7h8ab", "values": {"yield": 81.5}, "units": {"yield": "%"}},
                        {"id": "mabcdefghijklmnopqrstuvwx", "failed": True, "message": "precipitated"},
                    ],
                    "told_by": "HPLC 3",
                }
            ]
        },
    )

    answers: list[AnswerBody] = Field(min_length=1, max_length=MOST_ANSWERS)
    correct: bool = Field(
        default=False, strict=True, description="Values may take the place of others that were told; these are kept."
    )
    reinstate: bool = Field(
        default=False,
        strict=True,
        description="Values that were told and corrected since were right after all: they take their place again, and "
        "what they replace is kept. Without it they are refused, as an old request that is sent again undoes nothing.",
    )
    replicate: bool = Field(
        default=False, strict=True, description="Other values of what is measured already are repeated measurements."
    )
    unasked: bool = Field(default=False, strict=True, description="Take objects, too, that nobody asked for.")
    told_by: Annotated[Line, Field(max_length=100)] = Field(
        default="", description="Person or instrument; the token's name is noted in any case."
    )


class ReceiptBody(BaseModel):
    """What became of the answers."""

    told: str = Field(description="All of it in a sentence.")
    new: int = Field(description="Answers that were waited for.")
    failed: int = Field(description="Of these, failures.")
    partly: int = Field(description="Answers of which other values are still waited for.")
    same: int = Field(description="Answers that were known already: sent again, they add nothing.")
    corrected: int = Field(description="Answers that took the place of others, which are kept.")
    replicates: int = Field(description="Repeated measurements beyond those that were asked for.")
    unasked: int = Field(description="Objects that nobody had asked for.")
    open: int = Field(description="What is left to measure.")
    notes: list[str] = Field(description="Sentences on values that look wrong, and the like.")


class Health(BaseModel):
    """That the server is there."""

    status: Literal["ok"]
    version: str
