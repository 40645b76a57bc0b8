"""Who is let in to our MLflow server, and which parts of MLflow it serves; no server is started for it."""

import asyncio
import base64

import pytest

from pipelines.admission import LOGIN, admitting
from pipelines.mlflow_guard import DENIED, denied

TOKEN = "the-token-of-this-workspace-0123"


@pytest.fixture
def ask():
    """Ask a server at port 5000; returns status and headers of its answer, 200 if the application itself answered."""

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    server = admitting(application, TOKEN)

    def asked(path="/", headers=None, body=b"", kind="http", port=5000):
        scope = {"type": kind, "method": "POST", "path": path, "server": ("127.0.0.1", port)}
        scope["headers"] = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        sent = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.append(message)

        asyncio.run(server(scope, receive, send))
        return sent[0].get("status"), dict(sent[0].get("headers", ()))

    return asked


def basic(text):
    return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


@pytest.mark.parametrize("user", ["discover", "ann", ""])
def test_any_user_with_the_token_as_password_is_let_in(ask, user):
    assert ask(headers=basic(f"{user}:{TOKEN}"))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic(TOKEN),
        basic(f"{TOKEN}:discover"),
        basic(f"discover:{TOKEN}x"),
        basic(f"discover:{TOKEN[:-1]}"),
        basic("discover:"),
        {"authorization": "Basic ???"},
        {"authorization": f"Bearer {TOKEN}"},
        {"cookie": f"discover-5000={TOKEN}"},
        {"cookie": "discover-5000="},
        {"cookie": "discover-5000"},
    ],
)
def test_nobody_else_is_let_in_and_a_browser_is_told_to_ask(ask, headers):
    status, answered = ask(headers=headers)
    assert status == 401
    assert answered[b"www-authenticate"].startswith(b"Basic ")


def test_a_login_is_answered_with_a_cookie_that_lets_in_at_this_port_and_holds_no_token(ask):
    status, answered = ask(LOGIN, body=f"discover:{TOKEN}".encode())
    assert status == 204
    cookie, *rules = answered[b"set-cookie"].decode().split("; ")
    assert {"HttpOnly", "SameSite=Strict"} <= set(rules)
    assert TOKEN not in cookie
    assert ask(headers={"cookie": f"other=1; {cookie}"})[0] == 200
    assert ask(headers={"cookie": cookie}, port=5001)[0] == 401


@pytest.mark.parametrize("body", [b"", b"discover:", b"discover:another", TOKEN.encode(), b"x" * 10**6])
def test_a_login_with_another_secret_is_refused_without_a_cookie(ask, body):
    status, answered = ask(LOGIN, body=body)
    assert status == 401
    assert b"set-cookie" not in answered


def test_a_websocket_is_closed(ask):
    assert ask(kind="websocket") == (None, {})


SERVED = {
    "artifacts", "datasets", "experiments", "gateway-proxy", "get-trace-artifact", "get-online-trace-details", "issues",
    "label-schemas", "logged-models", "mcp-servers", "metrics", "model-versions", "registered-models",
    "review-queues", "runs", "server-info", "traces", "unified-traces", "upload-artifact",
}  # fmt: skip
"""Parts of MLflow's API that keep records and files, and neither run programs nor call anybody."""
PAGES = {"/", "/health", "/version", "/graphql", "/get-artifact", "/model-versions/get-artifact"}


def mounted():
    """Every path that MLflow's application answers."""
    from mlflow.server import app as flask
    from mlflow.server.fastapi_app import app

    paths = {rule.rule for rule in flask.url_map.iter_rules()}
    for route in app.routes:
        router = getattr(route, "original_router", None)
        if router is None:
            paths |= {route.path} if getattr(route, "path", "") else set()
        else:
            paths |= {f"{route.include_context.prefix}{inner.path}" for inner in router.routes}
    return paths


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated")
def test_every_part_of_mlflow_is_either_known_to_be_harmless_or_denied_with_a_reason():
    paths = mounted()
    assert {"/ajax-api/3.0/mlflow/assistant/message", "/ajax-api/3.0/jobs/search"} <= paths  # both kinds of routers
    unknown = set()
    for path in paths - PAGES:
        if denied(path) or path.startswith(("/static-files/", "/build/", "/v1/traces", "/v1/metrics")):
            continue
        rest = path.partition("/mlflow/")[2]
        if rest.partition("/")[0] not in SERVED and "/mlflow-artifacts/" not in path and "search-datasets" not in path:
            unknown.add(path)
    assert not unknown


@pytest.mark.parametrize("part", DENIED)
def test_a_denied_part_is_denied_under_each_of_its_addresses(part):
    for prefix in ("/api/2.0/mlflow/", "/ajax-api/3.0/mlflow/", "/ajax-api/3.0/", "//ajax-api//3.0//mlflow//"):
        assert denied(f"{prefix}{part}")
        assert denied(f"{prefix}{part}/x")
        assert not denied(f"{prefix}{part}-of-another-name")
    assert denied("/gateway/mlflow/v1/models")
