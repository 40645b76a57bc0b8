"""Who is let in to a server of ours that asks for no password itself: whoever has the workspace's token.

A browser comes with the link that `discover ui` prints: its fragment, which leaves the browser in no request, is
posted once and answered with a cookie. Programs, and people elsewhere, give any user and the token as password.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

LOGIN = "/discover/login"
LONGEST = 1000
"""Bytes of a login that are read."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_HEAD = b"""<!doctype html><meta charset="utf-8"><title>discovery-flows</title><link rel="icon" href="data:,">
<p id="told">Logging in...</p>
<script>
const secret = decodeURIComponent(location.hash.slice(1)), told = document.getElementById("told");
const to = new URLSearchParams(location.search).get("to") ?? "";
history.replaceState(null, "", location.pathname);
if (!secret) told.textContent = "This link has lost its end; copy it whole from the terminal.";
else """
# Prefect's pages take the password from the browser's store; what is opened is always on this very server.
PREFECT_PAGE = _HEAD + (
    b'{ localStorage.setItem("prefect-password", btoa(secret)); '
    b'location.replace(to === "deployments" ? "/deployments" : "/runs"); }\n</script>\n'
)
# MLflow opens a panel for a chat, which this server has not, over a third of the first page.
MLFLOW_PAGE = _HEAD + (
    b'fetch(location.pathname, {method: "POST", body: secret}).then(answer => {\n'
    b'  localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");\n'
    b'  if (answer.ok) location.replace("/#" + to);\n'
    b'  else told.textContent = "This link is not of this server; copy the one that `discover ui` prints now.";\n'
    b"});\n</script>\n"
)


def admitting(application: Application, token: str) -> Application:
    """Return an application that serves nothing but its login to whom does not know the token (401).

    The cookie holds a secret of this very process, not the token: browsers send it to all ports of a host, and to
    whatever takes the port when this server has ended.
    """
    session = secrets.token_urlsafe(24)

    async def admit(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # MLflow has none
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            await application(scope, receive, send)
        elif scope["path"] == LOGIN:
            if not _same(_password(await _body(receive)), token):
                await answer(send, 401, b"The token is another.\n")
                return
            cookie = f"{_cookie_name(scope)}={session}; Path=/; HttpOnly; SameSite=Strict"
            await answer(send, 204, b"", [(b"set-cookie", cookie.encode())])
        elif _known(scope, token, session):
            await application(scope, receive, send)
        else:
            told = b"Open the link that `discover ui` prints, or give the workspace's token as password (any user).\n"
            await answer(send, 401, told, [(b"www-authenticate", b'Basic realm="discovery-flows", charset="UTF-8"')])

    return admit


async def answer(send: Send, status: int, body: bytes, headers: Headers | None = None) -> None:
    """Send an answer that is neither kept nor shown in a frame; plain text if its headers name no type."""
    fixed = [(b"cache-control", b"no-store"), (b"x-frame-options", b"DENY"), (b"referrer-policy", b"no-referrer")]
    given = headers or []
    kind = [] if any(name == b"content-type" for name, _ in given) else [(b"content-type", b"text/plain")]
    length = [(b"content-length", str(len(body)).encode())] if status != 204 else []
    await send({"type": "http.response.start", "status": status, "headers": [*kind, *given, *fixed, *length]})
    await send({"type": "http.response.body", "body": body})


def _known(scope: Scope, token: str, session: str) -> bool:
    """Return whether a request has the token, or the cookie that was given for it."""
    cookie = f"{_cookie_name(scope)}="
    for name, value in scope["headers"]:
        text = value.decode("latin-1")
        if name == b"authorization" and text[:6].lower() == "basic ":
            try:
                given = base64.b64decode(text[6:].strip(), validate=True)
            except (binascii.Error, ValueError):
                continue
            if _same(_password(given), token):
                return True
        elif name == b"cookie":
            pairs = (pair.strip() for pair in text.split(";"))
            if any(pair.startswith(cookie) and _same(pair.removeprefix(cookie).encode(), session) for pair in pairs):
                return True
    return False


def _cookie_name(scope: Scope) -> str:
    return f"discover-{scope['server'][1]}"  # a browser has one store for all ports of a host


def _password(given: bytes) -> bytes:
    """Return the password of `user:password`."""
    return given.partition(b":")[2]


def _same(given: bytes, secret: str) -> bool:
    return hmac.compare_digest(given, secret.encode())


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more and len(body) <= LONGEST:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body
