"""What of MLflow our server does not serve: what runs programs or calls others, and files outside the artifacts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import ClassVar, cast

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.server.fastapi_app import app
from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.uri import resolve_uri_if_local

from pipelines.admission import Application, Receive, Scope, Send, answer
from tasks.locations import local_path

DENIED = {
    "assistant": "runs shell commands and writes files",
    "demo": "fills the database with examples of language models",
    "gateway": "sends requests and keys to addresses that its caller names",
    "gateway-proxy": "sends requests to addresses that its caller names",
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
"""First parts of paths below the API's prefixes, and why nothing there is served."""

_API = re.compile(r"/+(?:ajax-)?api/+\d+\.\d+/*(?:mlflow/+)?(?P<rest>.*)", re.DOTALL)
_KEPT = ("runs", "models")
"""Schemes of artifacts that are resolved to another address, which is judged in its turn."""


def denied(path: str) -> str | None:
    """Return why a path of MLflow's is not served, or None if it is."""
    if path.startswith("/gateway/"):
        return DENIED["gateway"]
    found = _API.fullmatch(path)
    rest = f"{found['rest']}/" if found else ""
    return next((why for part, why in DENIED.items() if rest.startswith(f"{part}/")), None)


def guarded_mlflow(artifacts: Path) -> Application:
    """Return MLflow's application without what is denied; it reads and writes artifacts in one folder only.

    Everything in this process is changed to that: it is to be the server's own.
    """
    _keep_artifacts_in(artifacts.resolve())
    application = cast(Application, app)

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        why = denied(scope["path"]) if scope["type"] == "http" else None
        if why is None:
            await application(scope, receive, send)
        else:
            await answer(send, 404, f"Not served by discovery-flows: this part of MLflow {why}.\n".encode())

    return guard


class _InnerArtifacts(LocalArtifactRepository):  # type: ignore[misc]
    """Artifacts below one folder, links resolved; MLflow itself asks only that they stay below the run's own."""

    root: ClassVar[Path]

    def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._refuse_outside(None)

    def _refuse_outside(self, path: str | None) -> None:
        if not Path(self._artifact_dir, path or "").resolve().is_relative_to(self.root):
            raise _refusal(self.artifact_uri, self.root)

    def get_local_path(self, artifact_path: str) -> str:
        self._refuse_outside(artifact_path)
        return str(super().get_local_path(artifact_path))

    def list_artifacts(self, path: str | None = None) -> list[object]:
        self._refuse_outside(path)
        return list(super().list_artifacts(path))

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        self._refuse_outside(artifact_path)
        super().delete_artifacts(artifact_path)

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        self._refuse_outside(remote_file_path)
        super()._download_file(remote_file_path, local_path)

    def _get_or_create_artifact_dir(self, artifact_path: str | None = None) -> str:
        self._refuse_outside(artifact_path)
        return str(super()._get_or_create_artifact_dir(artifact_path))

    def download_trace_data(self) -> dict[str, object]:
        self._refuse_outside("traces.json")
        return dict(super().download_trace_data())


def _keep_artifacts_in(root: Path) -> None:
    _InnerArtifacts.root = root
    repositories = get_registered_artifact_repositories()
    for scheme in set(repositories) - set(_KEPT):
        del repositories[scheme]
    repositories.update({"": _InnerArtifacts, "file": _InnerArtifacts})
    made = SqlAlchemyStore.create_experiment

    def create_experiment(
        store: SqlAlchemyStore, name: str, artifact_location: str | None = None, tags: list[object] | None = None
    ) -> str:
        if artifact_location:
            path = local_path(resolve_uri_if_local(artifact_location))
            if path is None or not path.resolve().is_relative_to(root):
                raise _refusal(artifact_location, root)
        return str(made(store, name, artifact_location, tags))

    SqlAlchemyStore.create_experiment = create_experiment


def _refusal(address: str, root: Path) -> MlflowException:
    return MlflowException(
        f"The artifacts at {os.fspath(address)} are not in {root}, where this server keeps all of them. Leave the "
        "location out, or name a folder in there.",
        error_code=PERMISSION_DENIED,
    )
