"""A PostgreSQL of our own: Debian's server, a cluster in a temporary folder, a unix socket, no network."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.conftest import arena, undisturbed  # noqa: F401  # fixtures of the killed campaigns

INSTALLED = Path("/usr/lib/postgresql")
SETTINGS = "-c listen_addresses= -c fsync=off -c max_connections=40 -c shared_buffers=16MB"
"""No network; the tests end the server, never the machine."""


@dataclass(frozen=True)
class Server:
    """A cluster that can be ended and started again."""

    folder: Path
    programs: Path
    runs_as: str | None
    """The user of the server if we are root, whom it refuses."""

    @property
    def url(self) -> str:
        user = self.runs_as or pwd.getpwuid(os.getuid()).pw_name
        return f"postgresql+psycopg://{user}@/postgres?host={self.folder}"

    def start(self) -> None:
        self.command(
            "pg_ctl", "-D", "data", "-w", "-t", "120", "-l", "log", "-o", f"-k {self.folder} {SETTINGS}", "start"
        )

    def stop(self, mode: str = "fast") -> None:
        self.command("pg_ctl", "-D", "data", "-w", "-m", mode, "stop")

    def command(self, program: str, *arguments: str) -> str:
        words = [str(self.programs / program), *arguments]
        if self.runs_as is not None:
            words = ["runuser", "-u", self.runs_as, "--", *words]
        # Into a file: the server would hold a pipe open for as long as it lives.
        with (self.folder / "told").open("w+") as told:
            done = subprocess.run(words, cwd=self.folder, stdout=told, stderr=subprocess.STDOUT, timeout=150)
            told.seek(0)
            text = told.read()
        assert done.returncode == 0, text
        return text


@pytest.fixture(scope="session")
def cluster() -> Iterator[Server]:
    """The server of all tests; each has a database of its own in it."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed", exc_type=ImportError)
    found = sorted(INSTALLED.glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        pytest.fail("These tests need PostgreSQL: apt-get install postgresql, or `make postgres` as root.")
    runs_as = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # short: the path of a unix socket has 107 bytes
    if runs_as is not None:
        shutil.chown(folder, runs_as)
    server = Server(folder, found[-1], runs_as)
    try:
        server.command("initdb", "-D", "data", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")
        server.start()
        yield server
        server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def url(cluster: Server, request: pytest.FixtureRequest) -> str:
    """URL of an empty database."""
    import sqlalchemy as sa

    name = f"test_{abs(hash(request.node.nodeid)):x}"
    engine = sa.create_engine(cluster.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return cluster.url.replace("/postgres?", f"/{name}?")
