"""`discover reproduce`: the list of published systems, and the table of one that was tried."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from data.config import ConfigError, apply_override
from data.masking import masked
from data.records import JsonDict
from data.wording import figure
from data.yaml_text import parse_yaml
from models.registry import build, find, kinds
from models.systems.base import FEWEST_SEEDS, System
from pipelines.pages import mlflow_server
from pipelines.running import served, terminating
from pipelines.sampling import SamplerDisplay
from pipelines.services import wait_for_prefect
from pipelines.terminal import Terminal
from tasks.storage import read_json
from tasks.workspace import Workspace, writing

NOT_TRIED, OUT_OF_DATE = "not tried", "out of date"


def shipped_verdict(kind: str) -> JsonDict | None:
    """Return the verdict on a system that is shipped with the program, or None."""
    file = files("data.resources") / "verdicts" / f"{kind}.json"
    found: JsonDict | None = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    return found


def used_in(file: Path, setting: str) -> bool:
    """Return whether a campaign or sampler file has a setting such as `proxy: {kind: egnn}`, wherever in it."""
    (wanted,) = parse_yaml(setting).values()
    return _has(parse_yaml(file.read_text(encoding="utf-8")), wanted)


def _has(node: Any, wanted: Any) -> bool:
    inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return _agrees(node, wanted) or any(_has(one, wanted) for one in inside)


def _agrees(node: Any, wanted: Any) -> bool:
    if isinstance(node, dict) and isinstance(wanted, dict):
        return all(key in node and _agrees(node[key], value) for key, value in wanted.items())
    return bool(node == wanted)


def last_verdict(system: System[Any], workspace: Workspace) -> tuple[JsonDict | None, str]:
    """Return the last verdict on a system and whose it is: of the workspace, or shipped; None: it was not tried."""
    folder = workspace.home / "systems" / f"{system.kind}-{system.identity[:8]}"
    own = sorted(folder.glob("*/outcome.json"), key=lambda file: file.stat().st_mtime)
    if own:
        return read_json(own[-1]), "here"
    return shipped_verdict(system.kind), "shipped"


def systems() -> dict[str, System[Any]]:
    """Return every published system with its default options, by kind."""
    return {kind: cast(type[System[Any]], cls)() for kind, cls in kinds("system").items()}


def list_systems(workspace: Workspace, console: Terminal, name: str | None = None) -> None:
    """Print published systems with their last verdicts.

    Args:
        workspace: whose verdicts count before the shipped ones.
        console: where.
        name: of the only one that is shown; None: all are.

    Raises:
        ComponentError: there is none of that name.
    """
    if name is not None:
        find("system", name)
    rows = []
    for kind, system in systems().items():
        if name not in (None, kind):
            continue
        found, whose = last_verdict(system, workspace)
        state = NOT_TRIED if found is None else found["verdict"]
        if found is not None and found["identity"] != system.identity:
            state = f"{state}, {OUT_OF_DATE}"
        tried = "" if found is None else f"{whose}, {len(found['seeds'])} seeds, {found['cpu_minutes']:g} CPU-minutes"
        rows.append([kind, system.title, state, tried])
    console.records(["system", "what", "verdict", "tried"], rows, long=(1,))
    console.say("`discover reproduce NAME` tries one here; `discover components system` has their papers and options.")


def _is_verdict(file: Path, kind: str) -> bool:
    """Return whether a file is what an earlier trial of a system wrote: that one may be replaced."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return bool(found["system"]["kind"] == kind) and {"identity", "verdict", "seeds", "checks"} <= found.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def reproduce_in_terminal(
    kind: str, seeds: int, overrides: tuple[str, ...], out: Path | None, *, plain: bool, console: Terminal
) -> int:
    """Try a published system, or go on, and print the verdict; returns the exit code."""
    find("system", kind)
    config: dict[str, Any] = {"kind": kind}
    for override in overrides:
        apply_override(config, override)
    if config["kind"] != kind:
        raise ConfigError(
            f"--set changes options of the system {kind!r}; got kind={config['kind']}. Give `discover reproduce "
            f"{config['kind']}` to try that one."
        )
    # Whatever is wrong is refused before anything is started: a trial takes minutes.
    system: System[Any] = build("system", config)
    if seeds < 1:
        raise ConfigError(f"--seeds is the number of seeds, 1 at least; got {seeds}.")
    if out is not None and not (out.parent.is_dir() and os.access(out.parent, os.W_OK) and not out.is_dir()):
        raise ConfigError(f"--out {out} cannot be written. Name a file in a folder that exists and can be written.")
    if out is not None and out.is_file() and not _is_verdict(out, kind):
        raise ConfigError(f"--out is {out}, which exists and is no verdict on {kind!r}. Name another file.")
    workspace = Workspace.open()
    console.say((f"{system.title}", "bold"))
    console.say(f"Claim     {system.claim}", whole=False)
    console.say(f"Protocol  {system.protocol}", whole=False)
    numbers = tuple(range(seeds))
    with terminating(), served(workspace, plain=plain, console=console):
        from pipelines.reproduce import checked_trial, reproduce, run_trial

        with SamplerDisplay(console, seeds, evaluated=False):
            if plain:
                outcome = run_trial(system.config(), numbers)
            else:
                checked_trial(system.config(), numbers, workspace)
                wait_for_prefect()
                outcome = reproduce(system.config(), numbers)
    console.records(["holds", "what", "found", "wanted"], outcome.lines(), long=(1,))
    more = f" A verdict needs {FEWEST_SEEDS} seeds." if seeds < FEWEST_SEEDS else ""
    console.say(
        (f"{outcome.verdict.capitalize()}.", "bold"),
        f" {seeds} seed{'' if seeds == 1 else 's'}, {figure(outcome.cpu_seconds / 60, 2)} CPU-minutes.{more}",
    )
    server = mlflow_server(workspace)
    page = f"`discover ui`, then {outcome.page}" if server is None else server + (outcome.page or "")
    console.say(f"{'Picture':<12}{outcome.folder / 'tried.png'}")
    console.say(
        f"{'MLflow':<12}{masked(page) if outcome.page else 'could not be reached; the same command tries again'}"
    )
    if out is not None:
        with writing(out):
            out.write_bytes((outcome.folder / "outcome.json").read_bytes())
        console.say(f"{'Verdict':<12}{out}")
    return 0
