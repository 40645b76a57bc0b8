import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

HERE = Path(__file__).resolve().parent


class Arena:
    """A warm process that runs the campaign of this folder, and can kill it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def run(self, home: Path, config: Path = HERE / "campaign.yaml", **command: Any) -> dict[str, Any]:
        home.mkdir(exist_ok=True)
        order = {"home": str(home), "config": str(config), "call_log": str(home / "calls.log"), **command}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    log = tmp_path_factory.mktemp("arena") / "stderr.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "arena.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # One MLflow database for all workspaces: making one takes seconds, and it is no part of what is tested.
            env={**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": f"sqlite:///{log.parent / 'mlflow.db'}"},
        )
        yield Arena(process)
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


@dataclass(frozen=True)
class Undisturbed:
    """A campaign that nothing happened to: its workspace, and the moments at which it could have died."""

    home: Path
    moments: list[str]


@pytest.fixture(scope="session")
def undisturbed(arena: Arena, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    home = tmp_path_factory.mktemp("undisturbed")
    answer = arena.run(home)
    assert answer["state"] == "done"
    return Undisturbed(home, answer["moments"])


def results(home: Path, ledger: str = "") -> dict[str, bytes]:
    """Every result of a campaign that must not depend on what happened on the way: files, and keys of its stages.

    Args:
        home: the workspace.
        ledger: its URL; empty: the workspace's own.
    """
    folder = home / "campaigns" / "chaos"
    wanted = [
        *folder.rglob("dataset.*"),
        *folder.rglob("batch.parquet"),
        *(folder / "report").glob("candidates.[cj]s*"),
    ]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(wanted)} | stages(
        ledger or f"sqlite:///{home / 'ledger.db'}"
    )


def stages(ledger: str) -> dict[str, bytes]:
    """Key and sha256 of every finished stage; what is only looked at (reports) may come out otherwise."""
    engine = sa.create_engine(ledger, poolclass=sa.NullPool)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT round, name, key, sha256 FROM stages").fetchall()
    return {f"{n}/{name}": f"{key} {'' if name == 'report' else sha}".encode() for n, name, key, sha in rows}


def calls(home: Path) -> list[str]:
    """The oracle calls that were completed, in order."""
    return (home / "calls.log").read_text().splitlines()


def copied(config: Path, folder: Path, **changes: str) -> Path:
    """A copy of the campaign file with texts replaced, and all it names beside it."""
    for name in ("library.csv", "logging_oracle.py"):
        shutil.copy(config.parent / name, folder / name)
    text = config.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "campaign.yaml"
    path.write_text(text)
    return path
