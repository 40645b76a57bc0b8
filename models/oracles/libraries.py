"""What tells the content of a library, a file or a folder: a hash, or the version of an installed release."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

from models.oracles.function_worker import OURS
from models.oracles.mentions import mentions
from models.registry import ComponentError

RELEASES = frozenset({"site-packages", "dist-packages"})
_MOST_FILES = 5000


def content(path: Path) -> str:
    """Return the sha256 of a file, or of all files of a folder with their names in it."""
    if path.is_dir():
        total = hashlib.sha256()
        for file in sorted(item for item in path.rglob("*") if item.is_file()):
            total.update(f"{file.relative_to(path).as_posix()}\0{content(file)}\n".encode())
        return total.hexdigest()
    return _sha256(path, *stamp(path))


def library_parts(top: str, *, releases: bool = True) -> str | None:
    """Return what tells the content of a library that is not in the folder: a version, or a hash of its Python files.

    Args:
        top: its top-level name.
        releases: whether the version of an installed release is enough.
    """
    places = _places(top)
    if places is None:
        return None
    if top in sys.stdlib_module_names:
        return f"Python {sys.version_info.major}.{sys.version_info.minor}"
    if releases and (versions := _versions(top, places)):
        return ", ".join(versions)
    total = hashlib.sha256()
    for place in places:
        for file in _files(place):
            total.update(f"{file.relative_to(place.parent).as_posix()}\0{content(file)}\n".encode())
    return total.hexdigest()


def unreleased(tops: Iterable[str]) -> set[str]:
    """Return those of some libraries that are no installed release (of PYTHONPATH, say), and those they import."""
    waiting, found = list(tops), set[str]()
    seen = {*OURS, *sys.stdlib_module_names}
    while waiting:
        top = waiting.pop()
        if top in seen:
            continue
        seen.add(top)
        places = _places(top)
        if not places or _versions(top, places):
            continue
        found.add(top)
        for file in (file for place in places for file in _files(place)):
            waiting += {name.partition(".")[0] for level, name in mentions(file, *stamp(file)).imports if not level}
    return found


def is_installed(top: str) -> bool:
    """Return whether this Python finds a library of this name."""
    return _places(top) is not None


def _places(top: str) -> list[Path] | None:
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    return sorted(Path(place) for place in spec.submodule_search_locations or ([spec.origin] if spec.origin else []))


def _versions(top: str, places: Iterable[Path]) -> list[str]:
    if not any(RELEASES & set(place.parts) for place in places):
        return []
    return [f"{name} {version(name)}" for name in sorted(set(_distributions().get(top, ())))]


def _files(place: Path) -> list[Path]:
    return sorted(python_files(place)) if place.is_dir() else [place] * place.is_file()


def is_code_folder(folder: Path) -> bool:
    """Return whether a folder may hold a person's code: hidden ones, caches and virtual environments do not."""
    return not (folder.name.startswith(".") or folder.name == "__pycache__" or (folder / "pyvenv.cfg").exists())


def python_files(folder: Path) -> list[Path]:
    """Return every Python file below a folder; hidden folders and virtual environments are not its code."""
    files: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in sorted(folders) if is_code_folder(Path(where, name))]
        files += [Path(where, name) for name in names if name.endswith(".py")]
        if len(files) > _MOST_FILES:
            raise ComponentError(
                f"The oracle's code imports what only running it can tell, and {folder} has more than {_MOST_FILES} "
                "Python files, all of which may be meant. Put the campaign into a folder of its own."
            )
    return files


def stamp(path: Path) -> tuple[int, ...]:
    """Return what changes whenever a file does; its change time cannot be set back by a copy."""
    about = path.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


@cache
def _distributions() -> Mapping[str, Sequence[str]]:
    return packages_distributions()


@lru_cache(maxsize=4096)
def _sha256(path: Path, *_stamp_of_file: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
