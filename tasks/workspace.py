"""The workspace: one folder with the ledger, the services' databases, artifacts and checkpoints."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shlex
import sqlite3
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.file_lock import alone
from tasks.locations import follow_the_move
from tasks.private_files import (
    callers_umask,
    others_may_write,
    private_database,
    private_file,
    private_folder,
    tighten,
)

if TYPE_CHECKING:
    from data.ledger.campaigns import Campaign
    from data.ledger.ledger import Ledger

log = logging.getLogger("discover.workspace")

HOME_VARIABLE = "DISCOVER_HOME"
LEDGER_VARIABLE = "DISCOVER_LEDGER"
DEFAULT_HOME = ".discover"

ADDRESS = "?#%"
"""Characters that separate the parts of an address: Prefect and MLflow put the workspace's path into some."""

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Else a server that does not answer would hold a campaign up for minutes at every round.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Environment of everything we start: no telemetry, no pickles; one thread per process, since the matrices are small
(threads cost more than they bring) and sums must not depend on the number of cores."""


class WorkspaceError(RuntimeError):
    """The workspace, or a file that the user wants to have, cannot be written."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where things are kept."""

    home: Path

    @classmethod
    def open(cls, home: Path | str | None = None) -> Workspace:
        """Return the workspace in `home`, `$DISCOVER_HOME` or `.discover`, creating the folder.

        Raises:
            WorkspaceError: the folder cannot be created or written.
        """
        given = Path(home or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME)
        try:
            path = given.expanduser()
        except RuntimeError as error:
            raise WorkspaceError(
                f"The workspace {str(given)!r} names the home of a user that this machine does not have. Set "
                f"{HOME_VARIABLE} to a folder."
            ) from error
        odd = sorted(set(str(path)) & set(ADDRESS))
        if odd:
            raise WorkspaceError(
                f"The workspace {str(path)!r} has {' and '.join(map(repr, odd))} in its path, which the addresses of "
                f"its databases cannot hold. Set {HOME_VARIABLE} to a folder without; the campaign file may stay."
            )
        try:
            path = path.absolute()  # fails in a folder that was deleted
            private_folder(path)
            probe = path / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise WorkspaceError(
                f"The workspace {path} is not writable ({reason}). Set {HOME_VARIABLE} to a folder "
                "that is, or mend its permissions."
            ) from error
        _tell_of_others(path)
        workspace = cls(path)
        workspace._follow_the_move()
        return workspace

    def _follow_the_move(self) -> None:
        try:
            follow_the_move(self.home)
        except (OSError, sqlite3.Error) as error:  # MLflow is a view: without it everything else works
            log.warning(
                "%s still names the files of the folder in which this workspace was before (%s). Mend it or move it "
                "away: it is made anew by `discover run`.",
                self.mlflow_file,
                error,
            )

    @property
    def ledger_file(self) -> Path:
        """The SQLite ledger."""
        return self.home / "ledger.db"

    def ledger(self, *, migrating: bool = True) -> Ledger:
        """Open the ledger: `$DISCOVER_LEDGER` if it is set, else SQLite in the workspace.

        Args:
            migrating: False refuses a ledger of an earlier program instead of migrating it.

        Raises:
            LedgerError: it cannot be opened.
            WorkspaceError: it was lost while the results of campaigns are still there.
        """
        from data.ledger.ledger import Ledger  # not for `discover --help`

        url = os.environ.get(LEDGER_VARIABLE)
        if url:
            return Ledger(url, migrating=migrating)
        self._refuse_lost_ledger()
        with suppress(OSError):  # opening it says what is wrong
            private_database(self.ledger_file)
        with alone(self.services / "ledger.open"):  # two that make its tables at once would trip over each other
            return Ledger.at(self.ledger_file, migrating=migrating)

    def _refuse_lost_ledger(self) -> None:
        """Refuse to begin an empty ledger beside results: what they cost would be bought again."""
        if self.ledger_file.exists() and (self.ledger_file.is_dir() or self.ledger_file.stat().st_size):
            return
        names = sorted(folder.parent.name for folder in self.home.glob("campaigns/*/round-000"))
        if names:
            raise WorkspaceError(
                f"The ledger {self.ledger_file} is {'empty' if self.ledger_file.exists() else 'missing'}, but the "
                f"workspace has results of {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}, whose "
                f"measurements it held. Restore it, have {LEDGER_VARIABLE} name it, or move the folder "
                f"{self.home / 'campaigns'} away to begin anew and pay for everything again."
            )

    @property
    def mlflow_file(self) -> Path:
        """MLflow's database."""
        return self.home / "mlflow.db"

    @property
    def services(self) -> Path:
        """Folder of what our servers and their users agree by: locks, addresses, the token."""
        return self.home / "services"

    def log(self, name: str) -> Path:
        """File of a server's log, made with mode 600."""
        file = self.home / "logs" / f"{name}.log"
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return file

    def token(self) -> str:
        """Return the secret by which our servers and their users know each other, made at its first use (mode 600).

        One that was emptied or damaged is made anew: whoever knew half of it would be let in.
        """
        file = self.services / "token"
        self.services.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _token_in(file):
            with alone(self.services / "token.lock"):
                if not _token_in(file):
                    with private_file(file) as partial:
                        partial.write_text(secrets.token_urlsafe(_TOKEN_BYTES))
        tighten(file)
        return _token_in(file)

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking address: `$MLFLOW_TRACKING_URI` if it is set, else SQLite in the workspace."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.mlflow_file}"

    @property
    def artifacts(self) -> Path:
        """Folder of MLflow's artifacts."""
        return self.home / "artifacts"

    @property
    def prefect_home(self) -> Path:
        """Folder of Prefect's database and settings."""
        return self.home / "prefect"

    @property
    def cache(self) -> Path:
        """Folder of what can be made again from the user's files, such as libraries in standard form."""
        return self.home / "cache"

    def campaign_folder(self, campaign: Campaign) -> Path:
        """Folder of one campaign's stages."""
        return self.home / "campaigns" / campaign.slug


@cache
def _tell_of_others(home: Path) -> None:
    """Say, once in a process, that others may change what is in the workspace."""
    if others_may_write(home):
        log.warning(
            "Other users of this machine may write to the workspace %s (mode %o), so they could change what was "
            "measured. Take that right from them: chmod 700 %s",
            home,
            stat.S_IMODE(home.stat().st_mode),
            shlex.quote(str(home)),
        )


_TOKEN_BYTES = 24
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")  # what so many bytes become


def _token_in(file: Path) -> str:
    """Return the secret that a file holds; nothing if it holds none."""
    text = file.read_text(errors="replace").strip() if file.is_file() else ""
    return text if _TOKEN.fullmatch(text) else ""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Have a block write a file that the user named, with the rights that the user's shell gives new files.

    Raises:
        WorkspaceError: it cannot be written.
    """
    caller = callers_umask()
    ours = os.umask(caller) if caller >= 0 else None
    try:
        yield
    except OSError as error:
        raise WorkspaceError(
            f"{path} cannot be written ({error.strerror or error}). Name a file in a folder that exists and can be "
            "written."
        ) from error
    finally:
        if ours is not None:
            os.umask(ours)


def quiet_environment() -> None:
    """Switch telemetry and pickles off for this process and its children; call before importing Prefect or MLflow."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # torch_geometric scripts two small classes at import; with warnings as errors that would end every command.
    warnings.filterwarnings("ignore", "`torch.jit.script`", DeprecationWarning)
