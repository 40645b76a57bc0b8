"""MLflow's artifacts in our server: files of the workspace's folder only, whatever an address or a link names."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.uri import resolve_uri_if_local

from tasks.locations import local_path

_SERVED = "mlflow-artifacts"
_KEPT = ("runs", "models")
"""Schemes of artifacts that are resolved to another address, which is judged in its turn."""


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


def keep_artifacts_in(folder: Path, *, proxied: str = "") -> None:
    """Have MLflow in this process read and write artifacts below one folder only, and name no other (403).

    Args:
        folder: with all artifacts.
        proxied: the folder or store to which the server itself brings what is sent to it; clients then name artifacts
            of the server's (`mlflow-artifacts:`). Empty: clients write to the folder.
    """
    root = folder.resolve()
    _InnerArtifacts.root = root
    repositories = get_registered_artifact_repositories()
    served = {_SERVED, urlsplit(proxied).scheme} if proxied else set()
    for scheme in set(repositories) - set(_KEPT) - served:
        del repositories[scheme]
    repositories.update({"": _InnerArtifacts, "file": _InnerArtifacts})
    made = SqlAlchemyStore.create_experiment

    def create_experiment(
        store: SqlAlchemyStore, name: str, artifact_location: str | None = None, tags: list[object] | None = None
    ) -> str:
        if artifact_location and not (proxied and artifact_location.startswith(f"{_SERVED}:/")):
            path = local_path(resolve_uri_if_local(artifact_location))
            if path is None or not path.resolve().is_relative_to(root):
                raise _refusal(artifact_location, root)
        return str(made(store, name, artifact_location, tags))

    SqlAlchemyStore.create_experiment = create_experiment


def _refusal(address: str, root: Path) -> MlflowException:
    return MlflowException(
        f"The artifacts at {address} are not in {root}, where this server keeps all of them. Leave the "
        "location out, or name a folder in there.",
        error_code=PERMISSION_DENIED,
    )
