"""The process in which a user's function runs: `python -P function_worker.py PARENT`, spoken to in JSON lines.

Run as a script, by path, and on the standard library alone: a person's `models.py`, `data.py` or `tasks/` beside the
campaign file is what their function imports, however discovery-flows is installed. The function sees its folder first
on `sys.path` and as working directory, an empty standard input, `sys.argv` without arguments, and what it prints goes
to standard error.

The first line on standard input is `{"oracle": {"function": "module:function", "semantics": ..., ...}, "search_path":
[folder, ...], "nouns": ["molecule", "molecules"]}`; the answer is `{"ready": true}` or `{"error": sentence}`. Each
later line is a call, `{"call": n, "keys": [...], "objects": [...]}`, an object being a text, numbers by name or a list,
as its space has it. It is answered by one line per object, in order: `{"call": n, "value": ..., "error": ...,
"message": ..., "seconds": ...}`. The end of standard input ends the process, and so does, on Linux, the death of the
process PARENT.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import inspect
import io
import json
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from time import perf_counter  # bound before the user's module can put another clock in its place
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:  # imported as one of our modules
    from models.oracles.function_answers import WrongAnswer, numbers_of
else:  # run as a script, which sees no module of ours: the file beside it
    _spec = spec_from_file_location("_function_answers", os.path.join(os.path.dirname(__file__), "function_answers.py"))
    _answers = module_from_spec(_spec)
    _spec.loader.exec_module(_answers)
    WrongAnswer, numbers_of = _answers.WrongAnswer, _answers.numbers_of

OURS = frozenset({"data", "models", "pipelines", "tasks"})
"""Packages of discovery-flows, which an oracle's process must not see."""

LONGEST_MESSAGE = 2000
"""Characters of a message: a longer one loses its middle."""

_MARK = os.path.join("models", "oracles", os.path.basename(__file__))
"""What a folder has in it that holds our packages: a checkout or site-packages."""
_PR_SET_PDEATHSIG = 1

Answer = dict[str, Any]
"""`{"value", "error", "message", "seconds"}` of one object."""


class OthersOnly:
    """A finder that knows modules named like our packages, but not our packages."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return where a module named like one of ours is, ours excepted.

        Raises:
            ModuleNotFoundError: there is no other; the finders after this one would find ours.
        """
        if path is not None or name not in OURS:
            return None
        entries = [entry for entry in sys.path if not os.path.isfile(os.path.join(entry, _MARK))]
        spec = PathFinder.find_spec(name, entries, target)
        if spec is None:
            told = f"No module named {name!r} (the package {name!r} of discovery-flows is not for oracles)"
            raise ModuleNotFoundError(told, name=name)
        return spec


class Function:
    """A user's function with all that may go wrong with it.

    Args:
        name: `module:function`.
        pure: whether it may be called again freely: a call with several objects that raises is then made once more
            for each object alone.
        nouns: one of what it is asked for and several, for messages.
        outputs: names of the values of an object; none: it has one, without a name.
    """

    def __init__(
        self,
        name: str,
        *,
        pure: bool,
        nouns: Sequence[str] = ("molecule", "molecules"),
        outputs: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._pure = pure
        self._nouns = nouns
        self._outputs = tuple(outputs)
        self._function: Callable[..., Any] | None = None
        self._takes_keys = False

    def load(self, folder: str | None = None) -> None:
        """Import the function.

        Args:
            folder: campaign file's folder, for messages.

        Raises:
            ImportError: it cannot be; a sentence with the folder, the module and the user's own line.
        """
        module_name, _, name = self.name.partition(":")
        where = f" in {folder}" if folder else ""
        top = module_name.partition(".")[0]
        if folder and top in sys.stdlib_module_names and _is_there(top, folder):
            raise ImportError(
                f"The module {module_name!r} of the oracle function {self.name!r}{where} has the name of a module of "
                "Python itself, which would be imported in its place. Rename it, here and in the campaign file."
            )
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if not (error.name and f"{module_name}.".startswith(f"{error.name}.")) or _frames(error):
                raise _import_error(self.name, where, error) from error
            raise ImportError(
                f"There is no module {module_name!r} for the oracle function {self.name!r}{where}. Put "
                f"{module_name.replace('.', '/')}.py beside the campaign file, or install the package that has it."
                f"{_nearest(module_name, _modules(folder))}"
            ) from error
        except BaseException as error:  # a module may also call sys.exit
            raise _import_error(self.name, where, error) from error
        function = getattr(module, name, None)
        if not callable(function):
            known = [item for item, value in vars(module).items() if callable(value) and not item.startswith("_")]
            raise ImportError(
                f"The module {module_name!r} ({module.__file__}) has no function {name!r}; it has "
                f"{', '.join(known) or 'none'}.{_nearest(name, known)}"
            )
        self._function = function
        self._takes_keys = _has_keys(function)

    def answers(self, objects: Sequence[Any], keys: Sequence[str]) -> Iterator[Answer]:
        """Yield one answer per object, in order; nothing that the function raises or answers ends anything.

        Failure classes: `raised`, `wrong_answer` (not one number per object), `not_finite`.
        """
        started = perf_counter()
        try:
            numbers = self._numbers(objects, keys)
        except WrongAnswer as wrong:
            yield from (_failed("wrong_answer", f"{self.name} answered {wrong}", started) for _ in objects)
        except BaseException as error:  # sys.exit in a function is its failure, and not the end of the process
            if self._pure and len(objects) > 1:
                for obj, key in zip(objects, keys, strict=True):
                    yield from self.answers([obj], [key])
                return
            yield from (_failed("raised", _told(error), started) for _ in objects)
        else:
            for number in numbers:
                if isinstance(number, WrongAnswer):
                    yield _failed("wrong_answer", f"{self.name} answered {number}", started)
                elif isinstance(number, dict):
                    yield _several(self.name, number, started)
                elif number is None or not math.isfinite(number):
                    told = "no value" if number is None else f"{number}, which is not a finite number"
                    yield _failed("not_finite", f"{self.name} answered {told}.", started)
                else:
                    yield {"value": number, "error": None, "message": "", "seconds": perf_counter() - started}

    def _numbers(self, objects: Sequence[Any], keys: Sequence[str]) -> list[Any]:
        """Call the function and return what its answer is per object.

        Raises:
            WrongAnswer: it is not one value per object, or whose its values are is not certain.
        """
        assert self._function is not None
        noun, nouns = self._nouns
        own = deepcopy(list(objects))  # what it does to a dictionary must not reach a second call
        lists = {nouns: list(own), "keys": list(keys)}
        extra = {"keys": lists["keys"]} if self._takes_keys else {}
        answer = self._function(lists[nouns], **extra)
        numbers = numbers_of(answer, objects, keys, self._nouns, self._outputs)  # a generator runs only here
        for name, given in ((nouns, own), ("keys", keys)):
            if not _same(lists[name], given):
                raise WrongAnswer(
                    f"after changing its list of {name} in place, so that nobody can tell which value belongs to "
                    f"which {noun}; expected values in the order of the list that it was given. Work on a copy of "
                    f"it: `list({name})`, or `sorted({name})` where the list was sorted."
                )
        return numbers


def _same(objects: Sequence[Any], given: Sequence[Any]) -> bool:
    # Texts of their own type only: what a function put into the list may compare in any way.
    return len(objects) == len(given) and all(
        obj is other or (type(obj) is str and obj == other) for obj, other in zip(objects, given, strict=True)
    )


# -- Sentences ----------------------------------------------------------------------------------------------------


def _several(name: str, numbers: dict[str, float | None], started: float) -> Answer:
    """Return the answer with several values; a value that is not finite is none."""
    finite = {key: value if value is not None and math.isfinite(value) else None for key, value in numbers.items()}
    if not any(value is not None for value in finite.values()):
        return _failed("not_finite", f"{name} answered {numbers}, of which no value is a finite number.", started)
    return {"value": None, "outputs": finite, "error": None, "message": "", "seconds": perf_counter() - started}


def _failed(error: str, message: str, started: float) -> Answer:
    return {"value": None, "error": error, "message": short(message), "seconds": perf_counter() - started}


def short(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Return a text of at most `longest` characters: a longer one loses its middle."""
    half = longest // 2 - 4
    return text if len(text) <= longest else f"{text[:half]} [...] {text[len(text) - half :]}"


def _told(error: BaseException) -> str:
    """Return an error with the user's own line, if there is one."""
    try:
        words = str(error)
    except Exception:  # so may a __str__
        words = ""
    if isinstance(error, EOFError):
        words = f"{words} (nobody can answer `input()` here)".strip()
    if isinstance(error, SyntaxError) and error.filename:
        place = f", {os.path.basename(error.filename)} line {error.lineno}: {(error.text or '').strip()}"
        return f"{type(error).__name__}: {error.msg}{place}"
    frames = _frames(error)
    if not frames:
        return f"{type(error).__name__}: {short(words)}" if words else type(error).__name__
    line = f" `{frames[-1].line}`" if frames[-1].line else ""
    place = f"{os.path.basename(frames[-1].filename)} line {frames[-1].lineno}{line}"
    return f"{type(error).__name__}: {short(words)} ({place})" if words else f"{type(error).__name__} ({place})"


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the lines of the user's own files that led to an error; of all files, where none is theirs."""
    with suppress(Exception):
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename not in (__file__, importlib.__file__) and not frame.filename.startswith("<frozen ")
        ]
        here = os.path.realpath(sys.path[0]) if sys.path else ""
        return [frame for frame in frames if os.path.realpath(frame.filename).startswith(here + os.sep)] or frames
    return []


def _import_error(name: str, where: str, error: BaseException) -> ImportError:
    module = name.partition(":")[0]
    return ImportError(
        f"The module {module!r} of the oracle function {name!r}{where} cannot be imported: {_told(error)}."
    )


def _nearest(word: str, known: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def _has_keys(function: Callable[..., Any]) -> bool:
    try:
        return "keys" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # builtins without a signature
        return False


# -- Modules and process --------------------------------------------------------------------------------------------


def _is_there(module: str, folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, f"{module}.py")) or os.path.isdir(os.path.join(folder, module))


def _modules(folder: str | None) -> list[str]:
    with suppress(OSError):
        return [name.removesuffix(".py") for name in os.listdir(folder) if name.endswith(".py")] if folder else []
    return []


def main(parent: int) -> int:
    """Serve calls of the process `parent` until standard input ends; return the exit code."""
    die_with_parent(parent)
    requests, answers = take_streams()
    sys.argv[1:] = []
    line = requests.readline()
    if not line:
        return 0
    start = json.loads(line)
    own = os.getpid()
    try:
        folder = _enter(start["search_path"])
        pure = start["oracle"].get("semantics", "pure") == "pure"
        function = Function(
            start["oracle"]["function"],
            pure=pure,
            nouns=start.get("nouns", ("molecule", "molecules")),
            outputs=tuple(start["oracle"].get("outputs") or ()),
        )
        function.load(folder)
        ready: dict[str, Any] = {"ready": True}
    except ImportError as error:
        ready = {"error": f"{error}"}
    except OSError as error:
        ready = {"error": f"The folder of the campaign file cannot be entered: {error}."}
    if os.getpid() != own:  # the module forked, and this is the copy that came back
        os._exit(0)
    send(answers, ready)
    if "error" in ready:
        return 1
    here = os.getcwd()  # the module may have chosen another folder
    for line in requests:
        call = json.loads(line)
        restore(here)
        for answer in function.answers(call["objects"], call["keys"]):
            if os.getpid() != own:
                os._exit(0)
            send(answers, {"call": call["call"], **answer})
        signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm that was left behind would end the next call
    return 0


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies (Linux; elsewhere the end of input must do)."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the request was made
        raise SystemExit(1)


def take_streams() -> tuple[io.TextIOBase, int]:
    """Move the protocol to descriptors of its own, which neither `print` nor a forked child can reach; returns them.

    What is printed goes to standard error, and standard input is empty.
    """
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    # A child that lives on must not keep the pipe open after this process has died.
    os.register_at_fork(after_in_child=partial(_close, requests, answers))
    faulthandler.enable(2)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # ignored by the shell; no terminal reaches this session
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return os.fdopen(requests, "r", encoding="utf-8", closefd=False), answers


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)


def _enter(search_path: Sequence[str]) -> str | None:
    """Look in the folders first, hide our packages and go to the first folder; returns it."""
    sys.path[:0] = search_path
    sys.meta_path.insert(0, OthersOnly)
    if not search_path:
        return None
    os.chdir(search_path[0])
    return search_path[0]


def restore(folder: str) -> None:
    """Undo what an earlier call did to the working directory and the streams: a value must not depend on it."""
    with suppress(OSError):
        os.chdir(folder)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        try:
            os.fstat(descriptor)
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, descriptor)
            if nothing != descriptor:
                os.close(nothing)
        stream = getattr(sys, name)
        if stream is None or getattr(stream, "closed", False):
            setattr(sys, name, open(descriptor, "w", closefd=False, errors="backslashreplace"))  # noqa: SIM115


def send(answers: int, message: Mapping[str, Any]) -> None:
    """Write one message to the descriptor of answers."""
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(answers, data) :]


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1])))
if __name__ == "__mp_main__":  # the user's multiprocessing has started a fresh interpreter
    sys.meta_path.insert(0, OthersOnly)
