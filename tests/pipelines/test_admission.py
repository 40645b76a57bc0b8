"""Who is let in to our MLflow server, and which parts of MLflow it serves; no server is started for it."""

import asyncio
import base64

import pytest

from pipelines import admission
from pipelines.admission import LOGIN, admitting, answer, naming
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


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:5000", 200),
        ("LOCALHOST:15000", 200),
        ("workstation.", 200),
        ("[fd00::5]:5000", 200),
        ("fd00::5", 403),
        ("evil.example:5000", 403),
        ("localhost.evil.example", 403),
        ("", 403),
        (None, 403),
    ],
)
def test_only_the_names_of_the_machine_are_answered(host, status):
    async def application(scope, receive, send):
        await answer(send, 200, b"")

    sent = []

    async def send(message):
        sent.append(message)

    headers = [] if host is None else [(b"host", host.encode())]
    server = naming(application, ["127.0.0.1", "localhost", "workstation", "fd00::5"])
    for kind in ("http", "websocket"):
        asyncio.run(server({"type": kind, "method": "GET", "headers": headers}, None, send))
    assert sent[0]["status"] == status
    assert (sent[-1]["type"] == "websocket.close") is (status == 403)


def test_two_hosts_in_one_request_are_refused():
    async def application(scope, receive, send):
        raise AssertionError

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "headers": [(b"host", b"localhost"), (b"host", b"evil.example")]}
    asyncio.run(naming(application, ["localhost"])(scope, None, send))
    assert sent[0]["status"] == 403


OWN = "http://localhost:15000"
SITES = [
    ({}, True),  # programs
    ({"origin": OWN}, True),
    ({"origin": OWN.upper()}, True),
    ({"origin": "https://localhost:15000"}, True),  # a proxy that speaks TLS stands before us
    ({"origin": OWN, "sec-fetch-site": "same-origin"}, True),
    ({"sec-fetch-site": "none"}, True),
    ({"origin": "http://evil.example"}, False),
    ({"origin": "http://localhost"}, False),
    ({"origin": "http://localhost:15001"}, False),
    ({"origin": "http://localhost:15000.evil.example"}, False),
    ({"origin": "null"}, False),  # a file, or a frame that is shut in
    ({"origin": ""}, False),
    ({"sec-fetch-site": "cross-site"}, False),
    ({"sec-fetch-site": "same-site"}, False),  # another port
    ({"origin": OWN, "sec-fetch-site": "cross-site"}, False),  # a proxy wrote our origin over another
]


@pytest.fixture
def ask_from():
    """Ask a server with what a browser tells of the page behind a request; returns whether it was answered, and how."""

    async def application(scope, receive, send):
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await answer(send, 200, b"")

    server = naming(application, ["localhost"])

    def asked(kind, method, told, host="localhost:15000"):
        headers = [(name.encode(), value.encode()) for name, value in {"host": host, **told}.items()]
        sent = []

        async def send(message):
            sent.append(message)

        asyncio.run(server({"type": kind, "method": method, "headers": headers}, None, send))
        return sent

    return asked


@pytest.mark.parametrize(("told", "ours"), SITES)
def test_a_page_of_another_address_may_neither_write_nor_open_a_websocket(ask_from, told, ours):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert ask_from("http", method, told)[0]["status"] == (200 if ours else 403)
    assert ask_from("websocket", None, told)[0]["type"] == ("websocket.accept" if ours else "websocket.close")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_link_on_a_page_of_another_site_opens(ask_from, method):
    assert ask_from("http", method, {"sec-fetch-site": "cross-site"})[0]["status"] == 200


def test_a_refused_write_is_told_why_in_a_sentence(ask_from):
    _, body = ask_from("http", "POST", {"origin": "http://evil.example"})
    assert b"A page of another site" in body["body"]


def test_browsers_leave_out_the_port_that_everybody_knows(ask_from):
    assert ask_from("http", "POST", {"origin": "http://localhost"}, "localhost:80")[0]["status"] == 200
    assert ask_from("http", "POST", {"origin": "https://localhost"}, "localhost:443")[0]["status"] == 200
    assert ask_from("http", "POST", {"origin": "http://localhost"}, "localhost:443")[0]["status"] == 403


def test_whoever_does_not_say_who_it_is_holds_neither_a_login_nor_a_websocket(monkeypatch):
    monkeypatch.setattr(admission, "HASTE", 0.01)
    heard = []

    async def application(scope, receive, send):
        heard.extend([await receive() for _ in range(2)])

    async def silent():
        await asyncio.Event().wait()

    sent = []

    async def send(message):
        sent.append(message)

    server = admitting(application, TOKEN, sockets=True)
    asyncio.run(server({"type": "websocket", "path": "/api/events/in", "headers": []}, silent, send))
    assert [message["type"] for message in heard] == ["websocket.disconnect"] * 2
    asyncio.run(server({"type": "http", "method": "POST", "path": LOGIN, "headers": []}, silent, send))
    assert sent[0]["status"] == 401


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
