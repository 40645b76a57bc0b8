"""Which files decide what a person's own code answers: what a module imports, and what a program runs.

Nothing is imported and nothing is run: the files are read (`mentions.py`). A module's files are its own, those of the
packages it stands in, and, transitively, those of what it imports. Beyond that, what is named counts:

* Every file whose name is a word of code that counts (`"$here/score.py"`, `Path(...) / "bin" / "score"`, `. ./params`,
  `open("factor.txt")`), in the folders of the code and in those below that are named as well. Where code may start
  other code (every script; Python with `subprocess`, `importlib` ...), a name without its ending is enough for code
  (`-m helper`).
* Not what the code writes, as its lines tell, nor, unless all the code is Python that starts and writes nothing, files
  with an ending of data (`.csv`, `.txt`, `.log`) or a name like that of an output: a run must not change its identity.
* A name that is put together while it runs (`f"{kind}_dock.sh"`) may mean every file of that ending in these folders; a
  computed import or a changed `sys.path`, every Python file of the folder.

Modules from elsewhere (`sys.path.insert(0, "..")`, PYTHONPATH) count by content, installed releases by their version.
Data that is named in no such way is named by the option `files`, what is written behind the code by `writes`.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from data.config import digest
from models.oracles.libraries import (
    RELEASES,
    content,
    is_code_folder,
    is_installed,
    library_parts,
    python_files,
    stamp,
    unreleased,
)
from models.oracles.mentions import DATA, SCRIPTS, Mentions, is_code, is_output, mentions, spoken, unfinished, writes
from models.registry import ComponentError


def module_parts(module: str, folder: Path, sources: dict[str, str] | None = None) -> dict[str, str]:
    """Return what decides the answers of a module: `file NAME` or `package NAME` -> sha256 or version.

    Args:
        module: dotted name.
        folder: where it is looked for first: the campaign file's.
        sources: is given the text of each Python file among them, by name.

    Raises:
        ComponentError: there is no such module.
    """
    folder = folder.resolve()
    files = _located(module, folder)
    if files:
        search = _Search(folder)
        parts = search.parts(files)
        if sources is not None:
            sources |= search.sources()
        return parts
    top = module.partition(".")[0]
    told = library_parts(top, releases=False)
    if told is None:
        raise ComponentError(
            f"There is no module {module!r}. Put {module.replace('.', '/')}.py beside the campaign file, or install "
            "the package that has it."
        )
    others = {f"package {name}": library_parts(name) or "" for name in sorted(unreleased([top]) - {top})}
    return {f"package {top}": told, **others}


def program_parts(words: Sequence[str], folder: Path, sources: dict[str, str] | None = None) -> dict[str, str]:
    """Return what decides the answers of a program: its file, argument files of the folder, and what these run.

    Args:
        words: program and arguments.
        folder: where it runs.
        sources: is given the text of each Python file among them, by name.
    """
    folder = folder.resolve()
    parts: dict[str, str] = {}
    program = words[0]
    if not os.path.dirname(program) and not program.startswith("{"):
        where = shutil.which(program)
        parts[f"program {program}"] = "not there" if where is None else content(Path(where))
    files: list[Path] = []
    for position, word in enumerate(words):
        named = [folder / Path(text).expanduser() for text in (word, word.partition("=")[2]) if text]
        if position or os.path.dirname(program):
            files += [file for file in named if file.is_file()]
        files += [file for token in spoken([word]).tokens if (file := _script_named(token, folder))]
        if word == "-m" and position + 1 < len(words):
            files += _located(words[position + 1], folder)
    search = _Search(folder)
    parts |= search.parts(files, spoken(words))
    if sources is not None:
        sources |= search.sources()
    return parts


def portable(words: Sequence[str], folder: Path) -> list[str]:
    """Return a command without the absolute paths of files: their content counts, not their place."""
    return [Path(word).name if os.path.isabs(word) and (folder / word).is_file() else word for word in words]


def files_parts(names: Iterable[str], folder: Path) -> dict[str, str]:
    """Return the content of files and folders that a person named.

    Raises:
        ComponentError: one is not there.
    """
    parts = {}
    for name in names:
        path = folder / Path(name).expanduser()
        if not path.exists():
            raise ComponentError(f"There is no {path}, which the oracle's option `files` names; check its spelling.")
        parts[f"file {_label(path, folder)}"] = content(path)
    return parts


def variables_parts(names: Iterable[str]) -> dict[str, str]:
    """Return digests of variables of the environment that a person named: what they hold may be a secret."""
    return {
        f"variable {name}": "not set" if (value := os.environ.get(name)) is None else digest(["variable", name, value])
        for name in names
    }


def without_written(parts: dict[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return parts without files that a person says the oracle writes: names, folders, patterns such as `*.json`."""
    patterns = [f"file {name.removeprefix('./').rstrip('/')}" for name in names]
    return {
        label: told
        for label, told in parts.items()
        if not any(fnmatchcase(label, pattern) or fnmatchcase(label, f"{pattern}/*") for pattern in patterns)
    }


def class_parts(classes: Iterable[type]) -> dict[str, str]:
    """Return the content of the modules in which classes of other distributions are written."""
    parts: dict[str, str] = {}
    for cls in classes:
        module = sys.modules.get(cls.__module__)
        file = getattr(module, "__file__", None)
        if file is None:
            continue
        path, depth = Path(file).resolve(), cls.__module__.count(".")
        depth += path.name == "__init__.py"
        root = path.parents[depth]
        parts |= _Search(root, named=False).parts([path])
    return parts


class _Search:
    """The files that count, found from the first of them.

    Args:
        folder: where modules and scripts are looked for first.
        named: whether files count that are only named; not for plugins, whose folder may hold much that is not theirs.
    """

    def __init__(self, folder: Path, *, named: bool = True) -> None:
        self._folder = folder
        self._named = named
        self._known: dict[Path, Path] = {}  # file -> where its label starts
        self._heard: dict[Path | None, Mentions] = {}
        self._roots: dict[Path, None] = {folder: None}
        self._unfound: dict[str, None] = {}
        self._looked_up: dict[tuple[str, Path], list[Path]] = {}

    def parts(self, files: Sequence[Path], command: Mentions | None = None) -> dict[str, str]:
        """Return the contents of the files and of all that they lead to."""
        if command is not None:
            self._heard[None] = command
        outside = (file.parent for file in files if not file.is_relative_to(self._folder))
        self._roots |= dict.fromkeys(outside)  # a script finds its modules beside itself
        waiting = [new for file in files for new in self._add([file], file.parent)]
        while waiting or (waiting := self._more()):
            waiting += self._led_to(waiting.pop())
        if self._named and any(self._heard) and all(heard.silent for heard in self._heard.values()):
            self._by_name(data=True)
        return self._contents()

    def sources(self) -> dict[str, str]:
        """Return the texts of the Python files that count, by name."""
        return {
            _label(file, root): file.read_text("utf-8", errors="replace")
            for file, root in self._known.items()
            if file.suffix == ".py"
        }

    def _more(self) -> list[Path]:
        return self._from_elsewhere() or (self._named and (self._by_name() or self._unfinished())) or []

    def _add(self, files: Iterable[Path], place: Path) -> list[Path]:
        new = [file for file in dict.fromkeys(files) if file not in self._known]
        if new:
            root = next((root for root in self._roots if place.is_relative_to(root)), place)
            self._known |= dict.fromkeys(new, root)
        return new

    def _led_to(self, file: Path) -> list[Path]:
        """Return the files that a file imports, those it names by a path, and those it may mean."""
        heard = self._heard[file] = mentions(file, *stamp(file))
        new: list[Path] = []
        for level, name in heard.imports:
            for root in self._searched(file, level):
                if found := self._located(name, root):
                    # A relative import starts at a package, and runs that too.
                    above = [root / "__init__.py"] if level and (root / "__init__.py").is_file() else []
                    new += self._add([*above, *found], root)
                    if (level, name) in heard.stars and found[-1].name == "__init__.py":
                        new += self._add(python_files(found[-1].parent), root)
                    break
            else:
                if not level:
                    self._unfound[name] = None
        for token in heard.tokens:
            for root in dict.fromkeys((self._folder, file.parent)):
                named = _script_named(token, root)
                if named is not None and not writes(file, named.name, *stamp(file)):
                    new += self._add([named], root)
        below = self._folder if file.is_relative_to(self._folder) else file.parent
        return new + (self._add(python_files(below), below) if heard.computed else [])

    def _located(self, name: str, root: Path) -> list[Path]:
        if (name, root) not in self._looked_up:
            self._looked_up[name, root] = _located(name, root)
        return self._looked_up[name, root]

    def _searched(self, file: Path, level: int) -> list[Path]:
        if level:
            return list(file.parents[level - 1 : level])
        return list(dict.fromkeys((self._known[file], file.parent, *self._roots)))

    def _from_elsewhere(self) -> list[Path]:
        """Return files of modules that are found only where the code makes Python look for them."""
        moving = [heard for heard in self._heard.values() if heard.moves]
        if not moving or not self._unfound:
            return []
        above = [self._folder, *self._folder.parents]
        bases = [*above[:4], Path.home()]
        tokens = dict.fromkeys(token for heard in moving for token in heard.tokens if len(token) < 256)
        told = (base / Path(token).expanduser() for token in tokens for base in bases)
        places = dict.fromkeys(place.resolve() for place in told if place.is_dir())
        outside = [p for p in places if not p.is_relative_to(self._folder) and not RELEASES & set(p.parts)]
        new: list[Path] = []
        for name in list(self._unfound):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names:
                continue
            guessed = [] if is_installed(top) else above[1:]
            for root in dict.fromkeys([*outside, *guessed]):
                if found := _located(name, root):
                    self._roots[root] = None
                    new += self._add(found, root)
                    del self._unfound[name]
                    break
        return new

    def _reach(self, names: set[str]) -> dict[Path, list[os.DirEntry[str]]]:
        """Return the entries of the folders of the code and of those below that are named."""
        programs = {Path(place) for place in os.get_exec_path()}
        places = dict.fromkeys([self._folder, *(file.parent for file in self._known)])
        waiting = [
            place
            for place in places
            if any(place.is_relative_to(root) for root in self._roots)
            and place not in programs
            and not RELEASES & set(place.parts)
        ]
        reached: dict[Path, list[os.DirEntry[str]]] = {}
        while waiting:
            here = waiting.pop(0)
            if here not in reached and os.access(here, os.R_OK | os.X_OK) and here.is_dir():
                with os.scandir(here) as found:
                    reached[here] = sorted(found, key=lambda entry: entry.name)
                named = (Path(entry) for entry in reached[here] if entry.name in names and entry.is_dir())
                waiting += [place for place in named if is_code_folder(place)]
        return reached

    def _by_name(self, *, data: bool = False) -> list[Path]:
        """Return files that are named; those with an ending of data only if wanted."""
        names = {name for heard in self._heard.values() for name in heard.names}
        stems = {stem for heard in self._heard.values() for stem in heard.stems}
        new: list[Path] = []
        for here, entries in self._reach(names).items():
            runs = here.name in stems and here != self._folder
            for entry in entries:
                path = Path(entry)
                is_script = path.suffix.lower() in SCRIPTS
                by_stem = path.stem in stems or (runs and entry.name in ("__init__.py", "__main__.py"))
                if path in self._known or not (entry.name in names or (by_stem and (is_script or not path.suffix))):
                    continue
                if entry.is_file() and (is_code(path) or self._is_read(path, data=data)) and not self._is_written(path):
                    new += self._add([path], here)
        return new

    def _unfinished(self) -> list[Path]:
        """Return the files that a name which is put together may mean: all of its ending."""
        names = {name for heard in self._heard.values() for name in heard.names}
        reached = self._reach(names)
        there = {entry.name for entries in reached.values() for entry in entries} | {file.name for file in self._known}
        endings = {
            ending
            for file, heard in self._heard.items()
            for token in heard.tokens
            if (ending := unfinished(token.rstrip("."))) and Path(token).name not in there
            if not _is_there(token, file.parent if file else self._folder)
            if not (file and writes(file, ending, *stamp(file)))
        }
        new: list[Path] = []
        for here, entries in reached.items():
            for entry in entries:
                if entry.name.endswith(tuple(endings)) and entry.is_file() and not self._is_written(here / entry.name):
                    new += self._add([here / entry.name], here)
        return new

    @staticmethod
    def _is_read(path: Path, *, data: bool) -> bool:
        """Return whether a file without code that is named may be one of parameters."""
        return path.stat().st_size > 0 and (data or not (path.suffix.lower() in DATA or is_output(path.name)))

    def _is_written(self, path: Path) -> bool:
        speaking = (file for file, heard in self._heard.items() if file and path.name in heard.names)
        return any(writes(file, path.name, *stamp(file)) for file in speaking)

    def _contents(self) -> dict[str, str]:
        labels: dict[str, list[str]] = {}
        for file, root in self._known.items():
            labels.setdefault(f"file {_label(file, root)}", []).append(content(file))
        parts = {label: " ".join(sorted(told)) for label, told in labels.items()}
        libraries = {name.partition(".")[0] for name in self._unfound}
        for top in sorted((libraries | unreleased(libraries)) - set(sys.stdlib_module_names)):
            parts[f"package {top}"] = library_parts(top) or "not installed"
        return parts


def _is_there(token: str, folder: Path) -> bool:
    try:
        return len(token) < 256 and (folder / token).is_file()
    except (OSError, ValueError):
        return False


def _located(name: str, folder: Path) -> list[Path]:
    """Return the files that importing a dotted name from a folder runs, as far as they are in it."""
    files: list[Path] = []
    here = folder
    for part in filter(None, name.split(".")):
        package, module = here / part / "__init__.py", here / f"{part}.py"
        if package.is_file():
            files.append(package)
        elif module.is_file():
            return [*files, module]
        elif not (here / part).is_dir():
            return [*files, *sorted(file for file in here.glob(f"{part}.*") if file.suffix in (".so", ".pyd", ".pyc"))]
        here = here / part
    return files


def _script_named(token: str, folder: Path) -> Path | None:
    """Return the file of code in a folder that a word names by its path."""
    if ("." not in token and "/" not in token) or len(token) > 255:
        return None
    ending = os.path.splitext(token)[1].lower()
    if ending not in SCRIPTS and not token.startswith("./"):
        return None
    file = folder / token
    try:
        return file if file.is_file() and (ending in SCRIPTS or os.access(file, os.X_OK)) else None
    except (OSError, ValueError):
        return None


def _label(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
