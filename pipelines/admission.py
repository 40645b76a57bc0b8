"""Who is let in to a server of ours: whoever has the workspace's token and asks for it by a name of this machine.

A browser comes with the link that `discover ui` prints: its fragment, which leaves the browser in no request, is
posted once and answered with a cookie. Programs, and people elsewhere, give any user and the token as password.

Guesses are not counted: a token has 192 random bits, and whoever could lock others out by wrong guesses would.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

LOGIN = "/discover/login"
LONGEST = 1000
"""Bytes of a login that are read."""
HASTE = 10.0
"""Seconds within which whoever is not yet known must have said who it is."""
STRANGERS_MESSAGES = 2
"""Of a websocket of Prefect's before it is known who asks: its opening, and one with the token."""
HEALTH = "/api/health"
"""Asked by Prefect's clients before they log in, and answered with `true`."""

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


def _page(kept: bytes, opened: bytes) -> bytes:
    """Return the page that logs in, with what it keeps in the browser and what it opens, always on this very server."""
    return _HEAD + (
        b'fetch(location.pathname, {method: "POST", body: secret}).then(answer => {\n'
        b"  if (answer.ok) { " + kept + b" location.replace(" + opened + b"); }\n"
        b'  else told.textContent = "This link is not of this server; copy the one that `discover ui` prints now.";\n'
        b"});\n</script>\n"
    )


# Prefect's pages take the password from the browser's store.
PREFECT_PAGE = _page(
    b'localStorage.setItem("prefect-password", btoa(secret));', b'to === "deployments" ? "/deployments" : "/runs"'
)
# MLflow opens a panel for a chat, which this server has not, over a third of the first page.
MLFLOW_PAGE = _page(b'localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");', b'"/#" + to')


def admitting(application: Application, token: str, *, sockets: bool = False) -> Application:
    """Return an application that serves nothing but its login and its health to whom does not know the token (401).

    The cookie holds a secret of this very process, not the token: browsers send it to all ports of a host, and to
    whatever takes the port when this server has ended.

    Args:
        application: what is served.
        token: of the workspace.
        sockets: it has websockets, and asks for the token in each one's first message itself.
    """
    session = secrets.token_urlsafe(24)

    async def admit(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and not sockets:
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "websocket":
            await application(scope, _hasty(receive), send)
        elif scope["type"] != "http" or (sockets and scope["path"] == HEALTH and scope["method"] == "GET"):
            await application(scope, receive, send)
        elif scope["path"] == LOGIN:
            if not _same(_password(await _login(receive)), token):
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


def naming(application: Application, names: Collection[str]) -> Application:
    """Return an application that answers only whoever asks for it by one of its names, at any port (403).

    Another name is that of a page that has it lead to this machine, to reach it through somebody's browser. A tunnel
    may begin at another port than ours. Pages of other sites, and of other ports, neither write nor open websockets:
    a browser that knows the token gives it along with what they ask, too.
    """
    known = frozenset(name.encode() for name in names)

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await application(scope, receive, send)
            return
        refused = b""
        if _host(scope) not in known:
            refused = b"This server is asked for by another name than its own; open the link that `discover ui` prints."
        elif (scope["type"] == "websocket" or scope["method"] not in HARMLESS) and _from_elsewhere(scope):
            refused = b"A page of another site asked for this; only this server's own pages, and programs, may write."
        if not refused:
            await application(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await answer(send, 403, refused + b"\n")

    return named


HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, and whose answers browsers do not let other sites read."""


def _from_elsewhere(scope: Scope) -> bool:
    """Return whether a browser says that a page of another address than the one asked for is behind a request.

    Programs say nothing of it. `Sec-Fetch-Site` counts even beside an origin of ours, which a proxy may have put there.
    """
    given = {name: [value for key, value in scope["headers"] if key == name] for name in _TOLD_BY_BROWSERS}
    host = given[b"host"][0].lower()
    own = {b"http://" + host.removesuffix(b":80"), b"https://" + host.removesuffix(b":443")}
    return any(value not in (b"same-origin", b"none") for value in given[b"sec-fetch-site"]) or any(
        value.lower() not in own for value in given[b"origin"]
    )


_TOLD_BY_BROWSERS = (b"host", b"origin", b"sec-fetch-site")


def _host(scope: Scope) -> bytes | None:
    """Return the host that a request names, without its port; None where it names none, or several."""
    given = [value for name, value in scope["headers"] if name == b"host"]
    if len(given) != 1:
        return None
    host = given[0].lower()
    if host.startswith(b"["):
        return bytes(host[1:].partition(b"]")[0])
    return bytes(host.partition(b":")[0].rstrip(b"."))


def _hasty(receive: Receive) -> Receive:
    """Return what receives the messages of a websocket, and gives it up where the first ones take long."""
    left = STRANGERS_MESSAGES

    async def received() -> MutableMapping[str, Any]:
        nonlocal left
        if not left:
            return await receive()
        left -= 1
        try:
            return await asyncio.wait_for(receive(), HASTE)
        except TimeoutError:
            return {"type": "websocket.disconnect", "code": 1008}

    return received


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


async def _login(receive: Receive) -> bytes:
    """Return the body of a login; nothing where it does not come."""
    try:
        return await asyncio.wait_for(_body(receive), HASTE)
    except TimeoutError:
        return b""


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more and len(body) <= LONGEST:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body
