"""The table of a batch that people fill in: the program's as long as it is as written, theirs once they change it.

A file that is not byte for byte what was written here is never rewritten or removed: it may hold results of a
laboratory. What else is to be measured is then written beside it, under the next free name. To know its own files the
program keeps the sha256 of all that it wrote beside them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, count
from pathlib import Path

NAME = "asked.csv"
"""The table of a round in its folder; `asked-2.csv` and so on where people have changed the ones before."""

_PATTERN = "asked*.csv"
_WRITTEN = ".asked.sha256"
_ASIDE = ".aside"


@dataclass(frozen=True, slots=True)
class AskedTables:
    """The tables of a round.

    Attributes:
        current: the one that lists what is to be measured.
        changed: those that people have changed since they were written, or put there; `current` may be among them.
    """

    current: Path
    changed: tuple[Path, ...] = ()

    @property
    def exist(self) -> bool:
        """Whether there is any."""
        return bool(self.changed) or self.current.exists()


def tables_in(folder: Path) -> AskedTables:
    """Return the tables in the folder of a round."""
    written = _digests(folder)
    ours: list[Path] = []
    changed: list[Path] = []
    for file in _tables(folder):
        (ours if _is_ours(file, written) else changed).append(file)
    current = ours[-1] if ours else changed[-1] if changed else folder / NAME
    return AskedTables(current, tuple(changed))


def write_table(folder: Path, content: bytes, asked: Mapping[str, int]) -> None:
    """Write what is to be measured into the folder of a round, in place of what was written before.

    Nothing is written where a table that people have changed lists it all.

    Args:
        folder: of the round.
        content: of the table.
        asked: identity of what it lists -> in how many rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # An earlier discovery-flows kept no hashes: a table with this very content was written by it.
    if not (folder / _WRITTEN).exists() and _is(folder / NAME, content):
        _remember(folder, content)
    if any(_lists(file, asked) for file in tables_in(folder).changed):
        remove_tables(folder)
        return
    _remember(folder, content)  # before it is there: a table whose hash is not known is taken for somebody's
    partial = folder / f".{NAME}.{os.getpid()}.partial"
    partial.write_bytes(content)
    remove_tables(folder)
    if any(_lists(file, asked) for file in tables_in(folder).changed):  # it was saved meanwhile
        partial.unlink()
        return
    _put(partial, folder / NAME)


def remove_tables(folder: Path) -> None:
    """Remove the tables of a round that are as they were written.

    Each is moved aside before it is looked at, so that what somebody saves under its name meanwhile is never removed.
    """
    for aside in folder.glob(f".*{_ASIDE}"):  # of a process that was broken off
        _settle(aside)
    written = _digests(folder)
    for file in _tables(folder):
        if _is_ours(file, written):
            aside = file.with_name(f".{file.name}.{os.getpid()}{_ASIDE}")
            try:
                os.rename(file, aside)
            except FileNotFoundError:  # another process has removed it
                continue
            _settle(aside)


def _settle(aside: Path) -> None:
    """Remove a table that was moved aside where it is as it was written; else put it back."""
    if _is_ours(aside, _digests(aside.parent)):
        aside.unlink(missing_ok=True)
    else:
        _put(aside, aside.parent / re.sub(rf"\.\d+{re.escape(_ASIDE)}$", "", aside.name[1:]))


def _put(source: Path, target: Path) -> Path:
    """Move a file to a name, or to the next one that is free: nothing that is there is overwritten.

    Returns:
        where it is now.
    """
    for path in chain([target], _free(target.parent, target.stem.partition("-")[0], target.suffix)):
        try:
            os.link(source, path, follow_symlinks=False)
        except FileExistsError:
            continue
        except FileNotFoundError:  # another process has moved it
            return path
        except OSError:  # a file system without hard links
            try:
                with path.open("xb") as file:
                    file.write(source.read_bytes())
            except FileExistsError:
                continue
        source.unlink(missing_ok=True)
        return path
    raise AssertionError  # names do not end


def changed_tables(campaign_folder: Path) -> list[Path]:
    """Return the tables of all rounds of a campaign that people have changed."""
    return [file for folder in sorted(campaign_folder.glob("round-*")) for file in tables_in(folder).changed]


def keep_files_of_people(campaign_folder: Path, place: Path) -> list[Path]:
    """Move files that people have put or changed out of the folder of a campaign that goes; return where they are now.

    These are all files in the campaign's folder and in those of its rounds that are not as the program wrote them:
    the program itself keeps nothing there but tables and folders of its stages.
    """
    kept = []
    for folder in (campaign_folder, *sorted(campaign_folder.glob("round-*"))):
        if folder.is_symlink() or not folder.is_dir():
            continue
        remove_tables(folder)
        written = _digests(folder)
        for file in sorted(folder.iterdir()):
            if not file.is_file() or file.name == _WRITTEN or _is_ours(file, written):
                continue
            place.mkdir(parents=True, exist_ok=True)
            of = campaign_folder.name if folder == campaign_folder else f"{campaign_folder.name}-{folder.name}"
            target = next(path for path in _free(place, f"{of}-{file.stem}", file.suffix) if not path.exists())
            os.rename(file, target)
            kept.append(target)
    return kept


def _free(place: Path, name: str, suffix: str) -> Iterable[Path]:
    yield place / f"{name}{suffix}"
    for number in count(2):
        yield place / f"{name}-{number}{suffix}"


def _tables(folder: Path) -> list[Path]:
    """Return the tables of a round in the order in which they were made."""
    return sorted((file for file in folder.glob(_PATTERN) if file.is_file()), key=lambda file: (len(file.name), file))


def _digests(folder: Path) -> frozenset[str]:
    try:
        return frozenset((folder / _WRITTEN).read_text(encoding="ascii").split())
    except (OSError, ValueError):  # nothing is known to be ours
        return frozenset()


def _remember(folder: Path, content: bytes) -> None:
    digest = sha256(content).hexdigest()
    if digest not in _digests(folder):
        with (folder / _WRITTEN).open("a", encoding="ascii") as file:
            file.write(f"{digest}\n")
            file.flush()
            os.fsync(file.fileno())


def _is_ours(file: Path, written: frozenset[str]) -> bool:
    try:
        return not file.is_symlink() and sha256(file.read_bytes()).hexdigest() in written
    except OSError:  # what cannot be read is left alone
        return False


def _is(file: Path, content: bytes) -> bool:
    try:
        return file.read_bytes() == content
    except OSError:
        return False


def _lists(file: Path, asked: Mapping[str, int]) -> bool:
    """Return whether a table lists all that is to be measured, in whatever program it was saved."""
    try:
        content = file.read_bytes()
    except OSError:
        return False
    text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    return all(text.count(key) >= rows for key, rows in asked.items())
