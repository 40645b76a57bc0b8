"""What each of a team's servers is told, by its environment: arguments are shown to everybody by `ps`."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from data.config import ConfigError
from pipelines.listeners import Place, in_address
from pipelines.rest.access import TOKENS_VARIABLE, Tokens
from pipelines.server_settings import OURS
from pipelines.team.configuration import ADMIN_PASSWORD, MlflowPart, PrefectPart, RestPart, Secrets, TeamConfig
from tasks.private_files import private_file
from tasks.workspace import HOME_VARIABLE, LEDGER_VARIABLE, QUIET, Workspace

FOR_STORES = ("AWS_",)
"""Beginnings of the secrets that an artifact store wants."""
REMEMBERED = 300
"""Seconds for which MLflow remembers that a password was right: checking it takes an eighth of a second of CPU, and a
campaign asks hundreds of times in a round. A password that is changed through MLflow counts at once."""


def environment_of(name: str, config: TeamConfig, found: Secrets, workspace: Workspace, place: Place) -> dict[str, str]:
    """Return the environment of one of the servers; nothing of the caller's Prefect, MLflow or AWS settings in it.

    Args:
        name: mlflow, prefect or rest.
        config: of the team.
        found: its secrets.
        workspace: of the servers.
        place: where they listen.

    Raises:
        ConfigError: a secret is missing.
    """
    dropped = (*OURS, *FOR_STORES)
    base = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    part = config.parts[name]
    names = list(dict.fromkeys((*place.names(), *getattr(part, "names", ()))))
    own = {"DISCOVER_NAMES": ",".join(names), "DISCOVER_PARENT": str(os.getpid())}
    if isinstance(part, MlflowPart):
        specific = _mlflow(part, found, workspace, names)
    elif isinstance(part, PrefectPart):
        specific = _prefect(part, found, workspace, names)
    else:
        specific = _rest(part, config, found, workspace)
    return {**base, **QUIET, **specific, **own}


def _origins(names: Sequence[str], port: int) -> str:
    """Return the pages that may ask: by TLS at the names of a proxy, else at the server's own port."""
    local = [f"http://{in_address(one)}:{port}" for one in names]
    return ",".join([*local, *(f"https://{in_address(one)}" for one in names)])


def _mlflow(part: MlflowPart, found: Secrets, workspace: Workspace, names: Sequence[str]) -> dict[str, str]:
    database, users = found.database(part.database, "mlflow"), found.database(part.users, "mlflow")
    destination = part.artifacts if "://" in part.artifacts else Path(part.artifacts).as_uri()
    store = {key: value for key, value in found.environment().items() if key.startswith(FOR_STORES)}
    store |= {"MLFLOW_S3_ENDPOINT_URL": part.endpoint} if part.endpoint else {}
    return store | {
        "_MLFLOW_SERVER_FILE_STORE": database,
        "_MLFLOW_SERVER_REGISTRY_STORE": database,
        # Clients send artifacts to the server, so that they need neither the folder nor the store's keys.
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": destination,
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_AUTH_CONFIG_PATH": str(_users_file(workspace, part, users)),
        "MLFLOW_AUTH_ADMIN_USERNAME": part.admin,
        "MLFLOW_AUTH_ADMIN_PASSWORD": found.wanted(ADMIN_PASSWORD, f"password of MLflow's user {part.admin!r}"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": _key(workspace),
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(
            form for one in map(in_address, names) for form in (one, f"{one.replace('[', '[[]')}:*")
        ),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": _origins(names, part.port),
    }


def _users_file(workspace: Workspace, part: MlflowPart, users: str) -> Path:
    """Write what MLflow reads from a file only, with mode 600: the address of its users has a password."""
    file = workspace.services / "mlflow-users.ini"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with private_file(file) as partial:
        escaped = users.replace("%", "%%")
        partial.write_text(
            f"[mlflow]\ndefault_permission = {part.permission}\ndatabase_uri = {escaped}\n"
            f"auth_cache_ttl_seconds = {REMEMBERED}\n"
        )
    return file


def _key(workspace: Workspace) -> str:
    """Return the key of MLflow's forms, made at its first use."""
    file = workspace.services / "mlflow-key"
    if not (file.is_file() and file.read_text().strip()):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with private_file(file) as partial:
            partial.write_text(secrets.token_urlsafe(32))
    return file.read_text().strip()


def _prefect(part: PrefectPart, found: Secrets, workspace: Workspace, names: Sequence[str]) -> dict[str, str]:
    auth = found.auth_string()
    return {
        "PREFECT_HOME": str(workspace.prefect_home),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_API_DATABASE_CONNECTION_URL": found.database(part.database, "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{part.port}/api",
        "PREFECT_UI_API_URL": "/api",
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_API_AUTH_STRING": auth,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": _origins(names, part.port),
    }


def _rest(part: RestPart, config: TeamConfig, found: Secrets, workspace: Workspace) -> dict[str, str]:
    Tokens.found(part.tokens, found.environment())  # refused before anything is started
    tokens = {} if part.tokens is not None else {TOKENS_VARIABLE: found.environment()[TOKENS_VARIABLE]}
    return tokens | {
        HOME_VARIABLE: str(workspace.home),
        LEDGER_VARIABLE: found.database(config.ledger, "ledger"),
        "DISCOVER_TEAM": json.dumps({"tokens": None if part.tokens is None else str(part.tokens)}),
    }


def refuse_shared_folder(config: TeamConfig) -> None:
    """Refuse a folder of a person's campaigns: the servers' locks and databases would meet those of its commands.

    Raises:
        ConfigError: it is one.
    """
    if (config.folder / "campaigns").is_dir() or (config.folder / "ledger.db").exists():
        raise ConfigError(
            f"folder is {config.folder}, which is a workspace with campaigns; expected one of the servers' own. Name "
            "another one; campaigns stay in the workspaces of those who run them."
        )
