"""The REST interface of a workspace, as an application of ASGI."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException

from data.config import ConfigError
from data.ledger.campaigns import LedgerError
from data.tables.rows import SourceError
from data.version import version
from pipelines.admission import Application
from pipelines.rest import bodies, views
from pipelines.rest.access import Holder, Role, Tokens
from pipelines.rest.answers import take_answers
from pipelines.rest.guard import LARGEST, guarding
from pipelines.rest.problems import MEDIA_TYPE, Problem, ProblemBody, answer_defect, answer_problem
from tasks.stages import BadInput
from tasks.workspace import Workspace

PREFIX = "/api/v1"
MOST = 1000
"""Candidates of one page."""
_LARGEST_NUMBER = 2**31 - 1
_ABOUT = """
Candidates, rounds, ask and tell of discovery campaigns.

A robot asks for the `batch`, measures, and posts `answers`. Answers are taken all or none. Sending the same again adds
nothing, so a request whose answer was lost is simply sent again. An answer that contradicts a known one is refused
(409) unless `correct` is set, which keeps the old one, or `replicate`; one that was corrected since, unless `reinstate`
is. A campaign goes on by `discover run`.

Every refusal is `application/problem+json` and says what was wrong, what was expected and what to do.
"""

_bearer = HTTPBearer(auto_error=False, description="A token of the server's list, with the role `read` or `tell`.")
Name = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(~[1-9][0-9]{0,5})?$",
        description="Of the campaign, or `NAME~2` of a generation of it.",
        examples=["acceptors"],
    ),
]
_WHY = {
    401: "No token, or one that is not known.",
    403: "The token is for reading only.",
    404: "There is no such campaign.",
    408: "The body came too slowly.",
    409: "What is asked contradicts what the ledger holds, or the campaign asks no laboratory.",
    413: "The body is too large.",
    422: "The request is not what this schema asks for.",
    503: "The ledger does not answer for now; `Retry-After` says when to try again.",
}


def _responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    schema = {"$ref": "#/components/schemas/ProblemBody"}
    return {status: {"description": _WHY[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses}


_LOOKS = _responses(401, 404, 422, 503)
_ASKS = _responses(401, 404, 409, 422, 503)


def rest_application(workspace: Workspace, tokens: Tokens, largest: int = LARGEST) -> Application:
    """Return the application of a workspace.

    Args:
        workspace: whose campaigns it shows; `DISCOVER_LEDGER` may name its ledger.
        tokens: that are let in.
        largest: bytes of a request's body.
    """
    return guarding(cast(Application, described_application(workspace)), tokens, largest)


def described_application(workspace: Workspace) -> FastAPI:
    """Return the application without its guard, for its schema and for tests of it."""
    app = FastAPI(
        title="discovery-flows",
        version=version(),
        description=_ABOUT,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    for kind in (
        *(Problem, RequestValidationError, HTTPException, LedgerError, IntegrityError),
        *(BadInput, SourceError, ConfigError),
    ):
        app.add_exception_handler(kind, answer_problem)
    app.add_exception_handler(Exception, answer_defect)
    _add_views(app, workspace)
    _add_answers(app, workspace)
    made = app.openapi

    def openapi() -> dict[str, Any]:
        schema = made()
        schemas = schema["components"]["schemas"]
        problem = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs", {})
        schemas["ProblemBody"] = problem
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation extends a schema
    return app


def _add_views(app: FastAPI, workspace: Workspace) -> None:
    looks: dict[str, Any] = {"dependencies": [Depends(_bearer)], "tags": ["look"]}

    @app.get("/health", tags=["server"], summary="Whether the server is there")
    def health() -> bodies.Health:
        return bodies.Health(status="ok", version=version())

    @app.get(f"{PREFIX}/campaigns", responses=_responses(401, 503), summary="Every campaign", **looks)
    def campaigns() -> bodies.Campaigns:
        return views.campaigns(workspace)

    @app.get(f"{PREFIX}/campaigns/{{name}}", responses=_LOOKS, summary="One campaign", **looks)
    def campaign(name: Name) -> bodies.CampaignBody:
        return views.campaign(workspace, name)

    @app.get(f"{PREFIX}/campaigns/{{name}}/rounds", responses=_LOOKS, summary="What each round found", **looks)
    def rounds(name: Name) -> bodies.Rounds:
        return views.rounds(workspace, name)

    @app.get(f"{PREFIX}/campaigns/{{name}}/candidates", responses=_LOOKS, summary="Candidates, best first", **looks)
    def candidates(
        name: Name,
        offset: Annotated[int, Query(ge=0, le=_LARGEST_NUMBER, description="Candidates that are passed over.")] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST, description="Most candidates of the page.")] = 100,
        round: Annotated[int | None, Query(ge=0, le=_LARGEST_NUMBER, description="Only those of this round.")] = None,
        state: Annotated[bodies.State | None, Query(description="Only those in this state.")] = None,
    ) -> bodies.Candidates:
        return views.candidates(workspace, name, offset=offset, limit=limit, round=round, state=state)


def _add_answers(app: FastAPI, workspace: Workspace) -> None:
    asks: dict[str, Any] = {"dependencies": [Depends(_bearer)], "tags": ["ask and tell"]}

    @app.get(f"{PREFIX}/campaigns/{{name}}/batch", responses=_ASKS, summary="What is to be measured (ask)", **asks)
    def batch(name: Name) -> bodies.Batch:
        return views.batch(workspace, name)

    @app.get(f"{PREFIX}/campaigns/{{name}}/pending", responses=_ASKS, summary="How far the answers are", **asks)
    def pending(name: Name) -> bodies.Pending:
        return views.pending(workspace, name)

    @app.post(
        f"{PREFIX}/campaigns/{{name}}/answers",
        responses=_responses(401, 403, 404, 408, 409, 413, 422, 503),
        summary="What was measured (tell)",
        **asks,
    )
    def answers(name: Name, body: bodies.AnswersBody, request: Request) -> bodies.ReceiptBody:
        """Take answers, all or none. Safe to send again: what is known already is counted as `same`."""
        holder: Holder = request.state.holder
        if holder.role is not Role.TELL:
            raise Problem(
                403,
                "may-not-tell",
                f"The token of {holder.name} is for reading; expected one with the role `tell`. Nothing was taken. "
                "Whoever keeps the server gives such tokens.",
            )
        return take_answers(workspace, name, body, holder)
