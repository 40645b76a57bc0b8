"""Which parts of MLflow our server does not serve: those that run programs or call others."""

from __future__ import annotations

import re

from pipelines.admission import Application, Receive, Scope, Send, answer

DENIED = {
    "assistant": "runs shell commands and writes files",
    "demo": "fills the database with examples of language models",
    "gateway": "sends requests and keys to addresses that its caller names",
    "genai": "starts jobs that run scorers",
    "issues/invoke": "starts jobs that call language models",
    "jobs": "runs functions in processes of its own",
    "prompt-optimization": "starts jobs that call language models",
    "runs/create-promptlab-run": "writes a model that calls a gateway",
    "scorer": "runs scorers",
    "scorers": "keeps code and runs it on new traces",
    "ui-telemetry": "sends what is clicked to others",
    "webhooks": "sends requests to addresses that its caller names",
    "workspaces": "names other folders of artifacts",
}
"""First parts of paths below the API's prefixes, and why nothing there is served.

`gateway-proxy` calls only what a setting names, which our server is not given; the list of runs asks it.
"""

_API = re.compile(r"/+(?:ajax-)?api/+\d+\.\d+/*(?:mlflow/+)?(?P<rest>.*)", re.DOTALL)


def denied(path: str) -> str | None:
    """Return why a path of MLflow's is not served, or None if it is."""
    if path.startswith("/gateway/"):
        return DENIED["gateway"]
    found = _API.fullmatch(path)
    rest = f"{found['rest']}/" if found else ""
    return next((why for part, why in DENIED.items() if rest.startswith(f"{part}/")), None)


def guarding(application: Application) -> Application:
    """Return MLflow's application without what is denied, which is not found (404)."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        why = denied(scope["path"]) if scope["type"] == "http" else None
        if why is None:
            await application(scope, receive, send)
        else:
            await answer(send, 404, f"Not served by discovery-flows: this part of MLflow {why}.\n".encode())

    return guard
