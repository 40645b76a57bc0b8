"""Which files decide what a person's own code answers: what a module imports, and what a program runs.

Nothing is imported and nothing is run: the files are read. A module's files are its own, those of the packages it
stands in, and, transitively, those of what it imports from the same folder. Code that is chosen while it runs (a
computed module name, a changed `sys.path`) cannot be followed: then every Python file of the folder counts. Scripts
count as well where code names them (`./dock.sh`). Other libraries count by the version of their distribution, or by
their content where they are no installed release. Data files that are opened by name are not looked for: the option
`files` names them.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

from models.registry import ComponentError

_SCRIPTS = {
    ".py",
    ".sh",
    ".bash",
    ".zsh",
    ".pl",
    ".r",
    ".jl",
    ".js",
    ".lua",
    ".awk",
    ".sed",
    ".rb",
    ".m",
    ".exe",
    ".so",
}
_COMPUTED = {"exec", "execfile", "runpy", "spec_from_file_location", "SourceFileLoader", "addsitedir", "pkgutil"}
_TOKEN = re.compile(r"[^\s\"'`;|&<>()$={},\[\]]+")
_RELEASES = {"site-packages", "dist-packages"}
_MOST_FILES = 5000
_LARGEST_TEXT = 4 * 2**20


def content(path: Path) -> str:
    """Return the sha256 of a file, or of all files of a folder with their names in it."""
    if path.is_dir():
        total = hashlib.sha256()
        for file in sorted(item for item in path.rglob("*") if item.is_file()):
            total.update(f"{file.relative_to(path).as_posix()}\0{content(file)}\n".encode())
        return total.hexdigest()
    return _sha256(path, *_stamp(path))


def module_parts(module: str, folder: Path) -> dict[str, str]:
    """Return what decides the answers of a module: `file NAME` or `package NAME` -> sha256 or version.

    Args:
        module: dotted name.
        folder: where it is looked for first: the campaign file's.

    Raises:
        ComponentError: there is no such module.
    """
    folder = folder.resolve()
    files = _located(module, folder)
    if files:
        return _parts(files, folder)
    top = module.partition(".")[0]
    told = _elsewhere(top, releases=False)
    if told is None:
        raise ComponentError(
            f"There is no module {module!r}. Put {module.replace('.', '/')}.py beside the campaign file, or install "
            "the package that has it."
        )
    return {f"package {top}": told}


def program_parts(words: Sequence[str], folder: Path) -> dict[str, str]:
    """Return what decides the answers of a program: its file, argument files of the folder, and what these run.

    Args:
        words: program and arguments.
        folder: where it runs.
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
        files += _scripts_named(word, folder)
        if word == "-m" and position + 1 < len(words):
            files += _located(words[position + 1], folder)
    for file in dict.fromkeys(files):
        # A script finds its modules beside itself.
        parts |= _parts([file], folder if file.is_relative_to(folder) else file.parent)
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
        parts |= _parts([path], path.parents[depth])
    return parts


def _parts(files: Iterable[Path], folder: Path) -> dict[str, str]:
    """Return the contents of files and of all they import or run from a folder; versions of what is elsewhere."""
    waiting, known = list(files), dict.fromkeys(files)
    libraries: set[str] = set()
    while waiting:
        file = waiting.pop()
        more: list[Path] = []
        roots = dict.fromkeys((folder, file.parent))
        mentions = _mentions(file, *_stamp(file))
        for name in mentions.names(file, folder):
            located = next((found for root in roots if (found := _located(name, root))), [])
            more += located
            if not located:
                libraries.add(name.partition(".")[0])
        for token in mentions.tokens:
            more += _scripts_named(token, folder)
        if mentions.computed:
            more += _python_files(folder)
        waiting += [item for item in dict.fromkeys(more) if item not in known]
        known |= dict.fromkeys(more)
    parts = {f"file {_label(file, folder)}": content(file) for file in known}
    for top in sorted(libraries - set(sys.stdlib_module_names)):
        parts[f"package {top}"] = _elsewhere(top) or "not installed"
    return parts


@dataclass(frozen=True)
class _Mentions:
    """What a file of code speaks of.

    Attributes:
        imports: (number of leading dots, dotted name) of each import.
        tokens: words that might name a script.
        computed: whether it imports what only running it can tell.
    """

    imports: tuple[tuple[int, str], ...] = ()
    tokens: tuple[str, ...] = ()
    computed: bool = False

    def names(self, file: Path, folder: Path) -> Iterator[str]:
        """Yield the absolute dotted names."""
        package = file.relative_to(folder).parent.parts if file.is_relative_to(folder) else ()
        for level, name in self.imports:
            if not level:
                yield name
            else:
                yield ".".join([*package[: len(package) - level + 1], *([name] if name else [])])


@lru_cache(maxsize=4096)
def _mentions(file: Path, *_stamp_of_file: int) -> _Mentions:
    if file.stat().st_size > _LARGEST_TEXT:
        return _Mentions()
    raw = file.read_bytes()
    if b"\0" in raw:
        return _Mentions()
    text = raw.decode("utf-8", errors="replace")
    first = text.partition("\n")[0]
    if file.suffix == ".py" or (first.startswith("#!") and "python" in first):
        return _python_mentions(text)
    if file.suffix.lower() in _SCRIPTS or first.startswith("#!") or os.access(file, os.X_OK):
        return _Mentions(tokens=tuple(dict.fromkeys(_TOKEN.findall(text))))
    return _Mentions()  # data


def _python_mentions(text: str) -> _Mentions:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):  # it will not be imported either; its content counts
        return _Mentions()
    imports: list[tuple[int, str]] = []
    tokens: list[str] = []
    computed = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [(0, alias.name) for alias in node.names]
            computed |= any(alias.name in _COMPUTED for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            imports.append((node.level, module))
            imports += [(node.level, f"{module}.{a.name}" if module else a.name) for a in node.names if a.name != "*"]
            computed |= module in _COMPUTED or any(a.name in _COMPUTED for a in node.names)
            computed |= module == "sys" and any(a.name == "path" for a in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in ("import_module", "__import__"):
            argument = node.args[0] if node.args else None
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value[:1] != ".":
                imports.append((0, argument.value))
            else:
                computed = True
        elif isinstance(node, ast.Attribute | ast.Name):
            inside = node.value if isinstance(node, ast.Attribute) else None
            computed |= _name(node) in _COMPUTED
            computed |= isinstance(inside, ast.Name) and inside.id == "sys" and _name(node) == "path"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            tokens += _TOKEN.findall(node.value)
    return _Mentions(tuple(dict.fromkeys(imports)), tuple(dict.fromkeys(tokens)), computed)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


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


def _scripts_named(text: str, folder: Path) -> list[Path]:
    """Return the files of code in a folder that words of a text name."""
    files = []
    for token in _TOKEN.findall(text):
        if ("." not in token and "/" not in token) or len(token) > 255:
            continue
        file = folder / token
        if file.suffix.lower() in _SCRIPTS or token.startswith("./"):
            try:
                is_code = file.is_file() and (file.suffix.lower() in _SCRIPTS or os.access(file, os.X_OK))
            except (OSError, ValueError):
                continue
            files += [file] if is_code else []
    return files


def _python_files(folder: Path) -> list[Path]:
    """Return every Python file below a folder; hidden folders and virtual environments are not its code."""
    files: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".") and name != "__pycache__" and not (Path(where, name) / "pyvenv.cfg").exists()
        ]
        files += [Path(where, name) for name in names if name.endswith(".py")]
        if len(files) > _MOST_FILES:
            raise ComponentError(
                f"The oracle's code imports what only running it can tell, and {folder} has more than {_MOST_FILES} "
                "Python files, all of which may be meant. Put the campaign into a folder of its own."
            )
    return files


def _elsewhere(top: str, *, releases: bool = True) -> str | None:
    """Return what tells the content of a library that is not in the folder: a version, or a hash of its Python files.

    Args:
        top: its top-level name.
        releases: whether the version of an installed release is enough.
    """
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return None
    if top in sys.stdlib_module_names:
        return f"Python {sys.version_info.major}.{sys.version_info.minor}"
    places = [Path(place) for place in spec.submodule_search_locations or ([spec.origin] if spec.origin else [])]
    if releases and any(_RELEASES & set(place.parts) for place in places):
        versions = [f"{name} {version(name)}" for name in sorted(set(_distributions().get(top, ())))]
        if versions:
            return ", ".join(versions)
    total = hashlib.sha256()
    for place in sorted(places):
        for file in sorted(_python_files(place)) if place.is_dir() else [place] * place.is_file():
            total.update(f"{file.relative_to(place.parent).as_posix()}\0{content(file)}\n".encode())
    return total.hexdigest()


@cache
def _distributions() -> Mapping[str, Sequence[str]]:
    return packages_distributions()


def _label(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what changes whenever a file does; its change time cannot be set back by a copy."""
    about = path.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


@lru_cache(maxsize=4096)
def _sha256(path: Path, *_stamp_of_file: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
