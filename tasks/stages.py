"""What every stage shares: the reference it returns, the campaign it belongs to, and the rule that it runs once.

A stage is a function from files to files. Its key is a hash of all that goes in; its results are a folder, renamed into
place when it is complete and recorded in the ledger with their sha256. A stage that the ledger knows is not run again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from data.config import CampaignConfig, derive_seed, digest
from data.goals import Goals
from data.ledger.campaigns import Campaign, CampaignState, LedgerError, StageRow
from data.ledger.ledger import Ledger
from data.records import JsonDict
from tasks.progress import Event, emit
from tasks.workspace import Workspace

log = logging.getLogger("tasks.stages")

CODE_VERSION = 3
"""Raised when a stage's meaning changes, so that results of old code are not taken for new ones."""


class CampaignStopped(Exception):
    """A named limit was reached: the campaign ends in this state and can be continued."""

    def __init__(self, state: CampaignState, message: str) -> None:
        super().__init__(state, message)
        self.state = state
        self.message = message

    def __str__(self) -> str:
        return self.message


class BadInput(ValueError):
    """Something the user gave cannot be used; nothing was spent on it."""


class NotYet(BadInput):
    """What another campaign of the workspace is to give is not there now; that campaign may give it later."""


@dataclass(frozen=True, slots=True)
class CampaignRef:
    """Names a campaign in a workspace; small and JSON-able, so that it can travel between processes."""

    home: str
    id: int

    def open(self) -> CampaignContext:
        """Open the workspace, the ledger and the campaign."""
        workspace = Workspace(Path(self.home))
        ledger = workspace.ledger()
        return CampaignContext(workspace, ledger, ledger.campaign_by_id(self.id))


@dataclass(frozen=True, slots=True)
class StageRef:
    """Names the results of a finished stage: what travels between tasks instead of the results themselves."""

    round: int
    name: str
    uri: str
    """Folder, relative to the workspace."""
    sha256: str
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def path(self, context: CampaignContext, file: str) -> Path:
        """Return a file of the results."""
        return context.workspace.home / self.uri / file


@dataclass(frozen=True)
class CampaignContext:
    """A campaign with its workspace and ledger, as the stages use it."""

    workspace: Workspace
    ledger: Ledger
    campaign: Campaign

    def __enter__(self) -> CampaignContext:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()

    @property
    def config(self) -> CampaignConfig:
        """The campaign's configuration."""
        return self.campaign.config

    @property
    def goals(self) -> Goals:
        """What is wanted of each objective."""
        return self.config.goals

    @property
    def maximise(self) -> bool:
        """Whether larger values of the first objective to be improved are better."""
        return self.goals.main.sign > 0

    def settings(self, *keys: str) -> JsonDict:
        """Return the parts of the configuration that a stage depends on, as far as they differ from the defaults.

        Args:
            keys: of the campaign file; a dot leads into a mapping.
        """
        found: JsonDict = {}
        for key in keys:
            value: Any = self.config.sparse()
            for part in key.split("."):
                value = value.get(part, {}) if isinstance(value, dict) else {}
            found[key] = value
        return found

    @cached_property
    def folder(self) -> Path:
        """Folder of the campaign's stages."""
        return self.workspace.campaign_folder(self.campaign)

    def seed(self, *parts: str | int) -> int:
        """Return the seed of one purpose, a hash of the campaign's seed and the purpose."""
        return derive_seed(self.config.seed, *parts)

    def round_folder(self, round: int) -> Path:
        """Folder of one round's stages."""
        return self.folder / f"round-{round:03d}"

    def finished(self, round: int, name: str) -> StageRef | None:
        """Return a finished stage, or None."""
        row = self.ledger.stage(self.campaign.id, round, name)
        return None if row is None else _ref(row)


def run_stage(
    context: CampaignContext,
    round: int,
    name: str,
    *,
    inputs: Mapping[str, StageRef | str],
    settings: Any,
    compute: Callable[[Path], Mapping[str, float]],
    pinned: bool = True,
    files: Sequence[Path] = (),
) -> StageRef:
    """Run a stage unless the ledger has it.

    Args:
        context: the campaign.
        round: 0 for what comes before the first round.
        name: of the stage, unique within the round.
        inputs: earlier stages, or sha256 of files, by role.
        settings: what the stage depends on beside its inputs, JSON-able; of the configuration what
            `CampaignContext.settings` gives, so that a new key with a default leaves begun campaigns alone.
        compute: writes its results into the folder that it is given and returns metrics. Run again after a crash, it
            must write the same bytes.
        pinned: whether later stages depend on the results. What is only looked at (reports) may come out otherwise when
            it is made again, for example with another version of the plotting library.
        files: of the user's that are among the inputs, to be named where they changed.

    Raises:
        LedgerError: the ledger has this stage with other inputs, or its results were altered.
    """
    known = context.ledger.stage(context.campaign.id, round, name)
    emit(Event(round, name, known=known is not None))
    shas = {role: ref if isinstance(ref, str) else ref.sha256 for role, ref in sorted(inputs.items())}
    key = digest([CODE_VERSION, context.config.seed, round, name, shas, settings])
    final = context.round_folder(round) / name
    if known is not None:
        if known.key != key:
            raise LedgerError(
                f"Round {round}, stage {name}, was finished with other inputs than it has now. "
                f"{_changed(files, context.campaign)} Restore it, or begin anew with --fresh (measurements are kept "
                "and not bought again)."
            )
        if final.is_dir() and (not pinned or folder_sha256(final) == known.sha256):
            return _ref(known)
        emit(Event(round, name))  # its results are lost: it is done again after all
    started = time.perf_counter()
    metrics = _compute(final, compute)
    sha256 = folder_sha256(final)
    if known is not None:
        if pinned and sha256 != known.sha256:
            raise LedgerError(
                f"The results of round {round}, stage {name}, were altered or lost, and computing them again gave "
                f"others (sha256 {sha256[:12]}, expected {known.sha256[:12]}). Restore the folder {final}."
            )
        return _ref(known)
    row = StageRow(
        round=round,
        name=name,
        key=key,
        uri=str(final.relative_to(context.workspace.home)),
        sha256=sha256,
        metrics={k: float(v) for k, v in metrics.items()},
        seconds=time.perf_counter() - started,
    )
    context.ledger.finish_stage(context.campaign.id, row)
    return _ref(row)


def _changed(files: Sequence[Path], campaign: Campaign) -> str:
    """Return which of the files changed since a campaign began, as far as their times tell."""
    began = datetime.fromisoformat(campaign.created_at).timestamp()
    written = [file for file in files if file.stat().st_mtime >= began]
    if len(written) == 1:
        return f"The file {written[0]} was written since the campaign began: it, or the program, is another."
    if not files:
        return "A data file or the program changed since the campaign began."
    return f"One of {', '.join(map(str, written or files))}, or the program, changed since the campaign began."


def _compute(final: Path, compute: Callable[[Path], Mapping[str, float]]) -> Mapping[str, float]:
    partial = final.with_name(f"{final.name}.partial")
    for leftover in (partial, final):  # a folder without a row in the ledger is what a crash left behind
        _clear(leftover)
    partial.mkdir(parents=True)
    metrics = compute(partial)
    for file in partial.rglob("*"):
        if file.is_file():
            _fsync(file)
    os.replace(partial, final)
    _fsync(final.parent)
    return metrics


def _clear(path: Path) -> None:
    """Remove what is in the place of a stage's folder; never what a link in that place leads to."""
    if path.is_symlink():
        log.warning(
            "%s was a link to %s, which has not the stage's results: the link is removed, what it leads to stays, and "
            "the results are computed into a folder.",
            path,
            os.readlink(path),
        )
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def folder_sha256(folder: Path) -> str:
    """Return the sha256 of a folder's files: names and contents, in the order of names."""
    total = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{file.relative_to(folder).as_posix()}\0{file_sha256(file)}\n".encode())
    return total.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _ref(row: StageRow) -> StageRef:
    return StageRef(row.round, row.name, row.uri, row.sha256, row.metrics, row.seconds)
