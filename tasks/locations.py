"""Where MLflow's files are, in a workspace that was copied, moved or shipped.

MLflow stores absolute addresses of artifacts in its database. Ours are all in the workspace's folder `artifacts`, so
whatever the database says before that folder's part of an address is replaced by where the folder is now.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.private_files import private_file

COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
    ("trace_tags", "value"),
)
"""Table and column in which MLflow keeps addresses of files."""

RECORD = "workspace.json"


def local_path(address: str) -> Path | None:
    """Return the path of a `file:` URL or of a plain absolute path; None for every other address."""
    if address.startswith("/"):
        return Path(address)
    parts = urlsplit(address)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    return Path(unquote(parts.path))


def follow_the_move(home: Path) -> str | None:
    """Have the workspace's own MLflow database name files in `home`; return where it was before, or None if here.

    Cheap while nothing was moved: one small file is read. All addresses change in one transaction, and a workspace
    whose note is lost is looked through again.
    """
    home = home.resolve()
    record = home / RECORD
    try:
        before = str(json.loads(record.read_text())["home"])
    except (OSError, ValueError, KeyError, TypeError):
        before = ""
    if before == str(home):
        return None
    database = home / "mlflow.db"
    if database.is_file() and database.stat().st_size:
        _rewrite(database, home / "artifacts", Path(before) if before else None)
    for name in ("token", "servers.json"):  # a copy shares neither secret nor servers with its original
        (home / "services" / name).unlink(missing_ok=True)
    with private_file(record) as partial:
        partial.write_text(json.dumps({"home": str(home)}))
    return before or None


def _rewrite(database: Path, artifacts: Path, before: Path | None) -> None:
    with closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        connection.execute("BEGIN IMMEDIATE")
        for table, column in COLUMNS:
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")} if table in tables else ()
            if column not in columns:
                continue
            for (address,) in connection.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall():
                moved = _moved(str(address or ""), artifacts, before)
                if moved is not None:
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (moved, address))
        connection.execute("COMMIT")


def _moved(address: str, artifacts: Path, before: Path | None) -> str | None:
    """Return the address inside `artifacts` that one of another place stands for, or None if it may stay."""
    path = local_path(address)
    if path is None or path.is_relative_to(artifacts):
        return None
    if before is not None and path.is_relative_to(before / "artifacts"):
        inside = path.relative_to(before / "artifacts")
    elif "artifacts" in path.parts[:-1] and not address.startswith("/"):
        # The first folder of that name whose rest exists here: the note of the former place is lost.
        rests = [Path(*path.parts[i + 1 :]) for i, part in enumerate(path.parts[:-1]) if part == "artifacts"]
        inside = next((rest for rest in rests if (artifacts / rest).exists()), rests[0])
    else:
        inside = Path("elsewhere", path.name)  # the default experiment of the folder in which MLflow was first used
    target = artifacts / inside
    return target.as_uri() if address.startswith("file:") else str(target)
