"""`discover tune`: progress while it searches, the table of members and of options, and the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.config import ConfigError
from data.wording import figure
from data.yaml_text import YamlError, parse_yaml
from pipelines.pages import mlflow_server
from pipelines.running import served, terminating
from pipelines.sampling import SamplerDisplay
from pipelines.services import wait_for_prefect
from pipelines.terminal import Terminal
from tasks.workspace import Workspace, writing

if TYPE_CHECKING:
    from tasks.tuning.outcome import Tuned
    from tasks.tuning.reference import TuningRef

MARK = ", tuned by "
"""In the first line of every file that is written here."""
COURSE = 6
"""Scores of a member that are told, the first and the last among them."""


def tune_in_terminal(
    path: Path,
    overrides: tuple[str, ...],
    what: str,
    method: str | None,
    over: tuple[str, ...],
    out: Path | None,
    *,
    plain: bool,
    console: Terminal,
    **budget: Any,
) -> int:
    """Tune what a file says, print what came out, and write the file; returns the exit code."""
    out = out or path.with_name(f"{path.stem}.tuned.yaml")
    if not (out.parent.is_dir() and os.access(out.parent, os.W_OK) and not out.is_dir()):
        raise ConfigError(f"--out {out} cannot be written. Name a file in a folder that exists and can be written.")
    if out.exists() and out.samefile(path):
        raise ConfigError(f"--out {out} is the file that is tuned, whose comments would be lost. Name another file.")
    if out.exists() and MARK not in out.read_text(encoding="utf-8", errors="replace")[:500]:
        raise ConfigError(f"{out} is there already, and `discover tune` did not write it. Name another file by --out.")
    ranges = None if not over else dict(_pair(one) for one in over)
    workspace = Workspace.open()
    with terminating(), served(workspace, plain=plain, console=console):
        from pipelines.tuning import checked_tuning, run_tuning, tune

        ref = checked_tuning(path, overrides, workspace, what=what, method=_method(method), over=ranges, **budget)
        with SamplerDisplay(console, 1, evaluated=False):
            if plain:
                tuned = run_tuning(ref)
            else:
                wait_for_prefect()
                tuned = tune(ref)
    show_tuned(ref, tuned, workspace, console)
    with writing(out):
        out.write_text(tuned.text, encoding="utf-8")
    console.say(f"{'Tuned file':<12}{out}")
    if out.absolute().parent != Path(ref.base):
        console.say("Relative paths in it start at its own folder: copy the files that it names there too.")
    return 0


def _pair(text: str) -> tuple[str, Any]:
    key, sign, values = text.partition("=")
    try:
        parsed = parse_yaml(values) if sign else None
    except YamlError as error:
        raise ConfigError(f"--over {text}: {error}. Write for example --over 'epsilon=[0, 0.2]'.") from error
    if not key or not isinstance(parsed, list):
        raise ConfigError(f"--over {text} is not of the form KEY=[LOW, HIGH], for example 'epsilon=[0, 0.2]'.")
    return key, parsed


def _method(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        parsed = parse_yaml(text)
    except YamlError as error:
        raise ConfigError(f"--method {text}: {error}. Give a name, or {{kind: population, rounds: 20}}.") from error
    return parsed if isinstance(parsed, dict) else {"kind": str(parsed)}


def show_tuned(ref: TuningRef, tuned: Tuned, workspace: Workspace, console: Terminal) -> None:
    """Print the members with their scores over time, the options beside those of the file, and the verdict."""
    from tasks.tuning.outcome import UNITS, told_score

    found, unit = tuned.found, UNITS[ref.what]
    members: dict[int, list[dict[str, Any]]] = {}
    for row in found["rows"]:
        members.setdefault(row["member"], []).append(row)
    lines = []
    for number, rows in sorted(members.items()):
        course = " ".join(told_score(found, row["score"]) for row in _some(rows))
        taken = sum(row["source"] is not None and row["source"] != number for row in rows)
        lines.append([str(number), str(rows[-1]["units"]), course, str(taken)])
    console.records(["member", unit, f"{found['measure']} over time", "copied"], lines, long=(), numbers=(0, 1, 3))
    failures: dict[str, list[str]] = {}
    for number, rows in sorted(members.items()):
        for failure in dict.fromkeys(row["failure"] for row in rows if row.get("failure") is not None):
            failures.setdefault(failure, []).append(str(number))
    for failure, numbers in failures.items():
        console.say(f"Member{'s' if len(numbers) > 1 else ''} {', '.join(numbers)} failed: {failure}", whole=False)
    for what, trained in (("tuned options", tuned.proof), ("file's own options", tuned.as_it_is)):
        if trained.get("failure") is not None:
            console.say(f"The training with the {what} failed: {trained['failure']}", whole=False)
    chosen = [[key, _value(found["before"][key]), _value(value)] for key, value in found["settings"].items()]
    console.records(["option", "in the file", "tuned"], chosen, long=(), numbers=(1, 2))
    costs = [
        ["the search", told_score(found, found["score"]), str(found["units"]), figure(found["cpu_seconds"], 3)],
        ["a training with the tuned options", *_cells(found, tuned.proof)],
        ["a training with the file's own", *_cells(found, tuned.as_it_is)],
    ]
    console.records(["", found["measure"], unit, "CPU seconds"], costs, long=(), numbers=(1, 2, 3))
    console.say((tuned.verdict, "bold"))
    server = mlflow_server(workspace)
    page = f"`discover ui`, then {tuned.page}" if server is None else server + (tuned.page or "")
    console.say(f"{'MLflow':<12}{page if tuned.page else 'could not be reached; the same command tries again'}")
    console.say(f"{'Files':<12}{tuned.folder}")


def _some(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(rows) <= COURSE:
        return rows
    places = [round(place * (len(rows) - 1) / (COURSE - 1)) for place in range(COURSE)]
    return [rows[place] for place in places]


def _value(value: Any) -> str:
    return figure(float(value), 3) if isinstance(value, float) else str(value)


def _cells(found: dict[str, Any], trained: dict[str, Any]) -> list[str]:
    from tasks.tuning.outcome import told_score

    return [told_score(found, trained["score"]), str(trained["units"]), figure(trained["cpu_seconds"], 3)]
