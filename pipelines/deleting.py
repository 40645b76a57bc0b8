"""`discover delete`: a campaign goes; what it bought stays, unless that is said.

The ledger first, in one transaction; then MLflow and the folders, which are views and results. After a crash between
the two the same command removes what is left.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from data.ledger.campaigns import Campaign, LedgerError
from data.ledger.deletion import Deletion, delete, examine, folder_name, forget
from data.ledger.ledger import Ledger
from data.masking import masked
from data.wording import counted
from pipelines.terminal import Terminal
from tasks.workspace import Workspace

KEPT = "filled-in"
"""Folder of the workspace for files of people, of campaigns that are deleted."""


def delete_campaign(
    workspace: Workspace, name: str, console: Terminal, *, yes: bool = False, measurements: bool = False
) -> None:
    """Delete all generations of a campaign, after asking.

    Args:
        workspace: where it is.
        name: of the campaign.
        console: where it is told.
        yes: delete it without asking.
        measurements: whether what it bought is forgotten as well.

    Raises:
        CampaignLocked: a process runs it.
        LedgerError: there is no such campaign, it must stay for now, or there is nobody to ask.
    """
    ledger = workspace.ledger()
    living = [one for one in ledger.campaigns() if one.name == name]
    _enter_kept(workspace, ledger, living)
    unrepeatable = {one.id: _unrepeatable(one) for one in living}
    found = examine(ledger, name, measurements=measurements, unrepeatable=unrepeatable)
    if not found.living and found.bought and not _leftovers(workspace, found) and not measurements:
        raise LedgerError(
            f"Campaign {name!r} is deleted already; {counted(found.bought, 'value')} that it bought "
            f"{'stays' if found.bought == 1 else 'stay'} for other "
            f"campaigns. `discover delete {name} --measurements` forgets what it bought."
        )
    if not yes and not _agreed(found, measurements=measurements):
        console.say(f"{name} stays.")
        return
    found = delete(ledger, name, expected=found, measurements=measurements, unrepeatable=unrepeatable)
    runs, refused = _unpublish(workspace, found)
    kept = _keep_files(workspace, found)
    folders = _remove_folders(workspace, found)
    forget(ledger, found.ids)
    for line in _told(found, runs, folders, measurements=measurements):
        console.say(line)
    for file in kept:
        console.say(
            f"A file that somebody had put into the campaign's folder, or changed there, is kept as {file}; remove it "
            "when it is not needed."
        )
    if refused:
        console.say(("note", "yellow"), f"  Runs in MLflow could not be marked deleted ({refused}); they stay there.")


def _enter_kept(workspace: Workspace, ledger: Ledger, living: Iterable[Campaign]) -> None:
    """Enter the answers that the ledger had not taken: they are paid for, whatever becomes of the campaign."""
    from tasks.oracles.undelivered import enter_kept_answers
    from tasks.stages import CampaignContext

    for one in living:
        enter_kept_answers(CampaignContext(workspace, ledger, one))
        return  # it enters those of all campaigns


def _unrepeatable(campaign: Campaign) -> list[str]:
    """Return the campaign's oracles that must never be called twice; all of them where nobody can tell any more."""
    from models.parts import oracle_of
    from models.registry import ComponentError

    found = []
    for part in campaign.readings.parts:
        try:
            semantics = oracle_of(campaign.config, campaign.base, part).semantics
        except (ComponentError, ValueError, OSError):  # its plugin or its files are gone
            semantics = "unsafe"
        if semantics == "unsafe":
            found.append(part)
    return found


def _leftovers(workspace: Workspace, found: Deletion) -> bool:
    """Return whether an earlier deletion of the name was broken off before its folders were gone."""
    return any((workspace.home / "campaigns" / name).exists() for name in found.folders)


def _agreed(found: Deletion, *, measurements: bool) -> bool:
    """Ask whether the campaign may go.

    Raises:
        LedgerError: standard input is not a terminal.
    """
    what = "forgotten, and paid for again by who asks again" if measurements else "kept for other campaigns"
    told = (
        f"Campaign {found.name!r} goes: {counted(found.candidates, 'candidate')}, its folders and its runs in MLflow. "
        f"{_bought(found.bought)} {what}."
    )
    if not sys.stdin.isatty():
        more = " --measurements" if measurements else ""
        raise LedgerError(
            f"{told} There is nobody to ask; say that it shall be so: `discover delete {found.name}{more} --yes`."
        )
    return input(f"{told} Type yes to delete it: ").strip().lower() == "yes"


def _unpublish(workspace: Workspace, found: Deletion) -> tuple[int, str]:
    """Mark the campaign's runs in MLflow deleted; return how many, and why it failed where it did."""
    count = 0
    try:
        from tasks.unpublishing import delete_runs

        for slug, one in found.folders.items():
            name, _, generation = slug.partition("~")
            count += delete_runs(workspace, replace(one, name=name, generation=int(generation or 1)))
    except Exception as error:  # it is a view: what it shows of a campaign that is gone harms nobody
        return count, masked(f"{type(error).__name__}: {error}")
    return count, ""


def _keep_files(workspace: Workspace, found: Deletion) -> list[Path]:
    """Move what people have put or changed out of the campaign's folders: results may stand there only."""
    from tasks.oracles.asked_file import keep_files_of_people

    names = dict.fromkeys(folder_name(one) for one in (*found.living, *found.buried))
    folders = [workspace.home / "campaigns" / name for name in names]
    return [
        file
        for folder in folders
        if not folder.is_symlink()  # what a link leads to is not removed
        for file in keep_files_of_people(folder, workspace.home / KEPT)
    ]


def _remove_folders(workspace: Workspace, found: Deletion) -> list[str]:
    """Remove the folders of the campaign's stages; return their names."""
    removed = []
    for name in dict.fromkeys(folder_name(one) for one in (*found.living, *found.buried)):
        folder = workspace.home / "campaigns" / name
        if folder.is_symlink():
            folder.unlink()  # what a link leads to is not ours
        elif folder.is_dir():
            shutil.rmtree(folder)
        else:
            continue
        removed.append(name)
    return removed


def _bought(values: int) -> str:
    """Return the beginning of a sentence on what a campaign bought."""
    return "The one value that it bought is" if values == 1 else f"The {values} values that it bought are"


def _told(found: Deletion, runs: int, folders: list[str], *, measurements: bool) -> list[str]:
    """Return sentences on what is gone and what is kept."""
    rows = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(found.others.items()))
    lines = [
        f"{found.name} is deleted: {counted(len(folders), 'folder')}, {counted(found.candidates, 'candidate')}, "
        f"{counted(runs, 'run')} in MLflow (marked deleted; `mlflow gc` removes their files)."
    ]
    if rows:
        lines.append(f"Calls that brought nothing to keep are gone: {rows}.")
    if found.bought:
        fate = (
            "forgotten: who asks again pays again."
            if measurements
            else f"kept; other campaigns, and a new {found.name}, take over what it bought. --measurements forgets it."
        )
        lines.append(f"{_bought(found.bought)} {fate}")
    lines.append(f"Versions of {found.name}-proxy in MLflow's registry stay as they are.")
    return lines
