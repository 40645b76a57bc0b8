"""Finished files that stand in several places and take room on the disk once.

A stage's results are never written again: what is made anew is another file, renamed into place. So the store of
proxies, the stage and MLflow's view of it may have one file under three names (a hard link), which the seal of the
store and the sha256 in the ledger still watch. Where the file system has no links, or the places are on two of them,
it is a copy.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def share(file: Path, place: Path) -> None:
    """Have a finished file stand in another place too, atomically; what stood there is replaced, not written to."""
    if place.exists() and place.samefile(file):
        return
    partial = place.with_name(f"{place.name}.partial-{os.getpid()}")
    partial.unlink(missing_ok=True)
    try:
        os.link(file, partial)
    except OSError:
        shutil.copyfile(file, partial)
    os.replace(partial, place)


def share_folder(folder: Path, place: Path) -> None:
    """Have the finished files of a folder, and of the folders in it, stand in another folder too."""
    for file in sorted(folder.rglob("*")):
        target = place / file.relative_to(folder)
        if file.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            share(file, target)
