"""What a person's Python code reads of which its text does not tell: variables of the environment, files of any name.

The identity of an oracle counts its code, and files that stand in it by name. What is looked for here decides values
too, and no text has it: `os.environ["CALIBRATION"]`, `sorted(glob("params/*.json"))[-1]`, `open(kind + ".json")`. Files
are read, never run. In doubt a place is named: a remark costs a line, a value that was taken over wrongly a campaign.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_OF_THE_MACHINE = re.compile(
    r"HOME|PATH|PYTHON\w*|TMP|TEMP|TMPDIR|USER|LOGNAME|USERNAME|LANG|LC_\w+|PWD|SHELL|TERM|HOSTNAME|TZ|COLUMNS|LINES"
    r"|NO_COLOR|\w+_NUM_THREADS|\w+_MAXIMUM_THREADS|OMP_\w+|MKL_\w+|KMP_\w+|CUDA_\w+|NVIDIA_\w+|SLURM_\w+|PBS_\w+"
    r"|XDG_\w+|VIRTUAL_ENV|CONDA_\w+|DISCOVER_\w+|CI|DISPLAY|LD_LIBRARY_PATH|MPLBACKEND|MPLCONFIGDIR|\w*PROXY"
)
"""Variables that differ between machines and people, and say where and how fast a program works."""

_READERS = {
    *("open", "read_csv", "read_table", "read_json", "read_parquet", "read_excel", "read_pickle", "read_feather"),
    *("read_hdf", "read_fwf", "read_ipc", "scan_csv", "scan_parquet", "loadtxt", "genfromtxt", "fromfile", "memmap"),
}
_LOADERS = {"np", "numpy", "torch", "joblib"}
"""Modules of which `load` takes the name of a file; that of `json`, `pickle` and `yaml` takes an opened one."""
_LISTING = {"glob", "iglob", "rglob", "iterdir", "listdir", "scandir", "walk"}
_OF_PATHS = {"read_text", "read_bytes", "open"}
_HANDLES = {
    *("open", "StringIO", "BytesIO", "TextIOWrapper", "urlopen", "mkdtemp", "mkstemp", "TemporaryDirectory"),
    *("NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile", "gettempdir"),
}
"""What they return is an opened file, which was judged where it was opened, or a place of the program's own."""
_SAME = {
    *("Path", "PurePath", "str", "fspath", "sorted", "list", "tuple", "set", "max", "min", "next", "iter", "enumerate"),
    *("reversed", "abspath", "realpath", "expanduser", "expandvars", "normpath"),
}
"""What returns the path that it is given, or one of several."""
_SAME_METHODS = {"resolve", "expanduser", "absolute", "as_posix"}
_LAST = {"join", "joinpath", "with_name"}
_OPENERS = {"io", "gzip", "bz2", "lzma", "codecs", "os", "builtins", "Image", "tarfile", "zipfile"}
_GIVEN = {"argv", "stdin", "buffer", "args", "arguments", "opts", "namespace"}
"""Names of what the command line gives, which counts as the command does."""


@dataclass(frozen=True, order=True)
class Uncounted:
    """A place of code that reads what the code does not tell.

    Attributes:
        file: of the code.
        line: of it.
        reads: the call, such as `glob`; of a variable its name, empty where that is put together.
        is_variable: whether it is a variable of the environment.
        folder: in which files are looked for, as far as the code says.
    """

    file: str
    line: int
    reads: str
    is_variable: bool = False
    folder: str = ""


def uncounted(sources: Mapping[str, str]) -> list[Uncounted]:
    """Return the places of code that read what it does not tell.

    Args:
        sources: name of a file -> its text; what is no Python is passed over.
    """
    trees: dict[str, ast.Module] = {}
    for name, text in sources.items():
        try:
            trees[name] = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            continue
    known = _Known(trees.values())
    found: set[Uncounted] = set()
    for name, tree in trees.items():
        aliases = _Aliases(tree)
        for node in ast.walk(tree):
            variable = aliases.variable(node)
            if variable is not None and not _OF_THE_MACHINE.fullmatch(variable.upper()):
                found.add(Uncounted(name, node.lineno, variable, is_variable=True))  # type: ignore[attr-defined]
            if isinstance(node, ast.Call) and (read := _read(node, known)) is not None:
                found.add(Uncounted(name, node.lineno, read[0], folder=read[1]))
    return sorted(found)


def remarks_on(
    places: Iterable[Uncounted], *, label: str, files: Sequence[str], environment: Sequence[str]
) -> list[str]:
    """Return what to say of places, beyond what a person has named; at most a sentence of each kind.

    Args:
        places: of the code.
        label: of the oracle.
        files: the option `files`.
        environment: the option `environment`.
    """
    places = list(places)
    variables = [one for one in places if one.is_variable and one.reads not in environment]
    unnamed = [one for one in places if not one.is_variable and not _is_named(one.folder, files)]
    sentences = []
    if variables:
        names = list(dict.fromkeys(one.reads for one in variables if one.reads))
        lists = f"list them as `environment: [{', '.join(names or ['NAME'])}]` beside `function` or `command`"
        sentences.append(
            f"The oracle {label} reads variables of the environment ({_told(variables)}), which are not part of its "
            "identity: a campaign in another environment takes its values over. If they decide values, "
            f"{lists}; a digest of each then counts."
        )
    if unnamed:
        sentences.append(
            f"The oracle {label} reads files whose names do not stand in its code ({_told(unnamed)}); their content is "
            "not part of its identity: where it changes, earlier values are still taken over. If they decide values, "
            "list the files, or their folder, under `files`."
        )
    return sentences


def _told(places: Sequence[Uncounted], most: int = 4) -> str:
    shown = [f"{one.reads or 'a name put together'} in line {one.line} of {one.file}" for one in places[:most]]
    return ", ".join(shown) + (f" and {len(places) - most} more" if len(places) > most else "")


def _is_named(folder: str, files: Sequence[str]) -> bool:
    """Return whether files of a folder are listed; of files that may be anywhere, whether any are."""
    if not folder:
        return bool(files)
    place = PurePosixPath(folder)
    return any(place.is_relative_to(PurePosixPath(Path(one).as_posix())) for one in files) or any(
        PurePosixPath(Path(one).as_posix()).is_relative_to(place) for one in files
    )


class _Aliases:
    """By which names a module knows `os` and what reads the environment."""

    def __init__(self, tree: ast.Module) -> None:
        self._os, self._environ, self._getenv = {"os"}, set[str](), set[str]()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._os |= {one.asname for one in node.names if one.name == "os" and one.asname}
            elif isinstance(node, ast.ImportFrom) and node.module == "os":
                self._environ |= {one.asname or one.name for one in node.names if one.name in ("environ", "environb")}
                self._getenv |= {one.asname or one.name for one in node.names if one.name in ("getenv", "getenvb")}

    def variable(self, node: ast.AST) -> str | None:
        """Return the name of the variable that an expression reads, empty where it is put together; None: none."""
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and self._is_environ(node.value):
            return _constant(node.slice)
        if isinstance(node, ast.Compare) and any(self._is_environ(one) for one in node.comparators):
            return _constant(node.left)
        if not (isinstance(node, ast.Call) and node.args):
            return None
        function = node.func
        reads = isinstance(function, ast.Name) and function.id in self._getenv
        if isinstance(function, ast.Attribute):
            inside = function.value
            reads = function.attr in ("get", "pop") and self._is_environ(inside)
            reads |= function.attr in ("getenv", "getenvb") and isinstance(inside, ast.Name) and inside.id in self._os
        return _constant(node.args[0]) if reads else None

    def _is_environ(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Attribute):
            return (
                node.attr in ("environ", "environb") and isinstance(node.value, ast.Name) and node.value.id in self._os
            )
        return isinstance(node, ast.Name) and node.id in self._environ


def _constant(node: ast.expr) -> str:
    value = node.value if isinstance(node, ast.Constant) else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""


class _Known:
    """What names, attributes and parameters hold, over all files of code: every expression that they are given."""

    def __init__(self, trees: Iterable[ast.Module]) -> None:
        self.given: dict[str, list[ast.expr]] = defaultdict(list)
        self.returned: dict[str, list[ast.expr]] = defaultdict(list)
        calls: dict[str, list[ast.Call]] = defaultdict(list)
        functions: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
        classes: dict[int, str] = {}
        for tree in trees:
            for node in ast.walk(tree):
                self._take(node)
                if isinstance(node, ast.Call):
                    calls[_name(node.func)].append(node)
                elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    functions.append(node)
                elif isinstance(node, ast.ClassDef):
                    classes |= {id(one): node.name for one in node.body if _is_initial(one)}
        for function in functions:
            made = classes.get(id(function), "")  # `Model("weights.bin")` calls its `__init__`
            self._take_function(function, [*calls[function.name], *(calls[made] if made else [])])

    def _take(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._give(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            self._give(node.target, node.value)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            self._give(node.target, node.iter)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            self._give(node.optional_vars, node.context_expr)

    def _give(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            alike = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
            values = value.elts if alike and isinstance(value, ast.Tuple | ast.List) else [value] * len(target.elts)
            for one, its in zip(target.elts, values, strict=True):
                self._give(one, its)
        elif _name(target):
            self.given[_name(target)].append(value)

    def _take_function(self, function: ast.FunctionDef | ast.AsyncFunctionDef, calls: Sequence[ast.Call]) -> None:
        names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
        defaults = function.args.defaults
        for name, value in zip(names[len(names) - len(defaults) :], defaults, strict=True):
            self.given[name].append(value)
        for one, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
            self.given[one.arg] += [] if default is None else [default]
        names = names[1:] if names[:1] in (["self"], ["cls"]) else names
        for call in calls:
            for name, value in zip(names, call.args, strict=False):
                self.given[name].append(value)
            for keyword in call.keywords:
                if keyword.arg:
                    self.given[keyword.arg].append(keyword.value)
        self.returned[function.name] += [
            node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None
        ]

    def tells(self, node: ast.expr, seen: frozenset[int] = frozenset()) -> bool:
        """Return whether the code says which file an expression means, by a name that stands in it whole."""
        if id(node) in seen or len(seen) > 40:
            return True
        seen |= {id(node)}
        if isinstance(node, ast.Constant):
            return True  # a name, or the number of a file that is open
        if isinstance(node, ast.JoinedStr):
            return bool(node.values) and _ends_with_name(node.values[-1])
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.Div):
                return self.tells(node.right, seen) or self.is_own(node.left, seen)
            return isinstance(node.op, ast.Add) and (_ends_with_name(node.right) or self.is_own(node.left, seen))
        if isinstance(node, ast.Name | ast.Attribute):
            name = _name(node)
            if name in _GIVEN or name == "__file__" or _root(node) in _GIVEN:
                return True
            given = self.given.get(name)
            if given is None and isinstance(node, ast.Attribute) and name in ("parent", "name"):
                return self.tells(node.value, seen)
            return bool(given) and all(self.tells(one, seen) for one in given or ())
        if isinstance(node, ast.Dict):
            return all(self.tells(one, seen) for one in node.values)
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            return all(self.tells(one, seen) for one in node.elts)
        if isinstance(node, ast.Subscript | ast.Starred):
            return self.tells(node.value, seen)
        if isinstance(node, ast.IfExp):
            return self.tells(node.body, seen) and self.tells(node.orelse, seen)
        if isinstance(node, ast.BoolOp):
            return all(self.tells(one, seen) for one in node.values)
        return isinstance(node, ast.Call) and self._call_tells(node, seen)

    def _call_tells(self, call: ast.Call, seen: frozenset[int]) -> bool:
        name = _name(call.func)
        if name in _HANDLES:
            return True
        if isinstance(call.func, ast.Attribute) and (name in _SAME_METHODS or name in ("values", "items", "keys")):
            return self.tells(call.func.value, seen)
        if name in _LAST or name == "Path":
            return bool(call.args) and (self.tells(call.args[-1], seen) or self.is_own(call.args[0], seen))
        if name in _SAME:
            return bool(call.args) and self.tells(call.args[0], seen)
        if name in self.returned and any(isinstance(one, ast.Constant) for one in call.args):
            return all(self.tells(one, seen) for one in call.args)  # a helper that makes a path of a name
        returned = self.returned.get(name)
        return bool(returned) and all(self.tells(one, seen) for one in returned or ())

    def is_own(self, node: ast.expr, seen: frozenset[int]) -> bool:
        """Return whether a path begins in a folder that the program has made for itself."""
        if id(node) in seen or len(seen) > 40:
            return False
        seen |= {id(node)}
        if isinstance(node, ast.BinOp):
            return self.is_own(node.left, seen)
        if isinstance(node, ast.Call):
            return _name(node.func) in _HANDLES - {"open"} or any(self.is_own(one, seen) for one in node.args[:1])
        given = self.given.get(_name(node), ()) if isinstance(node, ast.Name | ast.Attribute) else ()
        return bool(given) and all(self.is_own(one, seen) for one in given)


def _read(call: ast.Call, known: _Known) -> tuple[str, str] | None:
    """Return by which call files are read or listed, and in which folder, where the code does not name them."""
    name = _name(call.func)
    inside = call.func.value if isinstance(call.func, ast.Attribute) else None
    module = _name(inside) if inside is not None else ""
    if name in _LISTING:
        return _listed(call, name, inside, known)
    if name == "load" and module not in _LOADERS:
        return None
    if name not in _READERS and name != "load" and name not in _OF_PATHS:
        return None
    of_a_path = inside is not None and name in _OF_PATHS and not (name == "open" and module in _OPENERS)
    mode = _mode(call, 0 if of_a_path else 1) if name == "open" else ""
    if mode and set(mode) & set("wax") and "+" not in mode:
        return None
    place = inside if of_a_path else call.args[0] if call.args else None
    if place is None or known.tells(place):
        return None
    return name, _folder_of(_text_of(place))


def _listed(call: ast.Call, name: str, inside: ast.expr | None, known: _Known) -> tuple[str, str] | None:
    """Return the same of a call that lists files."""
    first = call.args[0] if call.args else None
    by_module = inside is None or (isinstance(inside, ast.Name) and inside.id in ("glob", "os"))
    place = first if by_module else inside
    if name == "walk" and (not by_module or first is None):
        return None  # of a tree of code
    if place is not None and known.is_own(place, frozenset()):
        return None
    pattern = _text_of(place) if by_module else f"{_text_of(place)}/{_text_of(first)}"
    return name, _folder_of(pattern if "*" in pattern else f"{pattern}/*")


def _mode(call: ast.Call, position: int) -> str:
    told = [one.value for one in call.keywords if one.arg == "mode"] + list(call.args[position : position + 1])
    return _constant(told[0]) if told else ""


def _text_of(node: ast.expr | None) -> str:
    """Return the text with which a name begins, as far as it stands in the code; `*` in the place of what does not."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text_of(one) for one in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Div):
        return _text_of(node.left) + ("/" if isinstance(node.op, ast.Div) else "") + _text_of(node.right)
    if isinstance(node, ast.Call) and (_name(node.func) in _SAME or _name(node.func) == "join"):
        return "/".join(_text_of(one) for one in node.args)
    return "*"


def _folder_of(pattern: str) -> str:
    """Return the folder in which names of a pattern are, without what the code does not say; empty: anywhere."""
    parts = pattern.split("/")[:-1]
    while parts and "*" in parts[0]:  # where the code itself is, as a rule
        parts = parts[1:]
    known = parts[: next((at for at, part in enumerate(parts) if "*" in part), len(parts))]
    return "/".join(part for part in known if part not in ("", "."))


def _ends_with_name(node: ast.expr) -> bool:
    """Return whether a text that is joined ends with the whole name of a file: `.../params.json`."""
    text = _constant(node)
    return "/" in text and text.rpartition("/")[2] != ""


def _is_initial(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return _name(node)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
