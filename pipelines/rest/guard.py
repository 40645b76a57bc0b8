"""What is done with a request before it is looked into: who sends it, and whether it is too large."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from pipelines.admission import Application, Receive, Scope, Send
from pipelines.rest.access import Tokens
from pipelines.rest.problems import MEDIA_TYPE, Problem

OPEN = frozenset({"/health", "/openapi.json"})
"""Served to everybody: whether the server is there, and what may be asked."""
LARGEST = 2_000_000
"""Bytes of a request's body."""
PATIENT = 10
"""How many times as much is read, and dropped, before the refusal: who still sends does not read an answer."""
SLOWEST = 30.0
"""Seconds within which a body must have come."""
_SCHEME = "bearer "


def guarding(application: Application, tokens: Tokens, largest: int = LARGEST) -> Application:
    """Return an application that serves only holders of tokens, and reads no more than it must of anybody."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        try:
            if scope["path"] not in OPEN:
                scope.setdefault("state", {})["holder"] = _holder(scope, tokens)
            body = await _body(scope, receive, largest)
            _refuse_twice(body)
        except Problem as problem:
            await _answer(send, problem)
            return
        await application(scope, _replayed(body, receive), send)

    return guard


def _holder(scope: Scope, tokens: Tokens) -> object:
    given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    token = given[0][len(_SCHEME) :].strip() if len(given) == 1 and given[0].lower().startswith(_SCHEME) else ""
    holder = tokens.holder(token) if token else None
    if holder is None:
        got = "a token that it does not know" if token else "none"
        raise Problem(
            401,
            "not-known",
            f"This server wants a token and got {got}. Send the header `Authorization: Bearer TOKEN`; whoever keeps "
            "the server gives tokens.",
            headers={"www-authenticate": 'Bearer realm="discovery-flows"'},
        )
    return holder


async def _body(scope: Scope, receive: Receive, largest: int) -> bytes:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if length.isdigit() and int(length[:20]) > PATIENT * largest:
        raise _too_large(largest)
    try:
        return await asyncio.wait_for(_read(receive, largest), SLOWEST)
    except TimeoutError as error:
        raise Problem(
            408, "too-slow", f"The body did not come within {SLOWEST:.0f} s. Send the request again."
        ) from error


async def _read(receive: Receive, largest: int) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)
        if size <= largest:
            parts.append(message.get("body", b""))
        elif size > PATIENT * largest or not more:
            raise _too_large(largest)
    return b"".join(parts)


def _refuse_twice(body: bytes) -> None:
    """Refuse a JSON object that has a key twice: readers take one of the two values and drop the other unsaid.

    Raises:
        Problem: there is one.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise Problem(
                422,
                "key-twice",
                f"The key {twice[:100]!r} stands twice in one object of the body; expected it once. Nothing was taken. "
                "Repeated measurements are answers of their own, with a `replicate`.",
            )
        return found

    with suppress(ValueError, RecursionError):  # what is no JSON is refused where it is looked into
        json.loads(body, object_pairs_hook=once)


def _too_large(largest: int) -> Problem:
    return Problem(
        413,
        "too-large",
        f"The body is too large; expected at most {largest:,} bytes. Nothing was taken. Send the answers in parts.",
        headers={"connection": "close"},
    )


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read already, and then what comes after it."""
    given = False

    async def replay() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _answer(send: Send, problem: Problem) -> None:
    body = problem.body()
    headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
