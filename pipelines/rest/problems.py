"""What is wrong with a request, as `application/problem+json` (RFC 9457): what, got, expected, next step."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException

from data.config import ConfigError
from data.ledger.campaigns import LedgerError
from data.ledger.engine import clean_text
from data.masking import masked
from data.tables.rows import SourceError
from pipelines.rest.bodies import PRINTABLE
from tasks.stages import BadInput

MEDIA_TYPE = "application/problem+json"
MOST = 100
"""Faults that one problem lists."""
SHOWN = 60
"""Characters of what was given that a sentence repeats."""


class Fault(BaseModel):
    """One thing that is wrong."""

    where: str = Field(description="Part of the request, such as `answers[2].values.yield`.")
    message: str = Field(description="Why it is refused, a sentence.")


class ProblemBody(BaseModel):
    """Why a request was refused. Nothing of it was taken."""

    type: str = Field(description="Name of the kind of problem, for programs.")
    title: str = Field(description="The same for people.")
    status: int = Field(description="Status of HTTP.")
    detail: str = Field(description="What is wrong, what was expected and what to do, in sentences.")
    errors: list[Fault] = Field(default=[], description=f"Each thing that is wrong, at most {MOST}.")


class Problem(Exception):
    """A request is refused.

    Attributes:
        status: of HTTP.
        kind: of the problem, for programs.
        detail: sentences.
        errors: each thing that is wrong.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.errors, self.headers = tuple(errors), dict(headers or {})

    def body(self) -> bytes:
        """Return it as JSON, with no password and no character that is none."""
        told: dict[str, Any] = {
            "type": f"urn:discovery-flows:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": _clean(self.detail),
            "errors": [{"where": _clean(one.where), "message": _clean(one.message)} for one in self.errors[:MOST]],
        }
        return json.dumps(told, ensure_ascii=False).encode("utf-8")

    def response(self) -> Response:
        """Return the answer to the request."""
        return Response(self.body(), self.status, {**self.headers, "cache-control": "no-store"}, MEDIA_TYPE)


def _clean(text: str) -> str:
    return clean_text(masked(text), 10_000)


def problem_of(error: Exception) -> Problem | None:
    """Return what an error says to whoever sent the request; None: it is a defect of ours."""
    from data.ledger.engine import LedgerUnavailable

    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, IntegrityError):
        return Problem(409, "told-meanwhile", "Nothing was taken: the same was told meanwhile. Send the request again.")
    if isinstance(error, LedgerUnavailable) or "was waited for" in str(error):
        return Problem(503, "ledger-unavailable", str(error), headers={"retry-after": "30"})
    if isinstance(error, LedgerError | BadInput):
        return Problem(409, "conflict", worded(str(error)))
    if isinstance(error, SourceError | ConfigError):
        return Problem(422, "unusable", str(error))
    return None


async def answer_problem(_request: Request, error: Exception) -> Response:
    """Answer a request that failed for a known reason."""
    problem = problem_of(error)
    if problem is None:
        raise error
    return problem.response()


async def answer_defect(_request: Request, _error: Exception) -> Response:
    """Answer a request at which the program failed; the log has the traceback."""
    return Problem(
        500,
        "defect",
        "The program failed at this request; the log of the server has why. Whether answers were taken is seen in "
        "`pending`; sending the same ones again adds nothing twice.",
    ).response()


def _of_http(error: HTTPException) -> Problem:
    status = error.status_code
    kind = HTTPStatus(status).phrase.lower().replace(" ", "-")
    told = {
        404: "There is no such address. /openapi.json lists those that there are.",
        405: "This address does not know the method. /openapi.json says which methods it knows.",
        400: f"The body cannot be read as JSON{_cause(error)}. Send a JSON object with Content-Type: application/json.",
    }.get(status, str(error.detail))
    return Problem(status, kind, told, headers=error.headers)


def _cause(error: HTTPException) -> str:
    """Return why a body could not be read, as a parenthesis; nothing where it is not known."""
    cause = error.__cause__
    if isinstance(cause, UnicodeDecodeError):
        return ": it is not UTF-8"
    if isinstance(cause, RecursionError):
        return ": its lists or objects are nested too deeply"
    if isinstance(cause, ValueError) and "integer string conversion" in str(cause):
        return ": it has an integer of thousands of digits"
    return ""


def _invalid(error: RequestValidationError) -> Problem:
    found = error.errors()
    faults = [Fault(where=_where(one["loc"]), message=_sentence(one)) for one in found[:MOST]]
    first = f"{faults[0].where}: {faults[0].message}" if faults else ""
    others = f" And {len(found) - 1} more." if len(found) > 1 else ""
    told = f"The request is not what /openapi.json asks for; nothing was taken. {first}{others}"
    return Problem(422, "invalid-request", told, faults)


def _where(location: Sequence[int | str]) -> str:
    """Return a place of the request: `answers[2].values.yield`."""
    told = ""
    for part in location[1:] if len(location) > 1 else location:
        told += f"[{part}]" if isinstance(part, int) else f".{str(part)[:SHOWN]}" if told else str(part)[:SHOWN]
    return told


def _sentence(one: Mapping[str, Any]) -> str:
    if one["type"] == "json_invalid":
        return f"It is no JSON: {one.get('ctx', {}).get('error', 'it cannot be read')}."
    if one["type"] == "missing":
        return "It is missing."
    if one["type"] == "extra_forbidden":
        return "There is no such key. Check its spelling."
    wanted = str(one["msg"]).removeprefix("Value error, ").rstrip(".")
    if one["type"] == "value_error":
        return f"{wanted[:1].upper()}{wanted[1:]}."
    given = one.get("input")
    if isinstance(given, bytes):
        return "The body was not sent as JSON. Send a JSON object with the header Content-Type: application/json."
    shown = repr(given) if isinstance(given, str | int | float | bool | None) else f"a {type(given).__name__}"
    if one["type"] == "string_pattern_mismatch":
        form = one.get("ctx", {}).get("pattern")
        wanted = "a text without control characters" if form == PRINTABLE else f"what {form} describes"
    return f"Got {shown[:SHOWN]}; expected {wanted.removeprefix('Input should be ')}."


_OPTION = re.compile(r"--(correct|reinstate|replicate|unasked)\b")
_LINE = re.compile(r"\b([Ll])ine (\d+)")


def worded(text: str) -> str:
    """Return a sentence of the command line in the words of this interface."""
    told = _OPTION.sub(r'`"\1": true`', text).replace("in a column `replicate`", "in the field `replicate`")
    return _LINE.sub(lambda found: f"{'A' if found[1] == 'L' else 'a'}nswer {found[2]}", told)
