"""What one file of code speaks of: its imports, words that may be names of files, and which of these it writes.

Files are read, never run. `source_files.py` decides from it which files count.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

_SCRIPTS = (
    "py sh bash zsh pl r jl js lua awk sed rb m exe so jar class pyd pyc dll dylib c h cc cpp hpp cu f f90 go rs java "
    "ts php tcl ipynb smk mk"
)
SCRIPTS = frozenset(f".{ending}" for ending in _SCRIPTS.split())
"""Endings of code."""

_DATA = (
    "csv tsv txt log out err dat data smi sdf mol mol2 xyz pdb pdbqt parquet feather db sqlite sqlite3 jsonl md rst "
    "html pdf png svg jpg lock pid tmp bak gz zip orig swp"
)
DATA = frozenset(f".{ending}" for ending in _DATA.split())
"""Endings of what programs read and write as they work, rather than of parameters."""

_NAMED_CODE = (".py", ".sh", ".bash", ".zsh", ".pl", ".jl", ".lua", ".jar", ".R", ".rb")
_COMPUTED = {
    *("exec", "execfile", "runpy", "spec_from_file_location", "SourceFileLoader", "addsitedir", "pkgutil"),
    *("iter_modules", "walk_packages"),
}
_STARTS = {
    *("subprocess", "importlib", "import_module", "__import__", "runpy", "multiprocessing", "system", "popen", "Popen"),
    *("posix_spawn", "create_subprocess_exec", "create_subprocess_shell", "eval", "ctypes", "cffi"),
    *("spec_from_file_location", "SourceFileLoader", "pty"),
}
_STARTING = re.compile(r"exec[lv]p?e?|spawn[lv]p?e?")
_TOKEN = re.compile(r"[^\s\"'`;|&<>()$={},\[\]]+")
_OUTPUTS = re.compile(
    r"(?:^|[\W\d_])(?:logs?|out|outputs?|results?|answers?|cache|memo|tmp|temp|calls?|history|restart|scratch|debug)"
    r"(?:$|[\W\d_])|out\.",
    re.IGNORECASE,
)
_WRITING = re.compile(
    r"[\"'](?:[wax]b?t?\+?b?|r\+b?|rb\+)[\"']|\b(?:write|to_|save|dump|touch|connect|FileHandler|basicConfig|shelve|rename)"
)
_CONTENT = re.compile(r"\b(?:open|load\w*|read\w*)\b")
"""What assigns the content of a file rather than its place."""

_IMPLIED = {"make": ("Makefile", "makefile", "GNUmakefile"), "snakemake": ("Snakefile",)}
_LARGEST_TEXT = 4 * 2**20


@dataclass(frozen=True)
class Mentions:
    """What a file of code speaks of.

    Attributes:
        imports: (number of leading dots, dotted name) of each import.
        stars: those of them of which all names are taken.
        tokens: words that might name a script by its path.
        computed: whether it imports what only running it can tell.
        moves: whether it changes where modules are looked for.
        starts: whether it may start other code: then a name without its ending (`-m helper`) may mean a file.
        silent: whether it neither starts other code nor writes files.
    """

    imports: tuple[tuple[int, str], ...] = ()
    stars: tuple[tuple[int, str], ...] = ()
    tokens: tuple[str, ...] = ()
    computed: bool = False
    moves: bool = False
    starts: bool = False
    silent: bool = True

    @cached_property
    def names(self) -> set[str]:
        """Words that may be names of files and folders."""
        parts = {part.rstrip(".") for token in self.tokens for part in re.split(r"[/\\:%]", token)}
        implied = {name for word in parts & set(_IMPLIED) for name in _IMPLIED[word]} if self.starts else set()
        return (parts | implied) - {""}

    @cached_property
    def stems(self) -> set[str]:
        """Words that may be names of files of code without their endings, and of packages."""
        if not self.starts:
            return set()
        split = (name.split(".") for name in self.names if Path(name).suffix.lower() not in SCRIPTS | DATA)
        return {part for parts in split for part in parts} - {""}


def spoken(words: Iterable[str]) -> Mentions:
    """Return what the words of a command speak of."""
    words = list(words)
    simple = not any(_TOKEN.findall(word) != [word] for word in words if word[:1] != "{")  # no lines of a shell
    return Mentions(tokens=_tokens(" ".join(words)), starts=True, silent=simple)


def unfinished(name: str) -> str | None:
    """Return the ending of a word that ends like a file of code (`_dock.sh` of a name put together), if it does."""
    return next((ending for ending in _NAMED_CODE if name.endswith(ending)), None)


def is_output(name: str) -> bool:
    """Return whether a file without code is called like one that programs write."""
    return _OUTPUTS.search(name) is not None


def is_code(path: Path) -> bool:
    """Return whether a file is code by its ending, or a program by its first bytes."""
    if path.suffix.lower() in SCRIPTS:
        return True
    if path.suffix.lower() in DATA or not os.access(path, os.X_OK):
        return False
    with path.open("rb") as file:
        return file.read(4)[:2] in (b"#!", b"\x7fE")


@lru_cache(maxsize=4096)
def mentions(file: Path, *_stamp_of_file: int) -> Mentions:
    """Return what a file speaks of; nothing where it is data."""
    if (text := _text(file)) is None:
        return Mentions(silent=not is_code(file))
    first = text.partition("\n")[0]
    if file.suffix == ".py" or (first.startswith("#!") and "python" in first):
        return _python_mentions(text)
    if file.suffix.lower() in SCRIPTS or first.startswith("#!") or os.access(file, os.X_OK):
        return Mentions(tokens=_tokens(_uncommented(text)), starts=True, silent=False)
    # Text that a script reads in (`. ./params.env`) may name more; data names nothing.
    return Mentions()


@lru_cache(maxsize=4096)
def writes(file: Path, name: str, *_stamp_of_file: int) -> bool:
    """Return whether a file of code writes a file of this name, as far as its lines tell.

    Such are `open("NAME", "a")`, `> NAME`, `tee NAME`, `--out NAME`, also by way of a variable.
    """
    text = _text(file) or ""
    if name not in text:
        return False
    target = ("" if name.startswith(".") else r"(?<![\w.-])") + rf"{re.escape(name)}(?![\w-])"
    if _written(target, target, text):
        return True
    assigned = re.findall(rf"^\s*(?:export\s+|local\s+)?(\w+)(?:\s*:[^=\n]+)?\s*=([^=\n]?[^\n]*{target})", text, re.M)
    places = [variable for variable, value in assigned if not _CONTENT.search(value)]
    return any(_written(rf"\b{place}\b", rf"\$\{{?{place}\b", text) for place in places)


def _written(target: str, in_shell: str, text: str) -> bool:
    mode = r"[\"'](?:[wax]|r\+|rb\+)"
    within = r"(?:(?!open|load|read)[^\n;])*"
    options = r"-{1,2}(?:o|out[\w-]*|log[\w-]*|save[\w-]*|dump[\w-]*|write[\w-]*)"
    patterns = (
        rf"open\([^\n;]*{target}[\"']?\)*\s*,\s*(?:mode\s*=\s*)?{mode}",
        rf"{target}[\"')\]]*\.(?:write|touch|open\(\s*(?:mode\s*=\s*)?{mode})",
        rf"\b(?:to_|save|dump|write|FileHandler|basicConfig|connect|shelve)[\w.]*\({within}{target}",
        rf"(?:>\s*|\btee\s+(?:-a\s+)?)[\"']?[^\s;|&\"'<>]*{in_shell}",
        rf"(?<!\S)[\"']?{options}[\"',\s=]+[^\s\"';|&]*{in_shell}",
    )
    return any(re.search(pattern, text) for pattern in patterns)


def _text(file: Path) -> str | None:
    if file.stat().st_size > _LARGEST_TEXT:
        return None
    raw = file.read_bytes()
    return None if b"\0" in raw else raw.decode("utf-8", errors="replace")


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_TOKEN.findall(text)))


def _uncommented(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not re.match(r"\s*#(?:\s|!)", line))


def _python_mentions(text: str) -> Mentions:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):  # it will not be imported either; its content counts
        return Mentions()
    imports: list[tuple[int, str]] = []
    stars: list[tuple[int, str]] = []
    tokens: list[str] = []
    called: set[int] = set()  # `import_module("name")`: a call that can be followed
    system = {"sys"}
    notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    computed = moves = starts = False
    for node in ast.walk(tree):  # outer nodes come first, so a call before its function
        if isinstance(node, ast.Import):
            imports += [(0, alias.name) for alias in node.names]
            system |= {alias.asname for alias in node.names if alias.name == "sys" and alias.asname}
            computed |= any(alias.name in _COMPUTED for alias in node.names)
            starts |= any(alias.name in _STARTS for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            imports.append((node.level, module))
            imports += [(node.level, f"{module}.{a.name}" if module else a.name) for a in node.names if a.name != "*"]
            stars += [(node.level, module) for a in node.names if a.name == "*"]
            computed |= module in _COMPUTED or any(a.name in _COMPUTED for a in node.names)
            computed |= any(a.name == "import_module" and a.asname for a in node.names)
            moves |= module == "sys" and any(a.name == "path" for a in node.names)
            starts |= module in _STARTS or any(a.name in _STARTS or _STARTING.fullmatch(a.name) for a in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in ("import_module", "__import__"):
            called.add(id(node.func))
            starts = True
            argument = node.args[0] if node.args else None
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value[:1] != ".":
                imports.append((0, argument.value))
            else:
                computed = True
        elif isinstance(node, ast.Attribute | ast.Name):
            inside = _name(node.value) if isinstance(node, ast.Attribute) else ""
            computed |= _name(node) in _COMPUTED
            computed |= _name(node) in ("import_module", "__import__") and id(node) not in called
            moves |= inside in system and _name(node) in ("path", "meta_path", "path_hooks")
            starts |= (_name(node) in _STARTS and (_name(node) != "eval" or not inside)) or (
                inside == "os" and _STARTING.fullmatch(_name(node)) is not None
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes:
            tokens += _TOKEN.findall(node.value)
    moves |= "addsitedir" in text
    return Mentions(
        tuple(dict.fromkeys(imports)),
        tuple(dict.fromkeys(stars)),
        tuple(dict.fromkeys(tokens)),
        computed=computed or moves,
        moves=moves,
        starts=starts,
        silent=not starts and _WRITING.search(text) is None,
    )


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
