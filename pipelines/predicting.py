"""`discover predict`: the objects of a file, with what a campaign's champion predicts of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress, SpinnerColumn, TextColumn

from data.config import ConfigError
from data.wording import counted
from models.parts import space_of
from pipelines.terminal import Terminal
from tasks.predict import AskedFile, Counts, Predictor, asked_file, csv_text, new_file, predicted, predictor_of
from tasks.stages import CampaignContext
from tasks.workspace import Workspace, writing

INTERRUPTED = 130
BAD_INPUT = 2

REASONS = 5
"""Reasons of rows without a prediction that are told, the most frequent first."""


def predict_file(
    workspace: Workspace,
    name: str,
    file: Path,
    column: str | None,
    version: str | None,
    out: Path | None,
    console: Terminal,
) -> int:
    """Predict the rows of a file; returns the exit code: 0 if something was predicted.

    Raises:
        LedgerError: no such campaign.
        ConfigError: `out` exists already, or is no place for a table.
        SourceError: the file cannot be read, or has no column of objects.
        BadInput: there is no champion or no such version, or the file has columns named as those that are added.
        TrackingError: MLflow cannot be used, or has not the files of the version any more.
    """
    if out is not None:
        _require_place(out)
    ledger, counts, errors = workspace.ledger(), Counts(), Terminal(stderr=True)
    with CampaignContext(workspace, ledger, ledger.campaign(name)) as context:
        asked = asked_file(file, column, space_of(context.config))
        predictor = predictor_of(context, version)
    said = errors if out is None else console
    for note in asked.notes:
        said.say(f"{file.name}: {note}")
    try:
        if out is None:
            _print(predictor, asked, counts, console)
        else:
            _write(predictor, asked, counts, out, console)
    except KeyboardInterrupt:
        kept = "" if out is None else f"; {out} was not written"
        errors.say((f"Interrupted after {counted(counts.rows, 'row')}{kept}. The same command begins anew.", "yellow"))
        return INTERRUPTED
    _tell(predictor, counts, out, said)
    return 0 if counts.predicted else BAD_INPUT


def _require_place(out: Path) -> None:
    if out.exists():
        raise ConfigError(f"--out is {out}, which exists. Name another file.")
    if out.suffix.lower() != ".csv":
        raise ConfigError(f"--out is {out}; what is written is CSV. Name a file that ends in .csv.")
    if not (out.parent.is_dir() and os.access(out.parent, os.W_OK)):
        raise ConfigError(f"--out is {out}, which cannot be written. Name a file in a folder that exists.")


def _print(predictor: Predictor, asked: AskedFile, counts: Counts, console: Terminal) -> None:
    for rows in predicted(predictor, asked, counts):
        console.raw(csv_text(rows))
        if console.quiet:  # nobody reads any more
            return


def _write(predictor: Predictor, asked: AskedFile, counts: Counts, out: Path, console: Terminal) -> None:
    with writing(out), _progress(console) as shown, new_file(out) as file:
        for rows in predicted(predictor, asked, counts):
            file.write(csv_text(rows))
            shown(counts.rows)


@contextmanager
def _progress(console: Terminal) -> Iterator[Callable[[int], None]]:
    """Have what shows the rows so far, where somebody looks."""
    if not console.is_terminal:
        yield lambda rows: None
        return
    with Progress(SpinnerColumn(), TextColumn("{task.fields[rows]:,} rows"), console=console, transient=True) as shown:
        bar = shown.add_task("", total=None, rows=0)
        yield lambda rows: shown.update(bar, rows=rows)


def _tell(predictor: Predictor, counts: Counts, out: Path | None, said: Terminal) -> None:
    where = "" if out is None else f", written to {out}"
    said.say(f"{counted(counts.predicted, 'row')} predicted by version {predictor.version}{where}.")
    if counts.outside:
        said.say(f"  {counts.outside} of them outside the campaign's space; `note` says why.")
    if lost := counts.refused.total():
        named = "; ".join(f"{number} {reason}" for reason, number in counts.refused.most_common(REASONS))
        more = len(counts.refused) - REASONS
        named += f"; {counted(more, 'other reason')}" if more > 0 else ""
        said.say(("warning", "bold red"), f"  {counted(lost, 'row')} not predicted; `note` says why: {named}.")
