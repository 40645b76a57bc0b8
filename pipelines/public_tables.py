"""`discover data`: which public tables can be had, and obtaining one."""

from __future__ import annotations

import shutil
from pathlib import Path

from data.config import ConfigError
from data.tables.obtain import is_intact, obtain, public_table, table_path
from data.tables.public_tables import TABLES
from pipelines.terminal import Terminal
from tasks.workspace import Workspace, writing


def show_tables(workspace: Workspace, console: Terminal) -> None:
    """Print every public table: what it is, its size, licence and source, and whether it is in the workspace."""
    for name, spec in TABLES.items():
        size = f"{spec.rows:,} rows, {spec.wheel_bytes / 1e6:.1f} MB to download"
        console.say((name, "bold"), f"  {size}; {_here(name, workspace.home)}")
        for told in (spec.summary, f"source: {spec.requirement} on PyPI", f"licence: {spec.licence}", spec.reference):
            console.say(f"  {told}", whole=False)
    console.say("Obtain one with `discover data NAME`.")


def _here(name: str, home: Path) -> str:
    if not table_path(name, home).is_file():
        return "not in the workspace"
    return "in the workspace" if is_intact(name, home) else "damaged in the workspace: obtain it again"


def _copy(path: Path, target: Path) -> None:
    with writing(target):
        if target.exists() and target.read_bytes() != path.read_bytes():
            raise ConfigError(f"{target} is there already and is not overwritten; name another place by `--out`.")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def obtain_table(workspace: Workspace, name: str, wheel: Path | None, out: Path | None, console: Terminal) -> None:
    """Obtain a public table and print where it is, what its columns are, and how a campaign reads it.

    Raises:
        ObtainError: it cannot be had; the message says why and what to do next.
        ConfigError: something else stands at `out`.
        WorkspaceError: `out` cannot be written.
    """
    spec = public_table(name)
    say = console.say
    with console.status(f"Obtaining {name}"):
        path = obtain(name, workspace.home, progress=say, wheel=wheel)
    say(
        f"{spec.rows:,} rows in {path}, checksum verified; where they come from is in {path.with_suffix('.json').name}."
    )
    if out is not None:
        _copy(path, out.expanduser())
        say(f"Copied to {out}.")
    for column in spec.columns:
        say(f"  {column.name}: {column.meaning}" + (f" ({column.unit})" if column.unit else ""))
    say(f"Licence: {spec.licence}. Reference: {spec.reference}.")
    if any(column.name == "smiles" for column in spec.columns):
        say(f"In a campaign file: data: {{kind: csv, path: {path}, smiles: smiles, value: value}}")
