"""The file of a team's services: what is served where, and over which databases. It holds no secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import sqlalchemy as sa
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from data.config import ConfigError
from data.masking import is_secret
from pipelines.private_settings import secrets_of

DATABASE_PASSWORD = "DISCOVER_DATABASE_PASSWORD"
ADMIN_PASSWORD = "DISCOVER_MLFLOW_ADMIN_PASSWORD"
AUTH_STRING = "DISCOVER_PREFECT_AUTH_STRING"
SHORTEST_PASSWORD = 12
"""Characters of a password: MLflow wants as many."""
DRIVERS = {
    "ledger": {"postgresql": "postgresql+psycopg", "sqlite": "sqlite"},
    "mlflow": {"postgresql": "postgresql+psycopg", "sqlite": "sqlite"},
    "prefect": {"postgresql": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"},
}
"""Service -> kind of database -> the driver that it opens it with."""
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]


def _database(url: str) -> str:
    """Return the address of a database.

    Raises:
        ValueError: it is none that is known, or holds a password.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ValueError("expected postgresql://USER@HOST/DATABASE, or sqlite:////ABSOLUTE/FILE to try it") from None
    if parsed.password is not None or is_secret("", url):
        raise ValueError(
            f"it holds a password, and this file is no place for one; put it into {DATABASE_PASSWORD} of the "
            "environment or of the file of `secrets`, and choose another one, since this one may have been read"
        )
    if parsed.get_backend_name() not in ("postgresql", "sqlite"):
        raise ValueError(f"it begins with {parsed.drivername!r}; expected postgresql:// or sqlite:///")
    if not parsed.database or (parsed.get_backend_name() == "sqlite" and not os.path.isabs(parsed.database)):
        raise ValueError("it names no database; expected postgresql://USER@HOST/DATABASE or sqlite:////ABSOLUTE/FILE")
    return url


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Page(_Part):
    """A server that browsers open.

    Attributes:
        port: at which it listens.
        names: hosts as which browsers ask for it besides, such as that of a proxy with TLS before it.
    """

    port: Port
    names: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}$")], ...] = ()


class MlflowPart(_Page):
    """MLflow, with users of its own.

    Attributes:
        database: of runs and models.
        users: database of MLflow's users, another one.
        artifacts: folder, or address of a store such as s3://BUCKET/FOLDER.
        endpoint: of a store that is not Amazon's.
        admin: name of the user who makes others.
        permission: of users for what others made.
    """

    port: Port = 5000
    database: str
    users: str
    artifacts: str
    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")] | None = None
    admin: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "admin"
    permission: Literal["READ", "USE", "EDIT", "MANAGE", "NO_PERMISSIONS"] = "READ"

    _known = field_validator("database", "users")(_database)

    @field_validator("artifacts")
    @classmethod
    def _store(cls, value: str) -> str:
        if not (value.startswith("s3://") and len(value) > len("s3://") and "@" not in value) and not os.path.isabs(
            value
        ):
            raise ValueError("expected an absolute folder, or s3://BUCKET/FOLDER, without keys")
        return value


class PrefectPart(_Page):
    """Prefect.

    Attributes:
        database: of flow runs.
    """

    port: Port = 4200
    database: str

    _known = field_validator("database")(_database)


class RestPart(_Part):
    """The REST interface.

    Attributes:
        port: at which it listens.
        tokens: file of mode 600 with lines NAME ROLE TOKEN; None: they are in the environment.
    """

    port: Port = 8000
    tokens: Path | None = None


class TeamConfig(_Part):
    """A team's services.

    Attributes:
        folder: of their logs and locks; workspace of the REST interface.
        host: address of this machine at which they listen beside 127.0.0.1; None: at none.
        secrets: file of mode 600 with lines NAME=VALUE; None: they are in the environment.
        ledger: database of the campaigns of all.
        mlflow: None: it is not served.
        prefect: None: it is not served.
        rest: None: it is not served.
    """

    folder: Path
    host: str | None = None
    secrets: Path | None = None
    ledger: str
    mlflow: MlflowPart | None = None
    prefect: PrefectPart | None = None
    rest: RestPart | None = None

    _known = field_validator("ledger")(_database)

    @model_validator(mode="after")
    def _apart(self) -> TeamConfig:
        if not self.folder.is_absolute():
            raise ValueError(f"folder is {str(self.folder)!r}; expected an absolute one")
        if not self.parts:
            raise ValueError("no server is named; expected mlflow, prefect or rest")
        ports = [part.port for part in self.parts.values()]
        if len(set(ports)) < len(ports):
            raise ValueError(f"the ports are {', '.join(map(str, ports))}; expected one for each server")
        # Each of them keeps its revision in a table of one name, so that two in one database would destroy it.
        named = {"ledger": self.ledger}
        named |= {"mlflow.database": self.mlflow.database, "mlflow.users": self.mlflow.users} if self.mlflow else {}
        named |= {"prefect.database": self.prefect.database} if self.prefect else {}
        seen: dict[str, str] = {}
        for key, url in named.items():
            if url in seen:
                raise ValueError(f"{seen[url]} and {key} are one database, {url}; expected one for each")
            seen[url] = key
        return self

    @property
    def parts(self) -> dict[str, MlflowPart | PrefectPart | RestPart]:
        """The servers by name, in the order in which they are ended."""
        found = {"rest": self.rest, "mlflow": self.mlflow, "prefect": self.prefect}
        return {name: part for name, part in found.items() if part is not None}


def team_config(path: Path) -> TeamConfig:
    """Return the configuration of a file.

    Raises:
        ConfigError: it cannot be read, or cannot be used.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"The configuration {path} cannot be read ({error.strerror}). `discover serve --example` prints one."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}. Mend it.") from error
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{path} holds no keys; expected `folder`, `ledger` and servers as in `--example`.")
    try:
        return TeamConfig.model_validate(raw)
    except ValidationError as error:
        told = [_sentence(one) for one in error.errors(include_url=False)]
        raise ConfigError(f"{path} cannot be used. {' '.join(told)} `discover serve --example` prints one.") from None


def _sentence(one: Mapping[str, Any]) -> str:
    where = ".".join(map(str, one["loc"]))
    if one["type"] == "missing":
        return f"{where} is missing."
    if one["type"] == "extra_forbidden":
        return f"There is no key {where!r}."
    told = str(one["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if one["type"] == "value_error":
        return f"{where}: {told}." if where else f"{told[:1].upper()}{told[1:]}."
    return f"{where} is {one['input']!r}; expected {told}."


class Secrets:
    """The secrets of a team's services, by name."""

    def __init__(self, config: TeamConfig, environment: Mapping[str, str]) -> None:
        self._found = secrets_of(config.secrets, environment)
        self._from = f"the environment{f' or {config.secrets}' if config.secrets else ''}"

    def known(self, name: str) -> str | None:
        """Return a secret; None where there is none."""
        return self._found.get(name) or None

    def wanted(self, name: str, what: str, shortest: int = SHORTEST_PASSWORD) -> str:
        """Return a secret that must be there.

        Raises:
            ConfigError: it is not, or is too short.
        """
        value = self._found.get(name, "")
        if len(value) < shortest:
            got = f"has {len(value)} characters" if value else "is not there"
            raise ConfigError(
                f"{name}, {what}, {got}; expected at least {shortest} characters in {self._from}. "
                "`openssl rand -hex 24` makes one."
            )
        return value

    def database(self, url: str, service: str) -> str:
        """Return the address of a database for a service, with its driver and the password."""
        parsed = sa.make_url(url)
        kind = parsed.get_backend_name()
        password = self.known(DATABASE_PASSWORD) if kind == "postgresql" else None
        made = parsed.set(drivername=DRIVERS[service][kind])
        made = made if password is None else made.set(password=password)
        return made.render_as_string(hide_password=False)

    def environment(self) -> dict[str, str]:
        """Return all of them."""
        return dict(self._found)

    def auth_string(self) -> str:
        """Return user and password of Prefect.

        Raises:
            ConfigError: it is not there, or is none.
        """
        value = self.wanted(AUTH_STRING, "user and password of Prefect")
        user, colon, password = value.partition(":")
        if not (user and colon) or len(password) < SHORTEST_PASSWORD:
            raise ConfigError(
                f"{AUTH_STRING} is no USER:PASSWORD with at least {SHORTEST_PASSWORD} characters behind the colon. "
                "Mend it; it is not shown here."
            )
        return value
