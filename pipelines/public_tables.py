"""`discover data`: which public tables can be had, and obtaining one."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.padding import Padding

from data.obtain import is_intact, obtain, public_table, table_path
from data.public_tables import TABLES
from tasks.workspace import Workspace


def show_tables(workspace: Workspace, console: Console) -> None:
    """Print every public table: what it is, its size, licence and source, and whether it is in the workspace."""
    for name, spec in TABLES.items():
        console.print(name, style="bold", end="")
        console.print(
            f"  {spec.rows:,} rows, {spec.wheel_bytes / 1e6:.1f} MB to download; {_here(name, workspace.home)}"
        )
        for told in (spec.summary, f"source: {spec.requirement} on PyPI", f"licence: {spec.licence}", spec.reference):
            console.print(Padding(told, (0, 0, 0, 2)), markup=False, highlight=False)
    console.print("Obtain one with `discover data NAME`.", highlight=False)


def _here(name: str, home: Path) -> str:
    if not table_path(name, home).is_file():
        return "not in the workspace"
    return "in the workspace" if is_intact(name, home) else "damaged in the workspace: obtain it again"


def obtain_table(workspace: Workspace, name: str, wheel: Path | None, console: Console) -> None:
    """Obtain a public table and print where it is, what its columns are, and how a campaign reads it.

    Raises:
        ObtainError: it cannot be had; the message says why and what to do next.
    """
    spec = public_table(name)

    def say(sentence: str) -> None:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    with console.status(f"Obtaining {name}"):
        path = obtain(name, workspace.home, progress=say, wheel=wheel)
    say(
        f"{spec.rows:,} rows in {path}, checksum verified; where they come from is in {path.with_suffix('.json').name}."
    )
    for column in spec.columns:
        say(f"  {column.name}: {column.meaning}" + (f" ({column.unit})" if column.unit else ""))
    say(f"Licence: {spec.licence}. Reference: {spec.reference}.")
    if any(column.name == "smiles" for column in spec.columns):
        say(f"In a campaign file: data: {{kind: csv, path: {path}, smiles: smiles, value: value}}")
